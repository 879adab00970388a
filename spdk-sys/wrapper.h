/* What of SPDK is bound. Layouts come from the tree that is linked; nothing is copied here. */
#include <spdk/stdinc.h>

#include <spdk/bdev.h>
#include <spdk/bdev_module.h>
#include <spdk/config.h>
#include <spdk/cpuset.h>
#include <spdk/env.h>
#include <spdk/env_dpdk.h>
#include <spdk/init.h>
#include <spdk/json.h>
#include <spdk/jsonrpc.h>
#include <spdk/log.h>
#include <spdk/module/bdev/nvme.h>
#include <spdk/nvme_spec.h>
#include <spdk/nvmf.h>
#include <spdk/nvmf_spec.h>
#include <spdk/rpc.h>
#include <spdk/string.h>
#include <spdk/thread.h>
#include <spdk/util.h>
#include <spdk/uuid.h>
#include <spdk/version.h>
/* Iterating pollers and channels, and hooking into subsystem start-up, is declared in internal headers only. */
#include <spdk_internal/init.h>
#include <spdk_internal/thread.h>

/* ISA-L: parity. */
#include <isa-l/include/erasure_code.h>
#include <isa-l/include/raid.h>

#include "shim.h"
