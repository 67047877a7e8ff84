//! Attacks on the kernel: what destructors, panics, re-entrant calls and stray wakers may do to it.
//!
//! The comments name the promises of `src/kernel/mod.rs` and the rows of the behaviour list that a
//! test holds. All of it is meant to run under AddressSanitizer and under miri too.

mod chaos;
mod children;
mod close;
mod drops;
mod foreign_wakers;
mod panics;
mod reentrancy;
mod support;
mod virtual_time;
