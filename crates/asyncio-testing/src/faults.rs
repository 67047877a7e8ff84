//! The faults of a simulation and their probabilities.

use std::time::Duration;

/// The faults of a simulation, each with a probability from 0 (never, the default) to 1.
///
/// The seed decides whether a fault happens. Faults are part of the schedule, and shrinking removes
/// the unnecessary ones.
///
/// # Examples
///
/// A transfer that a cancellation interrupts half-way:
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_task::{create_task, yield_now};
/// use asyncio_testing::{Faults, Simulation};
///
/// let failure = Simulation::new()
///     .seeds(1000)
///     .faults(Faults::new().cancel(0.05))
///     .check(async || {
///         let accounts = Rc::new((Cell::new(10), Cell::new(0)));
///         let (from, to) = &*accounts;
///         let transfer = create_task({
///             let accounts = Rc::clone(&accounts);
///             async move {
///                 let (from, to) = &*accounts;
///                 from.set(from.get() - 1);
///                 yield_now().await;
///                 to.set(to.get() + 1);
///             }
///         });
///         let _ = transfer.await;
///         assert_eq!(from.get() + to.get(), 10, "money is lost");
///     })
///     .unwrap_err();
/// assert!(failure.message().contains("money is lost"));
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    pub(crate) cancel: f64,
    pub(crate) drop: f64,
    pub(crate) delay: f64,
    pub(crate) longest_delay: Duration,
    pub(crate) job_panic: f64,
    #[cfg(feature = "net")]
    pub(crate) io_error: f64,
    #[cfg(feature = "net")]
    pub(crate) short_io: f64,
    #[cfg(feature = "net")]
    pub(crate) full_buffer: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            cancel: 0.0,
            drop: 0.0,
            delay: 0.0,
            longest_delay: Duration::from_secs(1),
            job_panic: 0.0,
            #[cfg(feature = "net")]
            io_error: 0.0,
            #[cfg(feature = "net")]
            short_io: 0.0,
            #[cfg(feature = "net")]
            full_buffer: 0.0,
        }
    }
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Before each step: an unfinished task other than the main one is cancelled, as by
    /// [`Task::cancel`](asyncio_task::Task::cancel). It may be a child of a group.
    #[must_use]
    pub fn cancel(self, probability: f64) -> Self {
        Self { cancel: checked(probability), ..self }
    }

    /// At each poll of a future in [`droppable`](crate::droppable()): the future is dropped.
    #[must_use]
    pub fn drop(self, probability: f64) -> Self {
        Self { drop: checked(probability), ..self }
    }

    /// At each step of a task: the step is delayed by a random time of up to `longest`, or until
    /// the task is woken again. To the program this looks like a slow machine.
    #[must_use]
    pub fn delay(self, probability: f64, longest: Duration) -> Self {
        Self { delay: checked(probability), longest_delay: longest, ..self }
    }

    /// For each job of an executor: the job panics instead of running.
    #[must_use]
    pub fn job_panic(self, probability: f64) -> Self {
        Self { job_panic: checked(probability), ..self }
    }
}

/// Faults of a [`FaultyStream`](crate::FaultyStream), with the feature `net`.
#[cfg(feature = "net")]
impl Faults {
    /// For each read and write of a faulty stream: the connection is reset.
    #[must_use]
    pub fn io_error(self, probability: f64) -> Self {
        Self { io_error: checked(probability), ..self }
    }

    /// For each read and write of a faulty stream: only a part of the bytes is transferred.
    #[must_use]
    pub fn short_io(self, probability: f64) -> Self {
        Self { short_io: checked(probability), ..self }
    }

    /// For each write of a faulty stream: its buffer is full for some milliseconds of virtual time.
    #[must_use]
    pub fn full_buffer(self, probability: f64) -> Self {
        Self { full_buffer: checked(probability), ..self }
    }
}

fn checked(probability: f64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
    probability
}
