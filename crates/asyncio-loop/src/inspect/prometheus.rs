//! The text format of Prometheus.

use std::fmt::{self, Display, Write};

use super::statistics::{Lag, Statistics};

impl Statistics {
    /// The numbers in the [text format 0.0.4] of Prometheus, to be served with the content type
    /// `text/plain; version=0.0.4`.
    ///
    /// `loop_name` is the label `loop` of each sample, which distinguishes the loops of a program.
    /// Numbers that only a measured loop has are left out for other loops.
    ///
    /// [text format 0.0.4]: https://prometheus.io/docs/instrumenting/exposition_formats/
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.run_until_complete(async {})?;
    /// let text = event_loop.statistics().to_prometheus("main");
    /// assert!(text.contains("# TYPE asyncio_loop_turns_total counter\n"));
    /// assert!(text.contains("asyncio_loop_turns_total{loop=\"main\"} 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_prometheus(&self, loop_name: &str) -> String {
        let mut page = Page { text: String::new(), label: escaped(loop_name) };
        // Writing to a string does not fail.
        let _ = page.write(self);
        page.text
    }
}

struct Page {
    text: String,
    label: String,
}

impl Page {
    fn write(&mut self, numbers: &Statistics) -> fmt::Result {
        self.counter("turns", "Turns of the loop.", numbers.turns)?;
        self.counter("steps", "Callbacks run and tasks polled.", numbers.steps)?;
        self.gauge("ready", "Callbacks and tasks that wait for their turn.", numbers.ready)?;
        self.gauge("tasks", "Tasks that have not ended.", numbers.tasks)?;
        self.gauge("timers", "Deadlines to come.", numbers.timers)?;
        self.gauge("descriptors", "Descriptors that the loop knows.", numbers.descriptors)?;
        self.counter("received_bytes", "Bytes read from descriptors.", numbers.bytes_in)?;
        self.counter("sent_bytes", "Bytes written to descriptors.", numbers.bytes_out)?;
        if !numbers.measured {
            return Ok(());
        }
        let busy = numbers.busy.as_secs_f64();
        self.counter("busy_seconds", "Time inside of callbacks and polls.", busy)?;
        let longest = numbers.longest_step.as_secs_f64();
        self.gauge("longest_step_seconds", "The longest callback or poll.", longest)?;
        let running = numbers.running.map_or(0.0, |step| step.lasts.as_secs_f64());
        self.gauge("running_step_seconds", "Age of the callback or poll that runs now.", running)?;
        self.lag(&numbers.lag)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.sample(&format!("{name}_total"), "counter", help, value)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.sample(name, "gauge", help, value)
    }

    fn sample(&mut self, name: &str, kind: &str, help: &str, value: impl Display) -> fmt::Result {
        self.head(name, kind, help)?;
        writeln!(self.text, "asyncio_loop_{name}{{loop=\"{}\"}} {value}", self.label)
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.text, "# HELP asyncio_loop_{name} {help}")?;
        writeln!(self.text, "# TYPE asyncio_loop_{name} {kind}")
    }

    /// The buckets of a histogram count all that is below their bounds.
    fn lag(&mut self, lag: &Lag) -> fmt::Result {
        let Self { text, label } = self;
        let name = "asyncio_loop_lag_seconds";
        writeln!(text, "# HELP {name} How long what was ready waited for its turn.")?;
        writeln!(text, "# TYPE {name} histogram")?;
        let mut total = 0;
        for (bound, count) in lag.buckets() {
            total += count;
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
            writeln!(text, "{name}_bucket{{loop=\"{label}\",le=\"{bound}\"}} {total}")?;
        }
        writeln!(text, "{name}_sum{{loop=\"{label}\"}} {}", lag.sum().as_secs_f64())?;
        writeln!(text, "{name}_count{{loop=\"{label}\"}} {total}")
    }
}

/// A label's value: a backslash, a quote and the end of a line are written as two characters.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
