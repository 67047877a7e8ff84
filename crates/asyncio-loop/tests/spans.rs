//! The feature `tracing`: a span for each task.
#![cfg(feature = "tracing")]

use std::collections::HashMap;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use asyncio_loop::inspect::TaskSpans;
use asyncio_loop::{EventLoop, TaskOptions, running_loop};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Logs what happens to spans, by the names of their tasks.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: HashMap<u64, String>,
    open: Vec<u64>,
    lines: Vec<String>,
}

struct Find(&'static str, String);

impl Visit for Find {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == self.0 {
            self.1 = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.0 {
            value.clone_into(&mut self.1);
        }
    }
}

impl State {
    fn note(&mut self, span: &Id, what: &str) {
        let line = format!("{} {what}", self.names[&span.into_u64()]);
        self.lines.push(line);
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut state = self.0.lock().unwrap();
        let mut name = Find("name", String::new());
        attributes.record(&mut name);
        let number = state.names.len() as u64 + 1;
        state.names.insert(number, name.1);
        let parent = state.open.last().map_or("nobody".to_owned(), |id| state.names[id].clone());
        assert_eq!(attributes.metadata().target(), "asyncio::task");
        state.note(&Id::from_u64(number), &format!("made in {parent}"));
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut ended = Find("ended", String::new());
        values.record(&mut ended);
        self.0.lock().unwrap().note(span, &ended.1);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Find("message", String::new());
        event.record(&mut message);
        let mut state = self.0.lock().unwrap();
        let open = *state.open.last().expect("in a task");
        state.note(&Id::from_u64(open), &format!("says {}", message.1));
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().open.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.0.lock().unwrap().open.pop(), Some(span.into_u64()));
    }

    fn try_close(&self, span: Id) -> bool {
        self.0.lock().unwrap().note(&span, "closed");
        true
    }
}

#[test]
fn a_task_has_a_span_that_it_is_polled_in() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let event_loop = EventLoop::new().unwrap();
        event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
        event_loop.add_task_hooks(Rc::new(TaskSpans::new()));
        let main = async {
            tracing::info!("hello");
            let child = async {
                tracing::info!("hello too");
                panic!("meant");
            };
            let child = running_loop().spawn(child, TaskOptions::new().name("child")).unwrap();
            let mut polls = 0;
            std::future::poll_fn(|cx| {
                polls += 1;
                if polls == 3 {
                    return std::task::Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            drop(child);
        };
        event_loop.run_task(main, TaskOptions::new().name("main")).unwrap();
    });
    let state = log.0.lock().unwrap();
    assert!(state.open.is_empty());
    // A span is closed when its last handle is dropped. The number of handles is not fixed, so
    // lines about closing are left out.
    let lines: Vec<&str> =
        state.lines.iter().map(String::as_str).filter(|line| !line.ends_with("closed")).collect();
    assert_eq!(
        lines,
        [
            "main made in nobody",
            "main says hello",
            "child made in main",
            "child says hello too",
            "child panicked",
            "main finished",
        ]
    );
    for name in ["main", "child"] {
        assert!(state.lines.iter().any(|line| *line == format!("{name} closed")));
    }
}
