//! Commands about the process and its threads.

use std::backtrace::Backtrace;

use asyncio_loop::{Signal, raise_signal};

use super::Reply;
use crate::call::ask;
use crate::state::State;

/// Sends the process a signal, by its name with or without `SIG`.
pub(super) fn signal(name: &str) -> Reply {
    match find(name) {
        None => Reply::failed(format!("Unknown signal {name}\n")),
        Some(signal) => match raise_signal(signal) {
            Ok(()) => Reply::ok(format!("Sent {signal} to the process\n")),
            Err(error) => Reply::failed(format!("{signal}: {error}\n")),
        },
    }
}

fn find(name: &str) -> Option<Signal> {
    const NAMED: [Signal; 14] = [
        Signal::ALRM,
        Signal::CHLD,
        Signal::CONT,
        Signal::HUP,
        Signal::INT,
        Signal::KILL,
        Signal::PIPE,
        Signal::QUIT,
        Signal::STOP,
        Signal::TERM,
        Signal::TSTP,
        Signal::USR1,
        Signal::USR2,
        Signal::WINCH,
    ];
    let name = name.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    match name.strip_prefix("RTMIN+") {
        Some(number) => Signal::real_time(number.parse().ok()?),
        None => {
            NAMED.into_iter().find(|signal| signal.to_string().strip_prefix("SIG") == Some(name))
        }
    }
}

/// The stacks of the loops' threads. Symbols are looked up here, not on the loop.
pub(super) async fn stacktrace(state: &State) -> Reply {
    let mut text = String::new();
    let mut is_ok = true;
    let answers = state.ask_each(|watched, limit| async move {
        ask(&watched, limit, |question| question.answer(Backtrace::force_capture())).await
    });
    for (watched, answer) in answers.await {
        match answer {
            Ok(stack) => {
                let (number, thread) = (watched.number, &watched.thread);
                text.push_str(&format!("loop {number} (thread {thread:?}):\n{stack}\n"));
            }
            Err(silence) => {
                is_ok = false;
                text.push_str(&format!("{}\n", silence.text(&watched)));
            }
        }
    }
    Reply { text, is_ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names() {
        assert_eq!(find("SIGUSR1"), Some(Signal::USR1));
        assert_eq!(find("term"), Some(Signal::TERM));
        assert_eq!(find("SIGRTMIN+1"), Signal::real_time(1));
        assert_eq!(find("SIGNONSENSE"), None);
        // I-032
        assert_eq!(signal("NONSENSE"), Reply::failed("Unknown signal NONSENSE\n"));
    }
}
