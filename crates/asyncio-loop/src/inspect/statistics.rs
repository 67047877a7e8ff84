//! The statistics of a loop.

use std::time::Duration;

use crate::clock::{LoopTime, system_nanos};
use crate::gauges::{FIRST_BUCKET, Gauge, Gauges, LAG_BUCKETS};

/// The numbers of a loop at one moment: see
/// [`LoopRef::statistics`](crate::LoopRef::statistics), and
/// [`LoopHandle::statistics`](crate::LoopHandle::statistics) for other threads.
///
/// `busy`, `longest_step`, `lag` and `running` need a clock that is read at each step. They are
/// zero or `None` unless the loop is [measured](crate::LoopRef::measure). The others are always
/// known.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Statistics {
    /// The time at which the loop published these numbers, on its clock.
    pub at: LoopTime,
    /// Whether the loop is measured.
    pub measured: bool,
    /// Turns of the loop.
    pub turns: u64,
    /// Callbacks run and tasks polled by the loop. The children of a group are polled in the steps
    /// of the task that has the group.
    pub steps: u64,
    /// Callbacks and tasks that wait for their turn.
    pub ready: u64,
    /// Tasks that have not ended: the length of `all_tasks`.
    pub tasks: u64,
    /// Deadlines that have not come yet.
    pub timers: u64,
    /// Descriptors that the loop knows: sockets, pipes and others.
    pub descriptors: u64,
    /// Bytes that were read from descriptors by this project's transports and streams.
    pub bytes_in: u64,
    /// Bytes that were written to descriptors by them.
    pub bytes_out: u64,
    /// Time inside callbacks and polls, since the measurement began.
    pub busy: Duration,
    /// The longest single callback or poll since then. A longer one that has not ended yet is in
    /// `running` only.
    pub longest_step: Duration,
    /// The times that ready callbacks and tasks waited for their turn.
    pub lag: Lag,
    /// The callback or poll that runs now.
    pub running: Option<RunningStep>,
}

/// A callback or a poll that has begun and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningStep {
    /// The number of the task; `None` for a callback.
    pub task: Option<u64>,
    /// The time for which it has been running. Meanwhile the loop does nothing else.
    pub lasts: Duration,
}

/// A histogram of the times that ready callbacks and tasks waited for their turn.
///
/// The first bucket holds waits of up to a microsecond, each next one those of up to twice as long.
/// A callback or a task counts as ready since the beginning of the step that scheduled it. One that
/// a descriptor, a timer or another thread woke while the loop was busy counts as ready since the
/// loop's previous poll for events. So no wait is counted as shorter than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    counts: [u64; LAG_BUCKETS],
    sum: Duration,
}

impl Lag {
    /// The buckets in ascending order: the upper bound, which is `None` for the last one, and how
    /// many waits were within it and above the bound before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.measure(true);
    /// event_loop.run_until_complete(async {})?;
    /// let lag = event_loop.statistics().lag;
    /// assert_eq!(lag.buckets().next().unwrap().0, Some(Duration::from_micros(1)));
    /// assert_eq!(lag.buckets().map(|(_, count)| count).sum::<u64>(), lag.count());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bound = |bucket| Some(Duration::from_nanos(FIRST_BUCKET << bucket));
        let counts = self.counts.into_iter().enumerate();
        counts.map(move |(bucket, count)| {
            (if bucket + 1 < LAG_BUCKETS { bound(bucket) } else { None }, count)
        })
    }

    /// The number of waits.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all waits.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The mean wait; zero if there was none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let nanos = self.sum.as_nanos() / u128::from(self.count().max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// An upper bound for the given part (0.0 to 1.0) of the waits: the upper bound of the bucket
    /// in which the part is reached. `None` if there were no waits, or if that is the last bucket.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.measure(true);
    /// event_loop.run_until_complete(async {})?;
    /// println!("99% within {:?}", event_loop.statistics().lag.quantile(0.99));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = (part.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets()
            .find(|(_, count)| {
                seen += count;
                seen >= wanted
            })
            .and_then(|(bound, _)| bound)
    }
}

impl Statistics {
    /// Reads what the loop has written.
    pub(crate) fn read(gauges: &Gauges) -> Self {
        let nanos = |gauge: &Gauge| Duration::from_nanos(gauge.get());
        Self {
            at: LoopTime::from_nanos(gauges.at.get()),
            measured: gauges.measured.get() != 0,
            turns: gauges.turns.get(),
            steps: gauges.steps.get(),
            ready: gauges.ready.get(),
            tasks: gauges.tasks.get(),
            timers: gauges.timers.get(),
            descriptors: gauges.descriptors.get(),
            bytes_in: gauges.bytes_in.get(),
            bytes_out: gauges.bytes_out.get(),
            busy: nanos(&gauges.busy),
            longest_step: nanos(&gauges.longest),
            lag: Lag {
                counts: std::array::from_fn(|bucket| gauges.lag[bucket].get()),
                sum: nanos(&gauges.lag_sum),
            },
            running: running(gauges),
        }
    }
}

fn running(gauges: &Gauges) -> Option<RunningStep> {
    let (began, task) = loop {
        let began = gauges.step_began.acquire();
        let task = gauges.step_task.acquire();
        // Else the task may be that of another step.
        if gauges.step_began.get() == began {
            break (began, task);
        }
    };
    (began != 0).then(|| RunningStep {
        task: (task != 0).then_some(task),
        lasts: Duration::from_nanos(system_nanos().saturating_sub(began)),
    })
}
