//! Whole programs, written as users write them, with nothing but the facade.

mod callbacks;
mod documented;
mod network;
mod reentrant_wakers;
mod structure;
mod threads;
mod virtual_time;
