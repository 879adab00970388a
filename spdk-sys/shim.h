/* What cannot be said in Rust: va_list, and the version, which SPDK gives as macros. */
#ifndef BASALT_SPDK_SHIM_H
#define BASALT_SPDK_SHIM_H

/* Receives one formatted message of SPDK's log. `file` and `func` may be NULL. The text lives for the call only. */
typedef void (*basalt_log_sink)(int level, const char *file, int line, const char *func, const char *text);

/*
 * Sends what SPDK logs at its log or print level to `sink`, from whichever thread logs. Call it before SPDK logs
 * from other threads.
 */
void basalt_log_open(basalt_log_sink sink);

/* "SPDK v26.01" of the headers that were compiled against. */
const char *basalt_spdk_version(void);

#endif
