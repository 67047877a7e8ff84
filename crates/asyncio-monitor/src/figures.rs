//! The statistics of a loop.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asyncio_loop::inspect::Statistics;
use serde::Serialize;

use crate::call::ask;
use crate::silence::Silence;
use crate::state::State;
use crate::watched::Watched;

/// The statistics of a loop. Times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    tasks: u64,
    ready: u64,
    timers: u64,
    descriptors: u64,
    turns: u64,
    steps: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// The time inside steps since the monitor started.
    busy: f64,
    longest_step: f64,
    /// How long ready callbacks waited to run: the mean, and upper bounds for 50 % and 99 % of the
    /// waits.
    lag_mean: f64,
    lag_half: Option<f64>,
    lag_99: Option<f64>,
}

/// A loop with its statistics.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) watched: Arc<Watched>,
    pub(crate) figures: Figures,
    /// How long a question waited in the queue, as a callback from another thread would.
    pub(crate) answer: Result<Duration, Silence>,
}

impl State {
    /// The statistics of each loop, including the ones that do not answer.
    pub(crate) async fn figures(&self) -> Vec<Measured> {
        let answers = self.ask_each(|watched, limit| async move {
            let asked = Instant::now();
            ask(&watched, limit, move |question| question.answer(asked.elapsed())).await
        });
        let measured = answers.await.into_iter().map(|(watched, answer)| {
            let figures = Figures::new(&watched.handle.statistics());
            Measured { watched, figures, answer }
        });
        measured.collect()
    }
}

impl Figures {
    fn new(statistics: &Statistics) -> Self {
        let seconds = |duration: Duration| duration.as_secs_f64();
        Self {
            tasks: statistics.tasks,
            ready: statistics.ready,
            timers: statistics.timers,
            descriptors: statistics.descriptors,
            turns: statistics.turns,
            steps: statistics.steps,
            bytes_in: statistics.bytes_in,
            bytes_out: statistics.bytes_out,
            busy: seconds(statistics.busy),
            longest_step: seconds(statistics.longest_step),
            lag_mean: seconds(statistics.lag.mean()),
            lag_half: statistics.lag.quantile(0.5).map(seconds),
            lag_99: statistics.lag.quantile(0.99).map(seconds),
        }
    }
}

/// A bound of a lag, in milliseconds.
fn bound(lag: Option<f64>) -> String {
    lag.map_or_else(|| "-".to_owned(), |lag| format!("{:.3} ms", lag * 1e3))
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  tasks        {}, {} ready", self.tasks, self.ready)?;
        writeln!(f, "  timers       {}", self.timers)?;
        writeln!(f, "  descriptors  {}", self.descriptors)?;
        writeln!(f, "  turns        {}", self.turns)?;
        writeln!(f, "  steps        {}", self.steps)?;
        writeln!(f, "  busy         {:.3} s", self.busy)?;
        writeln!(f, "  longest step {:.3} ms", self.longest_step * 1e3)?;
        writeln!(
            f,
            "  lag          mean {:.3} ms, half within {}, 99% within {}",
            self.lag_mean * 1e3,
            bound(self.lag_half),
            bound(self.lag_99),
        )?;
        writeln!(f, "  bytes        {} in, {} out", self.bytes_in, self.bytes_out)
    }
}
