//! Drives of our own as SPDK bdev modules: file over io_uring.
