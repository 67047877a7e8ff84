//! Whole programs, written as users write them, that use only the facade.

mod callbacks;
mod documented;
mod foreign_wakers;
mod globs;
#[cfg(all(feature = "testing", feature = "net"))]
mod hosts;
mod network;
#[cfg(feature = "testing")]
mod schedules;
mod signals;
mod structure;
mod threads;
mod virtual_time;
