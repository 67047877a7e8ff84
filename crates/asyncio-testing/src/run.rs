//! One run of a body, on a loop of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::machinery::NumbersFromOne;
use asyncio_loop::{EventLoop, RunError};
use asyncio_task::{Runner, sleep};

use crate::choices::{Choices, Decision};
use crate::conductor::{Conductor, Settings};
use crate::failure::FailureKind;
use crate::outcome::TestOutcome;
use crate::quiet::{self, Quiet};
use crate::schedule::{Schedule, Switch};
use crate::trace::Trace;

/// The plan of a run.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) choices: Choices,
    /// Whether this run is for the report of a failure: it names tasks, describes switches, and
    /// makes locks record their holders.
    pub(crate) explain: bool,
    /// Whether panics are printed when they happen.
    pub(crate) loud: bool,
}

impl Plan {
    pub(crate) fn new(schedule: &Schedule) -> Self {
        let choices = Choices::of(schedule);
        Self { seed: schedule.seed(), choices, explain: false, loud: false }
    }

    pub(crate) fn explained(self) -> Self {
        Self { explain: true, ..self }
    }
}

/// The result of a run.
pub(crate) struct Ended<R> {
    /// The value of the body, unless the run failed.
    pub(crate) result: Result<R, (FailureKind, String)>,
    pub(crate) steps: u64,
    pub(crate) switches: Vec<Switch>,
    pub(crate) explored: Vec<Decision>,
    pub(crate) trace: Trace,
    pub(crate) words: Vec<String>,
    /// Reports to the exception handler.
    pub(crate) reports: Vec<String>,
    pub(crate) jobs_not_waited_for: usize,
}

/// Runs the body once.
pub(crate) fn run_once<R: TestOutcome>(
    settings: &Rc<Settings>,
    plan: Plan,
    body: &mut impl AsyncFnMut() -> R,
) -> Ended<R> {
    let _numbers = NumbersFromOne::new();
    let _quiet = Quiet::new(plan.loud);
    let conductor = Rc::new(Conductor::new(settings, plan.seed, plan.choices, plan.explain));
    let mut runner = runner(&conductor, settings.grace_period, plan.explain);
    let ran = catch_unwind(AssertUnwindSafe(|| runner.run(body())));
    let result = judge(&conductor, ran);
    if result.is_ok() {
        finish_jobs(&mut runner, &conductor);
    }
    conductor.close(result.is_err());
    let closed = catch_unwind(AssertUnwindSafe(|| runner.close()));
    drop(runner);
    conductor.end_companions();
    let mut result = match (result, closed) {
        (Ok(_), Err(payload)) => Err((FailureKind::Panic, quiet::words(&*payload))),
        (result, _) => result,
    };
    let reports = conductor.take_reports();
    if result.is_ok() && !settings.allow_reports && !reports.is_empty() {
        result = Err((FailureKind::Report, format!("reported: {}", reports.join("\n  "))));
    }
    let choices = conductor.choices();
    Ended {
        result,
        steps: conductor.steps(),
        switches: choices.switches().to_vec(),
        explored: choices.explored().to_vec(),
        trace: conductor.take_trace(),
        words: conductor.take_words(),
        reports,
        jobs_not_waited_for: conductor.jobs().not_waited_for(),
    }
}

/// A runner whose loop the conductor directs.
fn runner(conductor: &Rc<Conductor>, grace_period: Duration, explain: bool) -> Runner {
    let conductor = Rc::clone(conductor);
    let make = move || {
        let event_loop = EventLoop::builder().virtual_time(true).debug(explain).build()?;
        conductor.direct(&event_loop);
        Ok(event_loop)
    };
    Runner::builder().grace_period(grace_period).loop_factory(make).build()
}

/// Converts the main task's end to a failure, if it is one.
fn judge<R: TestOutcome>(
    conductor: &Conductor,
    ran: Result<Result<R, RunError>, Box<dyn Any + Send>>,
) -> Result<R, (FailureKind, String)> {
    if let Some(failure) = conductor.take_failure() {
        return Err(failure);
    }
    match ran {
        Ok(Ok(value)) => match value.failure() {
            None => Ok(value),
            Some(error) => Err((FailureKind::Error, error)),
        },
        Ok(Err(error)) => Err((FailureKind::Ended, error.to_string())),
        Err(payload) => Err((FailureKind::Panic, quiet::words(&*payload))),
    }
}

/// Runs the jobs that are not awaited, as the end of a program does.
fn finish_jobs(runner: &mut Runner, conductor: &Conductor) {
    while conductor.jobs().are_waiting() {
        if runner.run(sleep(Duration::from_millis(1))).is_err() {
            return;
        }
    }
}
