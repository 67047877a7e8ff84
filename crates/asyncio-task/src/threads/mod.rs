//! Calls between threads and loops.
//!
//! `to_thread` sends a function from a loop to a thread, `submit` a future from a thread to a loop,
//! `from_thread` calls back from a job to its loop. `loop_thread` is a loop with a thread of its
//! own, `loop_pool` several. `bridge` lets synchronous and asynchronous code call each other, any
//! number of layers deep.

mod bridge;
pub mod from_thread;
mod loop_pool;
mod loop_thread;
mod submit;
mod to_thread;

pub use bridge::{
    SyncToAsync, async_to_sync, single_thread_scope, sync_to_async, thread_sensitive_scope,
};
pub use loop_pool::{LoopPool, LoopPoolBuilder};
pub use loop_thread::{LoopThread, LoopThreadBuilder};
pub use submit::{TaskHandleExt, run_coroutine_threadsafe};
pub use to_thread::to_thread;
