//! The loop of `asyncio` and a tokio runtime on one thread.
//!
//! Most programs use the facade crate `asyncio` with the feature `tokio-runtime`, where this is the
//! module `tokio_runtime`: `#[asyncio::main(tokio)]`, `#[asyncio::testing::test(tokio)]`.
//!
//! ```
//! use std::time::Duration;
//! use asyncio_task::{create_task, sleep};
//!
//! let sum = asyncio_tokio::run(async {
//!     let ours = create_task(async {
//!         tokio::time::sleep(Duration::from_millis(1)).await;
//!         2
//!     });
//!     let theirs = tokio::spawn(async { 40 });
//!     sleep(Duration::from_millis(1)).await;
//!     ours.await.unwrap() + theirs.await.unwrap()
//! });
//! assert_eq!(sum, 42);
//! ```
//!
//! There are two ways:
//!
//! * [`run`], [`runner`], [`TokioExt`] and [`TokioHost`]: an `asyncio` program that uses tokio.
//!   Each run of the loop happens inside a [`LocalRuntime`], whose context is set in tasks,
//!   callbacks, cleanup, destructors, and jobs of the default executor. tokio's tasks run while the
//!   loop runs, and get it from [`running_loop`](asyncio_task::running_loop).
//! * [`embed`]: a tokio program, a part of which uses `asyncio`.
//!
//! # What to know
//!
//! * `tokio::task::block_in_place` and `Handle::block_on` panic inside tasks and callbacks, as in
//!   every current-thread runtime. They would block the loop; use
//!   [`to_thread`](asyncio_task::to_thread()).
//! * [`Task::cancel`](asyncio_task::Task::cancel) drops the task's future at its await, or runs its
//!   cleanup. It does not cancel tokio tasks that the task has started: dropping a `JoinHandle`
//!   detaches the tokio task, so abort it explicitly.
//! * tokio's cooperative budget does not apply to tasks of `asyncio`. A task that loops over a
//!   tokio socket which is always ready must yield by itself.
//! * Virtual time applies to the loop only; tokio's timers use real time.

mod drive;
mod embed;
mod host;
mod runner;
mod sys;

pub use embed::{Embed, EmbedFuture, embed};
pub use host::TokioHost;
pub use runner::{TokioExt, run, runner};
#[doc(no_inline)]
pub use tokio::runtime::LocalRuntime;
