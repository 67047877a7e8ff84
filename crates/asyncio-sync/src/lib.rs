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
//! * [`Lock`] lets one in at a time, [`Semaphore`] and [`BoundedSemaphore`] a few.
//! * [`Event`] wakes every waiting task, [`Condition`] tasks that wait for a change under a lock.
//! * [`Barrier`] has tasks wait for each other.
//! * [`Queue`], [`LifoQueue`] and [`PriorityQueue`] pass items from task to task.
//! * [`mixed::Queue`] passes items between threads and tasks; a [`broadcast`] channel gives every
//!   value to each of several receivers, a [`watch`] channel the latest one.
//! * [`RateLimiter`] and [`RateLimits`] let so many through in a period, a [`Pool`] keeps objects
//!   that are costly to make, and [`Shared`] is a value that names both places when two borrows
//!   collide.
//!
//! They are fair, and lose nothing when a waiting future is dropped, also right after it was woken.
//! They use no atomics, allocate only when somebody has to wait for the first time, and need
//! nothing but wakers, so they work on any single-threaded executor. On the loop of `asyncio` they
//! are fastest.
//!
//! # No futurelock
//!
//! A future that waits for a lock may be kept aside and never be polled again, for instance after a
//! `select!` to which it was given by reference. When its turn comes, a lock that hands itself over
//! hangs for ever, and everybody behind with it. Here the first in line is *called*, and passed
//! over if it doesn't come although its task has run. On the loop of `asyncio` a callback of the
//! loop sees to that, for any number of futures. On other executors the next in line does, which is
//! woken to look; only when that one was kept aside as well does it take a newcomer, or the drop of
//! one of the two, to go on. A future that was passed over and is polled later joins the line anew.
//!
//! # Features
//!
//! * `futures-core`: queues and the receivers of [`broadcast`] give their items as a `Stream`. Off
//!   by default.
//!
//! # Which one when
//!
//! `docs/SYNC.md` in the repository has a table, and says how all this differs from the standard
//! library, tokio and Python.

#![forbid(unsafe_code)]

mod barrier;
pub mod broadcast;
mod condition;
mod debug;
mod error;
mod event;
mod line;
mod lock;
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
