//! Runs the programs of a row, alone and with tokio.

use std::fs;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::row::{Outcome, Program, Row};

/// A program that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// Libraries' threads have this much time to close their last descriptors.
const SETTLING: Duration = Duration::from_secs(5);

pub(crate) enum Verdict {
    Works { alone: bool },
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Alone,
    WithTokio,
}

/// Panic messages since the last run.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps panics instead of printing them: that a crate needs a runtime is a result here.
pub(crate) fn collect_panics() {
    panic::set_hook(Box::new(|info| panics().push(info.to_string())));
}

fn panics() -> std::sync::MutexGuard<'static, Vec<String>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn run(row: &Row) -> Verdict {
    // The first run does not check descriptors, since libraries start threads that stay.
    let first = attempt(&row.programs[0].1, Way::Alone);
    let alone = match first {
        Ok(()) => true,
        Err(error) if wants_tokio(&error) => false,
        Err(error) => return Verdict::Failed(format!("alone, the program: {error}")),
    };
    if let Err(error) = attempt(&row.programs[0].1, Way::WithTokio) {
        return Verdict::Failed(format!("with tokio, the program: {error}"));
    }
    let ways = if alone { &[Way::Alone, Way::WithTokio][..] } else { &[Way::WithTokio][..] };
    for way in ways {
        for (name, program) in &row.programs {
            let before = descriptors();
            if let Err(error) = attempt(program, *way) {
                return Verdict::Failed(format!("{way:?}, {name}: {error}"));
            }
            if !settles_to(before.len()) {
                let text = format!("{way:?}, {name}: {before:?} became {:?}", descriptors());
                return Verdict::Failed(text);
            }
        }
    }
    Verdict::Works { alone }
}

/// The messages of tokio, and of crates that check for its runtime themselves.
fn wants_tokio(error: &str) -> bool {
    error.contains("there is no reactor running")
        || error.contains("must be called from the context of a Tokio 1.x runtime")
        // The message of quinn.
        || error.contains("no async runtime found")
}

fn attempt(program: &Program, way: Way) -> Result<(), String> {
    panics().clear();
    let run = || -> Outcome {
        let limited = async { asyncio::timeout(LIMIT, program()).await? };
        match way {
            Way::Alone => asyncio::run(limited),
            Way::WithTokio => asyncio::tokio_runtime::run(limited),
        }
    };
    let result = catch_unwind(AssertUnwindSafe(run));
    let panics = panics().join("; ");
    match result {
        Ok(Ok(())) if panics.is_empty() => Ok(()),
        Ok(Err(error)) if panics.is_empty() => Err(error.to_string()),
        _ => Err(panics),
    }
}

/// The open files of this process.
fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let target = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
    entries.filter_map(target).map(|target| target.display().to_string()).collect()
}

fn settles_to(count: usize) -> bool {
    let start = Instant::now();
    while descriptors().len() > count {
        if start.elapsed() > SETTLING {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
    true
}
