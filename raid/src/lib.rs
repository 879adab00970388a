//! The RAID: pure state machines, no I/O, no clock, no threads.
