//! Worker processes for registered functions.
//!
//! `function` names what can be called, `frame` is what travels, `worker` answers in the worker
//! process, `child` is the pool's side of one worker, `executor` is what users see,
//! and `map` has it work on many arguments.

mod child;
mod error;
mod executor;
mod frame;
mod function;
mod map;
mod worker;

pub use error::PoolError;
pub use executor::{ProcessPoolBuilder, ProcessPoolExecutor};
pub use function::{PoolFunction, Registrable};
pub use map::{PoolMap, PoolMapFuture};
pub use worker::init_process_pool;
