//! A loop inside another loop, on the same thread.
//!
//! `docs/EMBEDDING.md` of the repository shows how; for tokio there is `tokio_runtime`, with the
//! feature `tokio-runtime`.
//!
//! ```
//! use asyncio::embedding::{Burst, Guest};
//! use std::task::Waker;
//!
//! let event_loop = asyncio::EventLoop::new()?;
//! let guest: Guest = event_loop.guest();
//! while guest.burst(Waker::noop(), true)? == Burst::Busy {}
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use asyncio_loop::{Burst, Guest, Host};
pub use asyncio_task::{ShutdownLoop, shutdown_loop};
