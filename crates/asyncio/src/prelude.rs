//! The traits whose methods a program needs in scope.
//!
//! ```
//! use asyncio::prelude::*;
//!
//! let event_loop = asyncio::EventLoop::new()?;
//! let task = event_loop.create_task(async { 1 })?;
//! assert_eq!(event_loop.run_until_complete(task)??, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use asyncio_task::{TaskHandleExt, TaskLoopExt, TaskRefExt};
#[cfg(feature = "tokio-runtime")]
pub use asyncio_tokio::TokioExt;
