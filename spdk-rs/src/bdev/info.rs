//! What a bdev says about itself.

use std::ffi::{CStr, c_char, c_int, c_void};

use spdk_sys as sys;

use super::kind::{IoKind, IoKindSet};
use crate::error::Errno;

/// A bdev's properties. Limits of 0 mean that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BdevInfo {
    /// The name it was registered under.
    pub name: String,
    /// Other names, the UUID among them.
    pub aliases: Vec<String>,
    /// The kind of device, such as "Malloc disk".
    pub product: String,
    /// The bdev module that it belongs to.
    pub module: String,
    /// Stable identity, in the byte order in which it is printed.
    pub uuid: [u8; 16],
    /// Bytes per block, metadata that is interleaved with the data included.
    pub block_size: u32,
    /// Bytes that the device writes as one.
    pub physical_block_size: u32,
    /// Size in blocks.
    pub num_blocks: u64,
    /// Bytes of metadata per block. Basalt uses no bdev that has any.
    pub md_size: u32,
    /// Alignment of buffers that avoids a copy, in bytes.
    pub required_alignment: usize,
    /// Writes must be a multiple of this many blocks.
    pub write_unit_blocks: u32,
    /// I/O that crosses a multiple of this is slower.
    pub optimal_io_boundary_blocks: u32,
    /// Writes of this size are the fastest.
    pub optimal_write_size_blocks: u32,
    /// Largest read or write.
    pub max_rw_blocks: u32,
    /// Largest unmap.
    pub max_unmap_blocks: u32,
    /// Largest write of zeroes.
    pub max_write_zeroes_blocks: u32,
    /// Whether it claims a volatile write cache. Many bdevs say no and have one.
    pub write_cache: bool,
    /// What it can do, write-zeroes that the bdev layer emulates by writing included.
    pub supports: IoKindSet,
    /// What its module does itself.
    pub supports_natively: IoKindSet,
    /// Where its memory accesses are cheapest.
    pub numa_id: Option<i32>,
}

impl BdevInfo {
    /// # Safety
    /// `bdev` is registered and can't go away during the call; the caller is on the app thread, where names
    /// and aliases change.
    pub(super) unsafe fn of(bdev: *mut sys::spdk_bdev) -> BdevInfo {
        // SAFETY: by the caller's promise, for all that follows.
        unsafe {
            let numa_id = sys::spdk_bdev_get_numa_id(bdev);
            BdevInfo {
                name: text((*bdev).name),
                aliases: aliases(bdev),
                product: text((*bdev).product_name),
                module: text(sys::spdk_bdev_get_module_name(bdev)),
                uuid: uuid(bdev),
                block_size: (*bdev).blocklen,
                physical_block_size: sys::spdk_bdev_get_physical_block_size(bdev),
                num_blocks: (*bdev).blockcnt,
                md_size: (*bdev).md_len,
                required_alignment: sys::spdk_bdev_get_buf_align(bdev),
                write_unit_blocks: (*bdev).write_unit_size,
                optimal_io_boundary_blocks: (*bdev).optimal_io_boundary,
                optimal_write_size_blocks: (*bdev).optimal_write_size,
                max_rw_blocks: (*bdev).max_rw_size,
                max_unmap_blocks: (*bdev).max_unmap,
                max_write_zeroes_blocks: (*bdev).max_write_zeroes,
                write_cache: sys::spdk_bdev_has_write_cache(bdev),
                supports: supports(|kind| sys::spdk_bdev_io_type_supported(bdev, kind)),
                supports_natively: supports(|kind| module_supports(bdev, kind)),
                numa_id: (numa_id != sys::SPDK_ENV_NUMA_ID_ANY).then_some(numa_id),
            }
        }
    }
}

/// All bdevs, oldest first.
///
/// # Errors
/// `EPERM`: not on the app thread.
pub fn list() -> Result<Vec<BdevInfo>, Errno> {
    unsafe extern "C" fn collect(ctx: *mut c_void, bdev: *mut sys::spdk_bdev) -> c_int {
        // SAFETY: ctx is the vector below, which nothing else uses during the walk; the walk holds the bdev
        // open, and `list` made sure of the thread.
        unsafe { (*ctx.cast::<Vec<BdevInfo>>()).push(BdevInfo::of(bdev)) };
        0
    }
    crate::thread::require_app_thread()?;
    let mut found: Vec<BdevInfo> = Vec::new();
    // SAFETY: collect is called during this call only, with the vector's address.
    Errno::from_rc(unsafe { sys::spdk_for_each_bdev((&raw mut found).cast(), Some(collect)) })?;
    Ok(found)
}

/// Whether there is a bdev of this name or alias, for any thread to ask. It may be gone a moment later.
pub fn exists(name: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(name) else { return false };
    // SAFETY: the name is a C string; only whether there is a bdev is asked, the pointer is not followed.
    !unsafe { sys::spdk_bdev_get_by_name(name.as_ptr()) }.is_null()
}

/// The bdev's name.
///
/// # Safety
/// `bdev` is registered and can't go away during the call.
pub(crate) unsafe fn name_of(bdev: *const sys::spdk_bdev) -> String {
    // SAFETY: by the caller's promise; the name never changes.
    unsafe { text(sys::spdk_bdev_get_name(bdev)) }
}

/// A C string's text, "" for NULL.
///
/// # Safety
/// `chars` is NULL or a NUL-terminated string that lives through the call.
unsafe fn text(chars: *const c_char) -> String {
    if chars.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(chars) }.to_string_lossy().into_owned()
}

/// # Safety
/// As for [`BdevInfo::of`].
unsafe fn aliases(bdev: *mut sys::spdk_bdev) -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: the list changes on the app thread only, where we are.
    unsafe {
        let mut alias = (*sys::spdk_bdev_get_aliases(bdev)).tqh_first;
        while !alias.is_null() {
            names.push(text((*alias).alias.name));
            alias = (*alias).tailq.tqe_next;
        }
    }
    names
}

/// # Safety
/// As for [`BdevInfo::of`].
unsafe fn uuid(bdev: *mut sys::spdk_bdev) -> [u8; 16] {
    // SAFETY: spdk_uuid is 16 bytes, asserted by its header, and lies in the bdev.
    unsafe { *sys::spdk_bdev_get_uuid(bdev).cast::<[u8; 16]>() }
}

fn supports(ask: impl Fn(sys::spdk_bdev_io_type) -> bool) -> IoKindSet {
    IoKind::ALL.into_iter().filter(|kind| ask(kind.to_spdk())).collect()
}

/// # Safety
/// As for [`BdevInfo::of`].
unsafe fn module_supports(bdev: *mut sys::spdk_bdev, kind: sys::spdk_bdev_io_type) -> bool {
    // SAFETY: a registered bdev has its function table, and io_type_supported in it is not optional.
    unsafe { (*(*bdev).fn_table).io_type_supported.is_some_and(|ask| ask((*bdev).ctxt, kind)) }
}
