//! Executors, which run blocking functions on other threads, so that the loop does not wait for
//! them.
//!
//! `job` is a function with the place for its result, `work_queue` decides which worker runs it and
//! which is woken, `worker` is one thread, and `pool` is the public type. `default` is a loop's own
//! executor, and `calling` finds the loop of a job.

mod calling;
mod default;
mod error;
mod job;
#[cfg(all(test, loom))]
mod loom_tests;
mod pool;
mod work_queue;
#[cfg(all(test, not(loom)))]
mod work_queue_tests;
mod worker;

use std::rc::Rc;
use std::sync::Arc;

pub use calling::calling_loop;
pub use error::JobError;
pub use job::Job;
pub use pool::{RunningJob, StuckJobs, ThreadPoolBuilder, ThreadPoolExecutor};

/// A type that runs jobs on other threads or in other processes.
///
/// Implement it to run the jobs of a loop on your own threads:
///
/// ```
/// use asyncio_loop::{Executor, Job};
///
/// /// A new thread for each job.
/// struct ThreadPerJob;
///
/// impl Executor for ThreadPerJob {
///     fn execute(&self, job: Job) {
///         std::thread::spawn(move || job.run());
///     }
/// }
///
/// let (job, future) = Job::new(|| 6 * 7);
/// ThreadPerJob.execute(job);
/// assert_eq!(future.result(None).unwrap(), 42);
/// ```
pub trait Executor {
    /// Makes sure that the job is run, soon and on another thread.
    ///
    /// An executor that cannot do that calls [`Job::fail`] with the reason. Dropping the job
    /// cancels it.
    fn execute(&self, job: Job);
}

impl<E: Executor + ?Sized> Executor for &E {
    fn execute(&self, job: Job) {
        (**self).execute(job);
    }
}

impl<E: Executor + ?Sized> Executor for Rc<E> {
    fn execute(&self, job: Job) {
        (**self).execute(job);
    }
}

impl<E: Executor + ?Sized> Executor for Arc<E> {
    fn execute(&self, job: Job) {
        (**self).execute(job);
    }
}
