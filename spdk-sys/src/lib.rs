//! Raw bindings to SPDK, generated at build time from the tree that is linked.
//!
//! Nothing here is safe to call on its own; [`spdk-rs`](../spdk_rs/index.html) is the layer to use. Fill
//! SPDK's structs by field name over `zeroed()`: forks and versions differ in layout.
// Names and shapes are SPDK's.
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, missing_docs)]
// Generated code.
#![allow(unsafe_op_in_unsafe_fn, unnecessary_transmutes, clippy::all, clippy::undocumented_unsafe_blocks)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// Command dword 12 of an I/O as `spdk_bdev` carries it: a union of bit fields over these 32 bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct spdk_bdev_nvme_cdw12 {
    pub raw: u32,
}

/// Command dword 13, likewise.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct spdk_bdev_nvme_cdw13 {
    pub raw: u32,
}

const _: () = {
    // The shim asserts the same sizes on the C side.
    assert!(core::mem::size_of::<spdk_bdev_nvme_cdw12>() == 4);
    assert!(core::mem::size_of::<spdk_bdev_nvme_cdw13>() == 4);
};
