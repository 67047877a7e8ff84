//! Ctrl-C during a run.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::Interrupt;
use asyncio_loop::machinery::{is_default_signal, with_running};
use asyncio_loop::{LoopRef, RunError, Signal, TaskRef, raise_signal};
use pin_project_lite::pin_project;

use crate::task::TaskRefExt;

/// Handles Ctrl-C until dropped: the first cancels the main task, the second stops the loop.
pub(crate) struct MainInterrupt {
    state: Rc<State>,
    _interrupt: Interrupt,
}

#[derive(Default)]
struct State {
    main: RefCell<Option<TaskRef>>,
    count: Cell<u32>,
}

impl MainInterrupt {
    /// `None` except on the main thread, and if another handler of the signal is installed.
    pub(crate) fn new(event_loop: &LoopRef) -> Option<Self> {
        let state = Rc::new(State::default());
        let (told, this) = (Rc::clone(&state), event_loop.clone());
        let interrupt = Interrupt::handle(event_loop, move || told.interrupt(&this))?;
        Some(Self { state, _interrupt: interrupt })
    }

    /// The result of a run that Ctrl-C has ended.
    pub(crate) fn explain<T>(&self, result: Result<T, RunError>) -> Result<T, RunError> {
        let count = self.state.count.get();
        match result {
            Err(RunError::Stopped) if count > 1 => Err(RunError::Interrupted),
            // If other code had cancelled the task as well, that cancellation counts.
            Err(RunError::Cancelled) if count > 0 && self.state.is_only_reason() => {
                Err(RunError::Interrupted)
            }
            result => result,
        }
    }
}

/// Ends the process as Ctrl-C does when it is not handled. Returns if a handler is installed by
/// now.
#[cold]
pub(crate) fn end_process() {
    if is_default_signal(Signal::INT) {
        // Printed output is flushed, as at any other end of a process. Its reader may be gone.
        let _ = io::stdout().flush();
        // It returns if the signal is blocked.
        let _ = raise_signal(Signal::INT);
    }
}

impl State {
    fn interrupt(&self, event_loop: &LoopRef) {
        self.count.set(self.count.get() + 1);
        let main = self.main.borrow().clone();
        match main {
            Some(main) if self.count.get() == 1 => {
                main.cancel_with("interrupted");
            }
            _ => event_loop.stop(),
        }
    }

    fn is_only_reason(&self) -> bool {
        self.main.borrow().as_ref().is_some_and(|main| main.uncancel() == 0)
    }
}

impl fmt::Debug for MainInterrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MainInterrupt")
            .field("count", &self.state.count.get())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The main future, which notes its task when it is polled.
    pub(crate) struct Main<F> {
        #[pin]
        future: F,
        state: Option<Rc<State>>,
    }
}

impl<F> Main<F> {
    pub(crate) fn new(future: F, interrupt: Option<&MainInterrupt>) -> Self {
        Self { future, state: interrupt.map(|interrupt| Rc::clone(&interrupt.state)) }
    }
}

impl<F: Future> Future for Main<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(state) = this.state.take() {
            let task = with_running(|event_loop| event_loop.stepped_task()).ok().flatten();
            *state.main.borrow_mut() = task;
        }
        this.future.poll(cx)
    }
}
