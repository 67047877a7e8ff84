//! Processes, their CPU time, and medians.

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of what is measured.
const CORE: usize = 0;
/// The core of the load.
pub(crate) const LOAD_CORE: usize = 1;

/// Keeps this thread, and those that it starts, on one core.
pub(crate) fn pin_to(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    if sched_setaffinity(None, &cores).is_err() {
        eprintln!("can't run on core {core} alone: server and load disturb each other");
    }
}

/// This program once more, as something else. It ends when its input does.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().map(BufReader::new).ok_or(io::ErrorKind::Other)?;
        Ok(Self { input: child.stdin.take(), output, child })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{line}")
    }

    /// What the system has charged to its threads.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        let mut time = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let statistics = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanos = statistics.split(' ').next().and_then(|nanos| nanos.parse().ok());
            time += Duration::from_nanos(nanos.unwrap_or(0));
        }
        Ok(time)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// For a process of `Process`: waits until its starter has gone.
pub(crate) fn wait_for_end() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Puts what is measured on its core, unless it uses several.
pub(crate) fn settle(cores: usize) {
    if cores == 1 {
        pin_to(CORE);
    }
}

/// The figures of a contender, round by round.
#[derive(Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The median of the rounds' ratios.
    pub(crate) fn ratios(&self, others: &Self) -> f64 {
        median(self.0.iter().zip(&others.0).map(|(ours, theirs)| ours / theirs).collect())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&median(self.0.clone()), f)
    }
}
