//! The command line.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Shows the tasks of a running program of asyncio, which was started with ASYNCIO_MONITOR=1.

usage: asyncio-ps                       the processes that can be looked at
       asyncio-ps ps PID [OPTIONS]      a table of the tasks
                 -f TEXT                only those with TEXT in name, function or wait
                 -s COLUMN              sorted: id, name, state, function, age, polls, waited
                 -r                     reversed
                 -n COUNT               the first COUNT
       asyncio-ps pstree PID            who awaits whom; status 1 if tasks wait for each other
       asyncio-ps where PID TASK        who made a task, where it waits, and its full stack, for
                                        which the task is polled once
       asyncio-ps top PID [-n ROWS] [-i SECONDS] [-c TIMES]
                                        the tasks that run most often, again and again
       asyncio-ps stats PID             figures of the loops
       asyncio-ps stack PID             the stacks of the loops' threads
       asyncio-ps record PID FILE       saves what the flight recorder has, for Perfetto;
                                        run PID record on begins a recording
       asyncio-ps run PID COMMAND...    any command of the monitor; help lists them

PID is the number of a process, or the path of a monitor's Unix socket.
";

pub(crate) struct Arguments {
    pub(crate) action: Action,
}

/// The process to inspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Process(u32),
    Path(PathBuf),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Help,
    List,
    Command { target: Target, line: String },
    Record { target: Target, file: PathBuf },
    Top { target: Target, rounds: Option<u64>, interval: Duration, rows: usize },
}

impl Arguments {
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let action = match words[..] {
            [] | ["list"] => Action::List,
            ["help" | "-h" | "--help", ..] => Action::Help,
            [action, target, ref rest @ ..] => of_process(action, target_of(target)?, rest)?,
            [word] => return Err(format!("{word} needs the number of a process: see --help")),
        };
        Ok(Self { action })
    }
}

fn target_of(word: &str) -> Result<Target, String> {
    if word.contains('/') {
        return Ok(Target::Path(word.into()));
    }
    let number = word.parse().map_err(|_| format!("{word} is not the number of a process"))?;
    Ok(Target::Process(number))
}

fn of_process(action: &str, target: Target, rest: &[&str]) -> Result<Action, String> {
    let line = match (action, rest) {
        ("top", rest) => return top(target, rest),
        ("record", [file]) => return Ok(Action::Record { target, file: file.into() }),
        ("ps", rest) => line("ps", rest),
        ("pstree", []) => "graph".to_owned(),
        ("where", [task]) => line("where", &[task]),
        ("stats", []) => "stats".to_owned(),
        ("stack", []) => "stacktrace".to_owned(),
        ("run", [first, rest @ ..]) => line(first, rest),
        _ => return Err(format!("{action} is not used like that: see --help")),
    };
    Ok(Action::Command { target, line })
}

/// A line of the console, whose words may contain blanks.
fn line(first: &str, rest: &[&str]) -> String {
    let mut line = quoted(first);
    for word in rest {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    line
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn top(target: Target, rest: &[&str]) -> Result<Action, String> {
    let (mut rounds, mut interval, mut rows) = (None, Duration::from_secs(1), 20);
    let mut words = rest.iter();
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        let bad = || format!("{value} is not a number");
        match *option {
            "-n" => rows = value.parse().map_err(|_| bad())?,
            "-c" => rounds = Some(value.parse().map_err(|_| bad())?),
            "-i" => {
                let seconds = value.parse::<f64>().map_err(|_| bad())?;
                interval = Duration::try_from_secs_f64(seconds).map_err(|_| bad())?;
            }
            _ => return Err(format!("top has no option {option}: see --help")),
        }
    }
    Ok(Action::Top { target, rounds, interval, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Action, String> {
        let words = words.iter().map(|&word| word.to_owned());
        Arguments::parse(words).map(|arguments| arguments.action)
    }

    fn command(line: &str) -> Result<Action, String> {
        Ok(Action::Command { target: Target::Process(7), line: line.to_owned() })
    }

    #[test]
    fn words_become_lines_of_the_console() {
        assert_eq!(parse(&[]), Ok(Action::List));
        assert_eq!(parse(&["ps", "7"]), command("ps"));
        assert_eq!(parse(&["ps", "7", "-f", "a b"]), command("ps -f 'a b'"));
        assert_eq!(parse(&["ps", "7", "-f", "it's"]), command("ps -f 'it'\\''s'"));
        assert_eq!(parse(&["pstree", "7"]), command("graph"));
        assert_eq!(parse(&["where", "7", "12"]), command("where 12"));
        assert_eq!(parse(&["run", "7", "limit", "20"]), command("limit 20"));
        let target = Target::Path("./x.sock".into());
        let line = "ps".to_owned();
        assert_eq!(parse(&["ps", "./x.sock"]), Ok(Action::Command { target, line }));
    }

    #[test]
    fn top_has_options() {
        let interval = Duration::from_millis(500);
        let target = Target::Process(7);
        let expected = Action::Top { target, rounds: Some(2), interval, rows: 5 };
        assert_eq!(parse(&["top", "7", "-n", "5", "-i", "0.5", "-c", "2"]), Ok(expected));
        assert!(parse(&["top", "7", "-i", "-1"]).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [&["ps"][..], &["ps", "x"], &["where", "7"], &["tea", "7"], &["run", "7"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
