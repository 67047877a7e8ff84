//! `asyncio-ps`: shows the tasks of a running asyncio program from outside.

#![forbid(unsafe_code)]

mod arguments;
mod find;
mod socket;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;

use arguments::{Action, Arguments};
use socket::{Answer, Monitor};

/// The command has failed: for instance, tasks wait for each other in a cycle, or there is no such
/// task.
const FAILED: u8 = 1;
/// The command line is invalid.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(text) => return complain(&text, USAGE),
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        // The reader has closed the pipe, as in `asyncio-ps ps 1 | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string(), FAILED),
    }
}

fn complain(text: &str, status: u8) -> ExitCode {
    // There is no way to report an error.
    let _ = writeln!(io::stderr(), "asyncio-ps: {text}");
    ExitCode::from(status)
}

/// Whether the command has succeeded.
fn run(arguments: &Arguments) -> io::Result<bool> {
    match &arguments.action {
        Action::Help => print(arguments::HELP).map(|()| true),
        Action::List => list(),
        Action::Command { target, line } => command(&find::monitor(target)?, line),
        Action::Record { target, file } => {
            std::fs::write(file, find::monitor(target)?.recording()?).map(|()| true)
        }
        Action::Top { target, rounds, interval, rows } => {
            top::run(&find::monitor(target)?, *rounds, *interval, *rows).map(|()| true)
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The program chooses names, which may contain control sequences.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn list() -> io::Result<bool> {
    let processes = find::processes()?;
    if processes.is_empty() {
        print("no process can be looked at: start one with ASYNCIO_MONITOR=1\n")?;
        return Ok(false);
    }
    let mut text = "PID      Program\n".to_owned();
    for (process, path) in processes {
        let program = Monitor::at(path).program().unwrap_or_else(|error| format!("({error})"));
        let program = harmless(&program).replace('\n', "\u{fffd}");
        text.push_str(&format!("{process:<7}  {program}\n"));
    }
    print(&text).map(|()| true)
}

fn command(monitor: &Monitor, line: &str) -> io::Result<bool> {
    let Answer { is_ok, text } = monitor.command(line)?;
    let text = harmless(&text);
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    if is_ok {
        print(&format!("{text}{end}"))?;
    } else {
        write!(io::stderr(), "{text}{end}")?;
    }
    Ok(is_ok)
}
