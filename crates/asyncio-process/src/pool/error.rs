//! The errors between a pool and its workers.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use asyncio_loop::JobError;

/// The reason why a job of a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor) failed, other than
/// a panic.
///
/// This error is the source of [`JobError::Failed`].
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// [`init_process_pool`](crate::init_process_pool) was not called, so workers would know no
    /// functions.
    NotInitialised,
    /// The function was not passed to [`init_process_pool`](crate::init_process_pool).
    NotRegistered {
        /// The function's name.
        function: &'static str,
    },
    /// No worker process could be started.
    Start(io::Error),
    /// The worker ended while it ran the job: it crashed, exited or was killed.
    WorkerDied {
        /// The function's name.
        function: &'static str,
        /// The worker's process ID.
        pid: u32,
        /// The status of the worker; exit code 255 if other code has reaped it.
        status: ExitStatus,
    },
    /// The job ran past its time limit, and its worker was killed.
    TimeLimit {
        /// The function's name.
        function: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The arguments or the result could not be encoded or decoded; the text gives the reason.
    Encoding {
        /// The function's name.
        function: &'static str,
        /// The message of serde or of the encoder.
        reason: String,
    },
    /// The communication with the worker failed.
    Io(io::Error),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::NotInitialised => {
                f.write_str("process pool is not initialised: call pool init first in main")
            }
            PoolError::NotRegistered { function } => {
                write!(f, "function {function} was not named to pool init")
            }
            PoolError::Start(_) => f.write_str("cannot start a worker process"),
            PoolError::WorkerDied { function, pid, status } => {
                write!(f, "worker process {pid} ended while it ran {function}: {status}")
            }
            PoolError::TimeLimit { function, limit } => {
                write!(f, "{function} ran past its limit of {limit:?}; its worker was killed")
            }
            PoolError::Encoding { function, reason } => {
                write!(f, "arguments or result of {function} cannot travel: {reason}")
            }
            PoolError::Io(_) => f.write_str("cannot talk to the worker process"),
        }
    }
}

impl Error for PoolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PoolError::Start(error) | PoolError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PoolError> for JobError {
    fn from(error: PoolError) -> Self {
        JobError::Failed(Box::new(error))
    }
}
