//! The loop of `asyncio` and a runtime of tokio on one thread.
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
//! * [`run`], [`runner`], [`TokioExt`] and [`TokioHost`]: the program is one of `asyncio`. Each run
//!   of the loop happens inside a [`LocalRuntime`], whose context is there in tasks, callbacks,
//!   cleanup, destructors, and jobs of the default executor. Tasks of tokio run during runs of the
//!   loop, and find it by [`running_loop`](asyncio_task::running_loop).
//! * [`embed`]: the program is one of tokio, and a part of it is `asyncio`'s.
//!
//! # What to know
//!
//! * `tokio::task::block_in_place` and `Handle::block_on` panic inside tasks and callbacks, as in
//!   every current-thread runtime. They would block the loop; use
//!   [`to_thread`](asyncio_task::to_thread()).
//! * A task that [`Task::cancel`](asyncio_task::Task::cancel) ends is dropped at its await, or runs
//!   its cleanup. Tasks of tokio are not cancelled with it: dropping a `JoinHandle` detaches, so
//!   abort what is to end.
//! * tokio's cooperative budget does not limit tasks of `asyncio`. One that loops over a socket of
//!   tokio which is always ready has to yield by itself.
//! * Virtual time is that of the loop; tokio's timers keep real time.

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
