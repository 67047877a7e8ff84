//! Subprocesses of `asyncio`.

#![forbid(unsafe_code)]

mod pool;

pub use pool::{
    PoolError, PoolFunction, ProcessPoolBuilder, ProcessPoolExecutor, Registrable,
    init_process_pool,
};
