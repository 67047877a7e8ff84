//! Worker processes for registered functions.
//!
//! `function` has the functions that can be called, `frame` the messages, `worker` the side of the
//! worker process, `child` the pool's side of one worker, `executor` the pool itself, and `map`
//! calls a function with many arguments.

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
