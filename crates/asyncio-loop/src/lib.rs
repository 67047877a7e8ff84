//! The event loop under `asyncio`.

mod kernel;
#[allow(dead_code)]
mod timers;

pub use kernel::LocalWaker;
