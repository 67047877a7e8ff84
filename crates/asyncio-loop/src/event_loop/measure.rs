//! Statistics: the counters of a loop, and the turns of a measured loop.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::marks::{DEBUG, MEASURED};
use super::{Inner, LoopRef};
use crate::clock::system_nanos;
use crate::driver::Wait;
use crate::inspect::Statistics;
use crate::kernel::{CallbackRef, RunnableRef, TaskRef};
use crate::loop_handle::LoopHandle;
use crate::report;

/// A loop spends at most this fraction (1 / `COUNTING`) of its time on counting its tasks.
const COUNTING: u64 = 500;
/// Nanoseconds between two counts of the tasks, at least.
const COUNT_AFTER: u64 = 100_000_000;

/// Since when the entries of the ready queue have been ready.
#[derive(Debug, Default)]
pub(super) struct Measure(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    /// Ranges of steps: the number at their end, and the time since when they have been ready. In
    /// ascending order.
    waiting: VecDeque<(u64, u64)>,
    /// The number up to which entries are noted.
    noted: u64,
    /// When the last poll for events ended.
    polled: u64,
    /// The first deadline that had been reached then, or the time of that poll.
    due: u64,
    /// The time of the next count of the tasks.
    count_at: u64,
}

impl State {
    /// Notes that the entries up to `end` which are not noted yet are ready since `since`.
    fn note(&mut self, end: u64, since: u64) {
        if end > self.noted {
            self.waiting.push_back((end, since));
        }
        self.noted = end;
    }

    /// Since when the entry with this number has been ready, if that is known.
    fn ready_since(&mut self, number: u64) -> Option<u64> {
        while self.waiting.front().is_some_and(|(end, _)| *end <= number) {
            self.waiting.pop_front();
        }
        self.waiting.front().map(|(_, since)| *since)
    }
}

impl LoopRef {
    /// Returns the numbers of the loop so far.
    ///
    /// The call counts the tasks, so its time grows with their number.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let _task = event_loop.spawn(async {}, TaskOptions::new())?;
    /// let before = event_loop.statistics();
    /// assert_eq!((before.tasks, before.ready, before.steps), (1, 1, 0));
    /// event_loop.run_until_complete(async {})?;
    /// let after = event_loop.statistics();
    /// assert!(after.tasks == 0 && after.steps >= 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.publish();
        self.0.publish_tasks();
        self.handle().statistics()
    }

    /// Starts or ends the measurement of times: the time that steps take, and the time that ready
    /// callbacks and tasks wait for their turn. Starting sets them to zero; starting twice does
    /// nothing.
    ///
    /// A measured loop also publishes its numbers in each turn, so that other threads get them by
    /// [`LoopHandle::statistics`] while the loop's thread is blocked. It reads the clock at each
    /// step. A loop that is not measured pays nothing.
    ///
    /// A loop in debug mode can be measured too. A loop with a director of tests measures no times.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.measure(true);
    /// event_loop.run_until_complete(async {
    ///     std::thread::sleep(Duration::from_millis(5)); // blocks the loop
    /// })?;
    /// assert!(event_loop.statistics().longest_step >= Duration::from_millis(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn measure(&self, yes: bool) {
        let inner = &*self.0;
        if yes == self.is_measured() {
            return;
        }
        inner.scheduler.gauges().reset();
        inner.scheduler.gauges().measured.set(u64::from(yes));
        let now = system_nanos();
        let state = State { polled: now, due: now, ..State::default() };
        inner.measure.0.replace(state);
        inner.marks.set(MEASURED, yes);
        if yes {
            inner.note_scheduled(now);
        }
    }

    /// Whether times are measured: see [`measure`](Self::measure).
    #[doc(hidden)]
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.0.marks.has(MEASURED)
    }
}

impl LoopHandle {
    /// The numbers of the loop so far, as its thread has published them last: a
    /// [measured](LoopRef::measure) loop does so in each turn, any other loop when its own thread
    /// calls [`LoopRef::statistics`]. Only the number of turns is always current.
    ///
    /// The call does not disturb the loop, and works while the loop's thread is blocked: `running`
    /// names the blocking step.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.measure(true);
    /// let handle = event_loop.handle();
    /// event_loop.run_until_complete(async {
    ///     let other = std::thread::spawn(move || handle.statistics());
    ///     let seen = other.join().unwrap();
    ///     assert!(seen.running.is_some(), "by the step that waits for the thread");
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics::read(self.gauges())
    }
}

impl Inner {
    /// Publishes the numbers that are cheap to get.
    fn publish(&self) {
        let gauges = self.scheduler.gauges();
        gauges.at.set(self.clock.now());
        gauges.steps.set(self.scheduler.steps() as u64);
        gauges.ready.set(self.scheduler.ready() as u64);
        gauges.timers.set(self.timers.borrow().len() as u64);
        gauges.descriptors.set(self.driver.watched() as u64);
        let (bytes_in, bytes_out) = self.driver.bytes();
        gauges.bytes_in.set(bytes_in);
        gauges.bytes_out.set(bytes_out);
    }

    fn publish_tasks(&self) {
        self.scheduler.gauges().tasks.set(self.scheduler.task_count() as u64);
    }

    /// Notes that what was scheduled since the last note has been ready since then.
    fn note_scheduled(&self, since: u64) {
        let end = (self.scheduler.steps() + self.scheduler.ready()) as u64;
        self.measure.0.borrow_mut().note(end, since);
    }

    /// Called before the loop waits: polls for events that are there already, to distinguish them
    /// from those that come during the wait. Returns whether the loop has to wait.
    pub(super) fn measure_before_wait(
        &self,
        wait: Wait,
        ran: usize,
        left: usize,
    ) -> io::Result<bool> {
        if wait == Wait::Now {
            return Ok(true);
        }
        self.poll_driver(Wait::Now, ran, left)?;
        // The poll may have taken the event of a call from another thread, whose entry is there.
        Ok(self.scheduler.ready() == 0 && !self.scheduler.has_remote())
    }

    /// Called after a poll for events, before timers expire. Events that were found had come
    /// before, unless the loop has waited for them. Timers have been due since their deadlines.
    pub(super) fn measure_poll(&self, waited: bool) {
        let now = system_nanos();
        let polled = std::mem::replace(&mut self.measure.0.borrow_mut().polled, now);
        self.note_scheduled(if waited { now } else { polled });
        let deadline = self.next_deadline().and_then(|deadline| self.clock.system(deadline));
        self.measure.0.borrow_mut().due = deadline.map_or(now, |deadline| deadline.min(now));
        self.publish();
        if now >= self.measure.0.borrow().count_at {
            self.publish_tasks();
            let took = system_nanos().saturating_sub(now);
            let next = now + COUNT_AFTER.max(COUNTING * took);
            self.measure.0.borrow_mut().count_at = next;
        }
    }

    /// Runs `count` entries of a loop that is measured or recorded, or in debug mode.
    pub(super) fn run_watched(&self, count: usize) {
        if self.marks.has(DEBUG | MEASURED) {
            self.run_and_time(count);
        } else {
            self.scheduler.run_recorded(count);
        }
    }

    /// Times each of `count` runs. In debug mode, reports the slow ones by name.
    fn run_and_time(&self, count: usize) {
        let mut began = system_nanos();
        for _ in 0..count {
            let Some(what) = self.scheduler.peek() else { return };
            let measured = self.marks.has(MEASURED);
            if measured {
                self.measure_start(&what, began);
            }
            self.scheduler.run_recorded(1);
            let now = system_nanos();
            let took = now.saturating_sub(began);
            if measured {
                self.measure_end(began, took);
            }
            began = now;
            if self.marks.has(DEBUG) && took >= nanos(self.slow_callback.get()) {
                report_slow(what, Duration::from_nanos(took));
                self.scheduler.pause_recording();
                began = system_nanos();
            }
        }
    }

    fn measure_start(&self, what: &RunnableRef, now: u64) {
        let number = self.scheduler.steps() as u64;
        let since = {
            let mut state = self.measure.0.borrow_mut();
            // Entries without a note were woken by timers.
            let (end, due) = (number + self.scheduler.ready() as u64, state.due);
            state.note(end, due);
            state.ready_since(number)
        };
        let gauges = self.scheduler.gauges();
        if let Some(since) = since {
            gauges.count_lag(now.saturating_sub(since));
        }
        gauges.ready.set(self.scheduler.ready().saturating_sub(1) as u64);
        gauges.step_task.release(what.task_number().unwrap_or(0));
        gauges.step_began.release(now);
    }

    fn measure_end(&self, began: u64, took: u64) {
        let gauges = self.scheduler.gauges();
        gauges.step_began.set(0);
        gauges.busy.add(took);
        gauges.longest.set(gauges.longest.get().max(took));
        gauges.steps.set(self.scheduler.steps() as u64);
        gauges.ready.set(self.scheduler.ready() as u64);
        self.note_scheduled(began);
    }
}

fn report_slow(what: RunnableRef, took: Duration) {
    if let Some(callback) = CallbackRef::from_runnable(what.clone()) {
        report::slow_run(&format!("{callback:?}"), took);
    } else if let Ok(task) = TaskRef::from_runnable(what) {
        report::slow_run(&format!("{task:?}"), took);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
