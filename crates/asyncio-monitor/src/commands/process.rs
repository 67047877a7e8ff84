//! Commands about the process and its threads.

use std::backtrace::Backtrace;
use std::fmt::Write;
use std::time::Duration;

use asyncio_loop::{LoopHandle, Signal, raise_signal};
use asyncio_task::{TimeoutError, timeout, to_thread};

use super::Reply;
use crate::call::ask;
use crate::state::State;

/// Sends the process a signal, given by its name with or without `SIG`.
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

/// How long the stack of a blocked loop may take: the symbols of a large program take long to read.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The stacks of the loops' threads. Symbols are resolved on this thread, not on the loop's.
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
                let _ = writeln!(text, "loop {number} (thread {thread:?}):\n{stack}");
            }
            Err(silence) => {
                is_ok = false;
                let _ = writeln!(text, "{}", watched.why(&silence));
                text.push_str(&stack_of_blocked(watched.handle.clone()).await);
            }
        }
    }
    Reply { text, is_ok }
}

/// The stack of a loop's thread, taken without the loop's cooperation, as the watchdog does.
pub(super) async fn stack_of_blocked(handle: LoopHandle) -> String {
    let sample = to_thread(move || handle.sample().map(|step| step.stack()));
    let stack = match timeout(SAMPLE_TIMEOUT, sample).await {
        Ok(Ok(stack)) => stack,
        Ok(Err(_)) | Err(TimeoutError) => None,
    };
    let Some(stack) = stack else {
        return "  its stack is not known: the watchdog does not watch it, or it went on\n"
            .to_owned();
    };
    let lines = stack.iter().enumerate();
    lines.map(|(number, frame)| format!("{number:4}: {frame}\n")).collect()
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
