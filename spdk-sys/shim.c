#include <spdk/stdinc.h>
#include <spdk/bdev.h>
#include <spdk/log.h>
#include <spdk/version.h>

#include "shim.h"

/* lib.rs writes these two by hand. */
SPDK_STATIC_ASSERT(sizeof(union spdk_bdev_nvme_cdw12) == 4, "Incorrect size");
SPDK_STATIC_ASSERT(sizeof(union spdk_bdev_nvme_cdw13) == 4, "Incorrect size");

static basalt_log_sink g_sink;

static void
format_and_forward(int level, const char *file, const int line, const char *func, const char *format, va_list args)
{
	char text[1024];

	/* With a sink of one's own SPDK leaves its levels to the sink. */
	if (level > (int)spdk_log_get_print_level() && level > (int)spdk_log_get_level()) {
		return;
	}
	vsnprintf(text, sizeof(text), format, args);
	g_sink(level, file, line, func, text);
}

void
basalt_log_open(basalt_log_sink sink)
{
	g_sink = sink;
	spdk_log_open(format_and_forward);
}

const char *
basalt_spdk_version(void)
{
	return SPDK_VERSION_STRING;
}
