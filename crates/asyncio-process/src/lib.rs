//! Subprocesses of `asyncio`, and a pool of worker processes.
//!
//! ```
//! use asyncio_process::{Stdio, create_subprocess_exec};
//!
//! asyncio_task::run(async {
//!     let command = create_subprocess_exec("tr", ["a-z", "A-Z"]);
//!     let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).await?;
//!     let output = process.communicate("hello").await?;
//!     assert_eq!(output.stdout, b"HELLO");
//!     std::io::Result::Ok(())
//! }).unwrap();
//! ```
//!
//! Where to look next: a [`Command`] describes a process to start, and a [`Process`] is a started
//! one. With the feature `pool`, `ProcessPoolExecutor` runs functions of this program in worker
//! processes.

#![deny(unsafe_code)]

mod child;
mod command;
mod communicate;
mod pipe;
#[cfg(feature = "pool")]
mod pool;
mod process;
mod protocol;
mod protocol_task;
mod resource;
mod setup;
mod stdio;
mod sys;
mod transport;
mod waiters;
mod watcher;

pub use command::{Command, create_subprocess_exec, create_subprocess_shell};
pub use communicate::ProcessInput;
#[cfg(feature = "pool")]
pub use pool::{
    PoolError, PoolFunction, PoolMap, PoolMapFuture, ProcessPoolBuilder, ProcessPoolExecutor,
    Registrable, init_process_pool,
};
pub use process::Process;
pub use protocol::SubprocessProtocol;
pub use resource::Resource;
pub use std::process::Output;
pub use stdio::Stdio;
pub use transport::{SubprocessTransport, subprocess_exec};
pub use watcher::Watcher;
