//! Figures of a loop.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asyncio_loop::running_loop;
use serde::Serialize;

use crate::call::ask;
use crate::server::State;
use crate::watched::{Silence, Watched};

/// What a loop has done, and how long it took to answer. Times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    tasks: usize,
    timers: usize,
    turns: u64,
    /// How long the question stood in line: a callback from another thread waits as long.
    lag: f64,
    is_debug: bool,
}

impl State {
    /// The figures of each loop.
    pub(crate) async fn figures(&self) -> Vec<(Arc<Watched>, Result<Figures, Silence>)> {
        self.ask_each(|watched, limit| async move {
            let asked = Instant::now();
            let answer = ask(&watched, limit, move |question| {
                question.answer(Figures::look(asked.elapsed()));
            });
            answer.await
        })
        .await
    }
}

impl Figures {
    fn look(lag: Duration) -> Self {
        let event_loop = running_loop();
        Self {
            tasks: event_loop.all_tasks().len(),
            timers: event_loop.timer_count(),
            turns: event_loop.turns(),
            lag: lag.as_secs_f64(),
            is_debug: event_loop.is_debug(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  tasks      {}", self.tasks)?;
        writeln!(f, "  timers     {}", self.timers)?;
        writeln!(f, "  turns      {}", self.turns)?;
        writeln!(f, "  lag        {:.3} ms", self.lag * 1e3)?;
        writeln!(f, "  debug mode {}", if self.is_debug { "on" } else { "off" })
    }
}
