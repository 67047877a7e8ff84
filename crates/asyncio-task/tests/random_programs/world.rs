//! The record of a run, and the rules that it has to keep.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_task::{TaskRef, current_task};

/// The record of a run.
#[derive(Default)]
pub(crate) struct World {
    /// For each `finally`: whether its body was polled, and how often its cleanup has begun and
    /// ended.
    pub(crate) finals: RefCell<Vec<Final>>,
    /// Number of live futures of children and bodies.
    pub(crate) alive: Cell<usize>,
    /// Number of requests to the task.
    pub(crate) requests: Cell<usize>,
    /// Number of delivered requests: all except those made during the present poll of the task.
    pub(crate) delivered: Cell<usize>,
    /// Tasks that any other task may cancel.
    pub(crate) victims: RefCell<Vec<TaskRef>>,
    /// The program has ended.
    pub(crate) has_ended: Cell<bool>,
    /// Number of requests that were caught and not resumed.
    pub(crate) caught: Cell<usize>,
    /// A wait that returned a value may have answered a request.
    pub(crate) answered: Cell<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Final {
    pub(crate) parent: Option<usize>,
    pub(crate) begun: u32,
    pub(crate) ended: u32,
    pub(crate) dropped_by_others: bool,
}

impl World {
    pub(crate) fn add_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Called when a poll of the task begins.
    pub(crate) fn begin_poll(&self) {
        self.delivered.set(self.requests.get());
    }

    /// Called when a wait has returned a value, with [`delivered`](Self::delivered) from before the
    /// wait: it may have answered the requests made since.
    pub(crate) fn has_answered(&self, before: usize) {
        if self.requests.get() > before {
            self.answered.set(true);
        }
    }

    /// Lets any task cancel the running task.
    pub(crate) fn add_victim(&self) {
        self.victims.borrow_mut().extend(current_task());
    }

    /// A cleanup begins: the cleanups inside its body must be over.
    pub(crate) fn begin(&self, number: usize) {
        let finals = &mut self.finals.borrow_mut();
        finals[number].begun += 1;
        let is_open = |inner: &Final| inner.begun != inner.ended && !inner.dropped_by_others;
        let open = finals.iter().any(|f| f.parent == Some(number) && is_open(f));
        assert!(!open, "an inner cleanup is still running");
    }

    pub(crate) fn end(&self, number: usize) {
        self.finals.borrow_mut()[number].ended += 1;
    }

    /// Checks the rules at the end. `whole`: the program was not dropped.
    pub(crate) fn check(&self, whole: bool) {
        assert_eq!(self.alive.get(), 0, "children are left");
        for (number, each) in self.finals.borrow().iter().enumerate() {
            if each.dropped_by_others || !whole {
                assert!(each.begun <= 1 && each.ended <= each.begun, "cleanup {number}: {each:?}");
            } else {
                assert_eq!((each.begun, each.ended), (1, 1), "cleanup {number}: {each:?}");
            }
        }
    }
}

/// Counts a child while its future lives, in total and in its group.
pub(crate) struct Alive {
    world: Rc<World>,
    siblings: Rc<Cell<usize>>,
}

impl Alive {
    pub(crate) fn new(world: &Rc<World>, siblings: &Rc<Cell<usize>>) -> Self {
        world.alive.set(world.alive.get() + 1);
        siblings.set(siblings.get() + 1);
        Self { world: Rc::clone(world), siblings: Rc::clone(siblings) }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.world.alive.set(self.world.alive.get() - 1);
        self.siblings.set(self.siblings.get() - 1);
    }
}

/// A future that panics if it is polled after its end.
pub(crate) struct Once<F>(Option<Pin<Box<F>>>);

impl<F: Future> Once<F> {
    pub(crate) fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future> Future for Once<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.0.as_mut().expect("polled after its end");
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}
