//! Locks, events, semaphores and queues of asyncio, for the tasks of one thread.

#![forbid(unsafe_code)]

mod barrier;
mod condition;
mod error;
mod event;
mod line;
mod lock;
pub mod mixed;
mod queue;
mod semaphore;
mod turn;
mod waiters;
mod watch;

pub use barrier::Barrier;
pub use condition::Condition;
pub use error::{
    BrokenBarrier, PutError, QueueShutDown, ReleaseError, TaskDoneError, TryGetError, TryPutError,
};
pub use event::{Event, EventWait};
pub use lock::{Acquire, Guard, Lock, LockGuard, OwnedLockGuard};
pub use queue::{
    BaseQueue, Fifo, Get, Lifo, LifoQueue, Order, Priority, PriorityQueue, Put, Queue,
};
pub use semaphore::{AcquirePermit, BoundedSemaphore, HeldPermit, OwnedPermit, Permit, Semaphore};
