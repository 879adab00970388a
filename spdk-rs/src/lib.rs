//! The safe layer over SPDK.
