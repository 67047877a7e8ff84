//! Locks, events, conditions, semaphores, barriers, queues, and channels.
//!
//! The names that most programs use are at the root as well.
//!
//! ```
//! use asyncio::sync::{Lock, LockGuard};
//!
//! async fn next(counter: &Lock<u32>) -> u32 {
//!     let mut guard: LockGuard<'_, u32> = counter.acquire().await;
//!     *guard += 1;
//!     *guard
//! }
//!
//! assert_eq!(asyncio::run(next(&Lock::new(1))), 2);
//! ```

#[cfg(feature = "futures-core")]
pub use asyncio_sync::Items;
pub use asyncio_sync::{
    Acquire, AcquirePermit, AcquireToken, Barrier, BaseQueue, BoundedSemaphore, BrokenBarrier,
    Condition, Event, EventWait, Fifo, Get, Guard, HeldPermit, Lifo, LifoQueue, Lock, LockGuard,
    Order, OwnedLockGuard, OwnedPermit, Permit, Pool, Pooled, Priority, PriorityQueue, Put,
    PutError, Queue, QueueShutDown, RateLimiter, RateLimits, ReleaseError, Semaphore, Shared,
    SharedRef, SharedRefMut, TaskDoneError, TryGetError, TryPutError, broadcast, mixed, watch,
};
