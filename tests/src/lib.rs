//! What the end-to-end tests share: child processes, the daemon, its JSON-RPC, waiting with a deadline.
//!
//! Nothing here links SPDK: what is tested runs in child processes, each in a folder of its own, with sockets
//! and ports of its own, and is ended by its process id whatever happens.

pub mod bdevperf;
pub mod child;
pub mod crash;
pub mod daemon;
pub mod machine;
pub mod medium;
pub mod model;
pub mod rpc;
pub mod shapes;
pub mod verdict;
pub mod wait;
