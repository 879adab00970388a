//! What memory the process takes, from where, and how SPDK's pools are cut to fit into it.

pub mod backing;
pub mod machine;
pub mod pools;
#[cfg(test)]
mod tests;
