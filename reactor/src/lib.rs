//! One polled reactor per core: SPDK threads, Rust futures, mailboxes and epochs.
