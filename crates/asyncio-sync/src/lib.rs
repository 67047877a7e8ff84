//! Locks, events, conditions, semaphores, barriers and queues of asyncio, for the tasks of one
//! thread.
//!
//! ```
//! use asyncio_sync::{Queue, Semaphore};
//!
//! # futures::executor::block_on(async {
//! let (queue, slots) = (Queue::bounded(8), Semaphore::new(2));
//! let producer = async {
//!     for n in 1..=4 {
//!         queue.put(n).await.unwrap();
//!     }
//!     queue.shutdown();
//! };
//! let consumer = async {
//!     let mut sum = 0;
//!     while let Ok(n) = queue.get().await {
//!         let _permit = slots.acquire().await;
//!         sum += n;
//!     }
//!     sum
//! };
//! assert_eq!(futures::join!(producer, consumer), ((), 10));
//! # });
//! ```
//!
//! * [`Lock`] admits one task at a time, [`Semaphore`] and [`BoundedSemaphore`] a limited number.
//! * [`Event`] wakes every waiting task, [`Condition`] the tasks that wait for a change of a locked
//!   value.
//! * [`Barrier`] makes tasks wait for each other.
//! * [`Queue`], [`LifoQueue`] and [`PriorityQueue`] pass items from task to task.
//! * [`mixed::Queue`] passes items between threads and tasks; a [`broadcast`] channel gives every
//!   value to each of several receivers, a [`watch`] channel the latest one.
//! * [`RateLimiter`] and [`RateLimits`] limit how many tasks go on in a period, a [`Pool`] keeps
//!   objects that are costly to make, and [`Shared`] is a value whose panics name both places when
//!   two borrows collide.
//!
//! They are fair. No permit, item or notification is lost when a waiting future is dropped, even
//! right after it was woken. Except for [`mixed`], they use no atomics; they allocate only when a
//! task has to wait for the first time; and they need only wakers, so they work on any
//! single-threaded executor. On the loop of `asyncio` they are fastest.
//!
//! # One loop
//!
//! A primitive that tasks of an `asyncio` loop wait for belongs to that loop until the loop is
//! closed. A wait on another loop panics, and the message names both loops. The queues of [`mixed`]
//! belong to no loop.
//!
//! # No futurelock
//!
//! A future that waits for a lock may be kept and never be polled again, for instance after a
//! `select!` to which it was passed by reference. A lock that hands ownership to the first waiter
//! then hangs forever when that future's turn comes, and so do all tasks behind it. Here the first
//! waiter is *notified*, and passed over if its task has run without taking the lock. On the loop
//! of `asyncio` a callback of the loop checks that, for any number of futures. On other executors
//! the next waiter is woken to check. Only if that one is never polled either, the others wait
//! until a new waiter comes or one of the two is dropped. A future that was passed over and is
//! polled later joins the line again, at its end.
//!
//! # Features
//!
//! * `futures-core`: queues and the receivers of [`broadcast`] give their items as a `Stream`. Off
//!   by default.
//!
//! # Which one when
//!
//! `docs/SYNC.md` in the repository has a table, and lists the differences from the standard
//! library, tokio and Python.

#![forbid(unsafe_code)]

mod barrier;
pub mod broadcast;
mod condition;
mod debug;
mod error;
mod event;
mod line;
mod listeners;
mod lock;
mod loop_binding;
pub mod mixed;
mod pool;
mod queue;
mod rate_limiter;
mod semaphore;
mod shared;
mod stalled;
mod turn;
mod waiters;
pub mod watch;

pub use barrier::Barrier;
pub use condition::Condition;
pub use error::{
    BrokenBarrier, PutError, QueueShutDown, ReleaseError, TaskDoneError, TryGetError, TryPutError,
};
pub use event::{Event, EventWait};
pub use lock::{Acquire, Guard, Lock, LockGuard, OwnedLockGuard};
pub use pool::{Pool, Pooled};
#[cfg(feature = "futures-core")]
pub use queue::Items;
pub use queue::{
    BaseQueue, Fifo, Get, Lifo, LifoQueue, Order, Priority, PriorityQueue, Put, Queue,
};
pub use rate_limiter::{AcquireToken, RateLimiter, RateLimits};
pub use semaphore::{AcquirePermit, BoundedSemaphore, HeldPermit, OwnedPermit, Permit, Semaphore};
pub use shared::{Shared, SharedRef, SharedRefMut};
