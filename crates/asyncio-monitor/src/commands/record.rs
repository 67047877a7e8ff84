//! The flight recorder of the loops: switching it on and off, and showing its events.

use asyncio_loop::running_loop;

use super::Reply;
use crate::call::ask;
use crate::state::State;

/// How many events are kept by default.
const EVENTS: usize = 100_000;

/// `record on [EVENTS]`, `record off`, or `record` to show the state.
pub(super) async fn run(state: &State, words: &[String]) -> Reply {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let events = match words[..] {
        [] => return Reply::ok(status(state)),
        ["on"] => Some(EVENTS),
        ["on", events] => match events.parse() {
            Ok(events) => Some(events),
            Err(_) => return Reply::failed(format!("{events:?} is no number of events")),
        },
        ["off"] => None,
        _ => return Reply::failed("usage: record [on [EVENTS] | off]"),
    };
    let answers = state.ask_each(move |watched, limit| async move {
        let switch = move |question: crate::call::Question<()>| {
            match events {
                Some(events) => drop(running_loop().record(events)),
                None => running_loop().stop_recording(),
            }
            question.answer(());
        };
        ask(&watched, limit, switch).await
    });
    let mut silent = String::new();
    for (watched, answer) in answers.await {
        if let Err(silence) = answer {
            silent.push_str(&format!("{}\n", watched.why(&silence)));
        }
    }
    let text = format!("{silent}{}", status(state));
    Reply { text, is_ok: silent.is_empty() }
}

fn status(state: &State) -> String {
    let loops = state.loops.open().into_iter().map(|watched| {
        let (number, thread) = (watched.number, &watched.thread);
        match watched.handle.recorder() {
            Some(recorder) => {
                let recording = recorder.recording();
                let (events, length) = (recording.events().count(), recording.length());
                let seconds = length.as_secs_f64();
                format!("loop {number} (thread {thread:?}): {events} events of {seconds:.3} s\n")
            }
            None => format!("loop {number} (thread {thread:?}) is not recorded\n"),
        }
    });
    loops.collect()
}
