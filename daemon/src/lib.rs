//! The basalt daemon and command line.
