//! Subprocesses, and with the feature `process-pool` a pool of worker processes.
//!
//! The names that most programs use are at the root as well.
//!
//! ```
//! use asyncio::process::{Command, Resource};
//!
//! asyncio::run(async {
//!     let limited = Command::new("true").soft_resource_limit(Resource::OpenFiles, 64);
//!     assert!(limited.status().await?.success());
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

pub use asyncio_process::{
    Command, Output, Process, ProcessInput, Resource, Stdio, SubprocessProtocol,
    SubprocessTransport, Watcher, create_subprocess_exec, create_subprocess_shell, subprocess_exec,
};
#[cfg(feature = "process-pool")]
pub use asyncio_process::{
    PoolError, PoolFunction, PoolMap, PoolMapFuture, ProcessPoolBuilder, ProcessPoolExecutor,
    Registrable, init_process_pool,
};
