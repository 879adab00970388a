//! Raw bindings to SPDK, generated from the tree that is linked.
