//! Helpers of the kernel's tests.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::{EventLoop, TaskOptions};

/// A loop with virtual time: no test waits for a clock.
pub(crate) fn event_loop() -> EventLoop {
    EventLoop::builder().virtual_time(true).build().unwrap()
}

/// A loop that keeps its reports instead of logging them.
pub(crate) fn reporting_loop() -> (EventLoop, Reports) {
    let event_loop = event_loop();
    let reports = Reports::default();
    let kept = Rc::clone(&reports.0);
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        kept.borrow_mut().push(context.to_string());
    })));
    (event_loop, reports)
}

/// The reports that the exception handler got.
#[derive(Clone, Default)]
pub(crate) struct Reports(Rc<RefCell<Vec<String>>>);

impl Reports {
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Takes the reports, and checks that there is one for each text, in order, which contains the
    /// text.
    #[track_caller]
    pub(crate) fn expect(&self, texts: &[&str]) {
        let reports = self.0.take();
        assert_eq!(reports.len(), texts.len(), "{reports:?}");
        for (report, text) in reports.iter().zip(texts) {
            assert!(report.contains(text), "{report:?} says nothing of {text:?}");
        }
    }
}

/// Counts values that are alive. A value that is dropped twice frees its text twice.
#[derive(Clone, Default)]
pub(crate) struct Tally(Rc<(Cell<u32>, Cell<u32>)>);

impl Tally {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Makes a counted value.
    pub(crate) fn counted(&self) -> Counted {
        self.0.0.set(self.0.0.get() + 1);
        Counted { tally: self.clone(), text: "alive".to_owned() }
    }

    pub(crate) fn dropped(&self) -> u32 {
        self.0.1.get()
    }

    /// Checks that every counted value was dropped once.
    #[track_caller]
    pub(crate) fn expect_all_dropped(&self) {
        assert_eq!(self.0.0.get(), self.0.1.get(), "made and dropped");
    }
}

/// A value of a [`Tally`].
pub(crate) struct Counted {
    tally: Tally,
    text: String,
}

impl Counted {
    /// Reads the value's memory, so that the sanitizer notices a use after free.
    pub(crate) fn check(&self) {
        assert_eq!(self.text, "alive");
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.check();
        self.text = "dropped".to_owned();
        self.tally.0.1.set(self.tally.0.1.get() + 1);
    }
}

/// Calls a closure when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A value whose destructor drops its contents and then panics.
pub(crate) struct Bomb(pub(crate) &'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// A panic payload whose destructor panics with another payload of the same type. The last one has
/// to be forgotten, which leaks no memory, since the type has no size.
pub(crate) struct Cascade;

impl Drop for Cascade {
    fn drop(&mut self) {
        std::panic::panic_any(Cascade);
    }
}

/// Waits forever, holding `value`.
pub(crate) async fn pending_with<T>(value: T) {
    let _value = value;
    std::future::pending::<()>().await;
}

/// Waits for the next turn.
pub(crate) async fn turn() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Makes `turns` turns.
pub(crate) fn run_turns(event_loop: &EventLoop, turns: usize) {
    let turns = async {
        for _ in 0..turns {
            turn().await;
        }
    };
    event_loop.run_task(turns, TaskOptions::new().hidden()).unwrap();
}

/// The message of the panic of `f`; panics if `f` does not.
#[track_caller]
pub(crate) fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&'static str>().unwrap()).to_owned(),
    }
}
