//! Calls between synchronous and asynchronous code, nested in each other, as Django's asgiref
//! offers them for Python.
//!
//! `sync_to_async` and `async_to_sync` are the two directions. `place` chooses the thread of
//! synchronous code, `caller` is the thread that waits in `async_to_sync`, `block` waits for a loop
//! in other ways, `cancel` carries cancellations inwards, and `scope` limits the life of helper
//! threads.

mod async_to_sync;
mod block;
mod caller;
mod cancel;
mod place;
mod scope;
mod sync_to_async;

pub use async_to_sync::async_to_sync;
pub(super) use block::run_blocking;
pub use scope::{single_thread_scope, thread_sensitive_scope};
pub use sync_to_async::{SyncToAsync, sync_to_async};
