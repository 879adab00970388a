//! What SPDK's own NVMe bdev module is set to.

use std::mem::{size_of, zeroed};

use spdk_sys as sys;

/// Whether SPDK's NVMe bdevs send a FLUSH to their drives (`bdev_nvme_set_options` `enable_flush`). They drop
/// it, and say that it was done, while this is off, which is SPDK's default.
pub fn nvme_flush_is_enabled() -> bool {
    // SAFETY: plain data for which all zeroes is a value; SPDK fills in as much as the size allows.
    let options = unsafe {
        let mut options: sys::spdk_bdev_nvme_opts = zeroed();
        sys::spdk_bdev_nvme_get_opts(&mut options, size_of::<sys::spdk_bdev_nvme_opts>());
        options
    };
    options.enable_flush
}
