//! The event loop under `asyncio`.

mod kernel;

pub use kernel::LocalWaker;
