//! Passes over notified futures that are not polled, on this project's loop.
//!
//! The loop runs tasks and callbacks in the order in which they became ready. So a callback that is
//! scheduled after a future was notified runs after that future's task. If it finds the same
//! notification still unanswered, the future is not going to be polled. Unlike a
//! [deputy](crate::turn) this needs no other waiting future to be polled, so it passes over any
//! number of stalled futures. It costs nothing for each notification: one timer that is due at once
//! schedules the callback when the loop next polls its driver, for all lines together, some tens of
//! microseconds later on a busy loop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use asyncio_loop::machinery::with_running;
use asyncio_loop::{ErrorContext, LoopRef, TaskRef};

use crate::line::Shared;
use crate::waiters::Call;

/// The lines of one loop that have unanswered notifications.
#[derive(Debug, Default)]
struct Watch {
    lines: RefCell<Vec<Watched>>,
    armed: Cell<bool>,
}

#[derive(Debug)]
struct Watched {
    line: Rc<Shared>,
    /// The oldest unanswered notification at the last check.
    seen: Call,
    /// The next check may be in the ready queue already, in front of the notified future.
    is_new: bool,
    /// In debug mode, the tasks that were notified.
    called: Vec<(Call, TaskRef)>,
}

/// Makes the running loop watch a line. False if no loop of this project runs on this thread.
#[cold]
pub(crate) fn watch(line: &Rc<Shared>, call: Call) -> bool {
    with_running(|event_loop| {
        line.set_watched(true);
        let watch = event_loop.local::<Watch>();
        let is_new = watch.armed.get();
        let watched = Watched { line: line.clone(), seen: call, is_new, called: vec![] };
        watch.lines.borrow_mut().push(watched);
        watch.arm(event_loop);
    })
    .is_ok()
}

/// Remembers the notified task of a watched line, for a report if it does not answer.
#[cold]
pub(crate) fn remember(line: &Rc<Shared>, call: Call, task: TaskRef) {
    // Outside a run nothing is watched.
    let _ = with_running(|event_loop| {
        let watch = event_loop.local::<Watch>();
        let mut lines = watch.lines.borrow_mut();
        if let Some(watched) = lines.iter_mut().find(|watched| Rc::ptr_eq(&watched.line, line)) {
            watched.called.push((call, task));
        }
    });
}

impl Watch {
    /// Schedules a check of the lines for when the loop next polls, after everything that is ready
    /// now.
    fn arm(self: &Rc<Self>, event_loop: &LoopRef) {
        if !self.armed.replace(true) {
            let this = self.clone();
            event_loop.call_at(event_loop.time(), move || this.check());
        }
    }

    fn check(self: Rc<Self>) {
        self.armed.set(false);
        let mut lines = self.lines.take();
        lines.retain_mut(Watched::check);
        // Passing over wakes other futures, and a foreign waker may have added another line.
        self.lines.borrow_mut().append(&mut lines);
        if !self.lines.borrow().is_empty() {
            // A callback runs inside a run, so there is a loop.
            let _ = with_running(|event_loop| self.arm(event_loop));
        }
    }
}

impl Watched {
    /// Passes over the future that was notified before the last check and has not answered. False
    /// if no notification is unanswered.
    fn check(&mut self) -> bool {
        let was_new = std::mem::take(&mut self.is_new);
        if !was_new && self.line.call_that_holds_up() == Some(self.seen) {
            self.line.pass_over();
            self.report();
        }
        match self.line.call_that_holds_up() {
            Some(call) => {
                self.seen = call;
                self.called.retain(|(other, _)| *other >= call);
            }
            None => {
                self.line.set_watched(false);
                return false;
            }
        }
        true
    }

    /// Reports the task that was passed over, if debug mode knows it.
    fn report(&self) {
        let Some((_, task)) = self.called.iter().find(|(call, _)| *call == self.seen) else {
            return;
        };
        let message = "a future was woken for its turn and never polled: it was passed over";
        let context = ErrorContext::new(message).with_task(task.clone());
        // A callback runs inside a run, so there is a loop.
        let _ = with_running(|event_loop| event_loop.report(&context));
    }
}

impl Drop for Watch {
    /// The loop is closed. Other loops may still use the lines.
    fn drop(&mut self) {
        for watched in self.lines.get_mut() {
            watched.line.set_watched(false);
        }
    }
}
