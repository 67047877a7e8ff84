//! The event loop under `asyncio`.

#[allow(dead_code)]
mod driver;
mod kernel;
#[allow(dead_code)]
mod timers;

pub use driver::{Direction, Pollable, Source};
pub use kernel::LocalWaker;
