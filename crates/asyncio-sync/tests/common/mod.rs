//! A single-threaded executor whose turns the test controls.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// A task of [`Turns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(usize);

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Ready = Arc<Mutex<VecDeque<usize>>>;

/// An executor that polls tasks in the order of their wakes, as asyncio does: a turn polls the
/// tasks that were woken before it began.
#[derive(Default)]
pub struct Turns {
    tasks: RefCell<Vec<Option<Task>>>,
    ready: Ready,
}

struct TaskWaker {
    id: usize,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap();
        if !ready.contains(&self.id) {
            ready.push_back(self.id);
        }
    }
}

impl Turns {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task, which is ready for the next turn.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Id {
        let id = self.tasks.borrow().len();
        self.tasks.borrow_mut().push(Some(Box::pin(future)));
        self.ready.lock().unwrap().push_back(id);
        Id(id)
    }

    /// Cancels a task.
    pub fn cancel(&self, id: Id) {
        let task = self.tasks.borrow_mut()[id.0].take();
        drop(task);
    }

    pub fn is_done(&self, id: Id) -> bool {
        self.tasks.borrow()[id.0].is_none()
    }

    /// Polls the tasks that are ready now. Returns false if there were none.
    pub fn turn(&self) -> bool {
        let batch: Vec<usize> = self.ready.lock().unwrap().drain(..).collect();
        for &id in &batch {
            self.poll(id);
        }
        !batch.is_empty()
    }

    /// Makes turns until no task is ready.
    pub fn run(&self) {
        for _ in 0..10_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("tasks wake each other forever");
    }

    /// The number of unfinished tasks.
    pub fn unfinished(&self) -> usize {
        self.tasks.borrow().iter().flatten().count()
    }

    fn poll(&self, id: usize) {
        let Some(mut task) = self.tasks.borrow_mut()[id].take() else { return };
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: self.ready.clone() }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.tasks.borrow_mut()[id] = Some(task);
        }
    }
}

/// Events, in order.
pub struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Debug> Log<T> {
    pub fn new() -> Self {
        Self(Rc::default())
    }

    pub fn push(&self, entry: T) {
        self.0.borrow_mut().push(entry);
    }

    /// Removes and returns the entries logged so far.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.borrow_mut())
    }
}

/// Yields for one turn.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls once, with a waker that does nothing.
pub fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
