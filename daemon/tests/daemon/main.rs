//! The real binary on real SPDK: one program, so that it is linked once.

mod control;
mod fabric;
mod faulty;
mod life;
mod support;
mod waiting;
