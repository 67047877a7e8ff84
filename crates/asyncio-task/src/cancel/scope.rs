//! Scopes: the kinds of nodes in the cancel tree, and the state of a node.
//!
//! Every node can be on two sides of a request. As a *handler* it is asked to answer:
//! [`Scope::answer`], [`Scope::heard`] and [`Scope::presence`]. As an *asker* (a target that has a
//! request, or a handler that was asked) it asks the handlers inside: [`Asking`]. `delivery` has
//! the rules.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::ControlFlow;
use std::rc::Rc;

use asyncio_loop::{CancelReason, LoopWaker};

use super::awaits::Awaits;
use super::tree;

/// A node of the cancel tree.
pub(crate) type Node<T> = tree::Node<Scope<T>>;

/// The kind of scope that a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A task, or the child of a group. A target.
    Root,
    /// The body of a group. A target.
    Body,
    /// A timeout. A target. Requests from further out pass through it.
    Timeout,
    /// A shielded region: requests from outside wait until it is over. A target of `resume`.
    Region,
    /// `catch_cancel`. A handler.
    Catch,
    /// `finally`. A handler.
    Finally,
    /// A group. A handler.
    Group,
    /// The await of an unfinished task. A handler.
    Link,
    /// The await of a child in the body of its own group. A handler, but not for requests to the
    /// group.
    OwnChild,
}

/// How far a handler has got with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No request has reached the handler, or it has absorbed the last one.
    Idle,
    /// It was asked, and acts once the handlers inside have passed the request on.
    Asked,
    /// It runs its cleanup, and answers or leaves afterwards.
    Busy,
    /// It has passed the request on, and waits to be dropped.
    Passed,
}

/// Whether a handler is being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It was polled since it was last woken.
    Seen,
    /// It was woken to do its part, and not polled since.
    Expected,
    /// Its task sleeps, and it was not polled: it counts as absent until it is.
    Dormant,
}

/// The operations on tasks that the delivery needs.
pub(crate) trait Task: Clone {
    fn is_done(&self) -> bool;

    /// Whether the task has a request that is not answered.
    fn is_ending(&self) -> bool;

    fn set_ending(&self, ending: bool);

    /// The reason that its last request gave.
    fn reason(&self) -> CancelReason;

    /// The moment of the last request that has reached the task, if it has a node.
    fn reached_at(&self) -> u64;
}

/// A scope: the value of a node.
pub(crate) struct Scope<T> {
    pub(crate) kind: Kind,
    /// The moment at which the node was made.
    pub(super) born: u64,
    /// In a root: its task. In a link: the awaited task.
    pub(super) task: Option<T>,
    pub(super) waker: RefCell<Option<LoopWaker>>,

    pub(crate) answer: Cell<Answer>,
    /// The moment at which it last absorbed a request, or was last woken while it was busy.
    pub(super) heard: Cell<u64>,
    pub(super) presence: Cell<Presence>,

    pub(super) asking: Asking,
    pub(super) awaits: Awaits<T>,
    pub(super) root: Root<T>,
}

/// The state of a request on the side of its asker.
#[derive(Debug)]
pub(super) struct Asking {
    /// In a body, a timeout and a region: whether it has a request that is not answered. (A root
    /// keeps this in its task, a handler in its answer.)
    pub(super) ending: Cell<bool>,
    /// The moment of the first delivery, 0 before: a `catch_cancel` that is younger is not asked.
    pub(super) first: Cell<u64>,
    /// The moment of the last delivery: a handler that absorbed after it has answered.
    pub(super) round: Cell<u64>,
    /// The number of handlers that were asked and have not answered.
    pub(super) open: Cell<usize>,
    /// Handlers may have been added that were not asked: `open` has to be counted anew.
    pub(super) changed: Cell<bool>,
    pub(super) came: Cell<Came>,
    pub(super) reason: RefCell<Option<CancelReason>>,
}

/// The answers to a delivery so far. Handlers that have passed it on are not counted here: they are
/// still in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Nothing,
    /// A handler has absorbed the request.
    Absorbed,
    /// A handler went away without an answer.
    Lost,
}

/// The state that only the node of a task has.
pub(super) struct Root<T> {
    /// The last request was made while the task was polled, in this very poll.
    pub(super) asked_in_poll: Cell<bool>,
    /// The task was polled since the request.
    pub(super) stepped: Cell<bool>,
    /// The moment of the last request that has reached the task.
    pub(super) reached_at: Cell<u64>,
    /// The node of the await for which the kernel alone knows the awaited task, once it was asked.
    pub(super) link: RefCell<Option<Rc<Node<T>>>>,
    /// Handlers that were woken to do their part; most were polled since.
    pub(super) expected: RefCell<Vec<Rc<Node<T>>>>,
}

/// The next moment of this thread. Moments are unique, so they also tell requests apart.
pub(super) fn moment() -> u64 {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.set(LAST.get() + 1);
    LAST.get()
}

impl<T> Scope<T> {
    pub(super) fn new(kind: Kind, task: Option<T>) -> Self {
        Self {
            kind,
            born: moment(),
            task,
            waker: RefCell::new(None),
            answer: Cell::new(if kind == Kind::Region { Answer::Busy } else { Answer::Idle }),
            heard: Cell::new(0),
            presence: Cell::new(Presence::Seen),
            asking: Asking {
                ending: Cell::new(false),
                first: Cell::new(0),
                round: Cell::new(0),
                open: Cell::new(0),
                changed: Cell::new(false),
                came: Cell::new(Came::Nothing),
                reason: RefCell::new(None),
            },
            awaits: Awaits::new(),
            root: Root {
                asked_in_poll: Cell::new(false),
                stepped: Cell::new(false),
                reached_at: Cell::new(0),
                link: RefCell::new(None),
                expected: RefCell::default(),
            },
        }
    }

    /// Whether requests from outside stop here.
    pub(super) fn is_boundary(&self) -> bool {
        matches!(self.kind, Kind::Root | Kind::Region | Kind::Body)
    }

    pub(super) fn is_handler(&self) -> bool {
        matches!(self.kind, Kind::Catch | Kind::Finally | Kind::Group | Kind::Link | Kind::OwnChild)
    }

    /// Whether it was asked, or is busy, and has not answered.
    pub(super) fn is_to_answer(&self) -> bool {
        matches!(self.answer.get(), Answer::Asked | Answer::Busy)
    }
}

/// The askers of a node.
impl<T: Task> Node<T> {
    /// Whether this node asks the handlers inside.
    pub(crate) fn is_asking(&self) -> bool {
        match (self.kind, &self.task) {
            (Kind::Root, Some(task)) => task.is_ending(),
            _ if self.is_handler() => self.answer.get() == Answer::Asked,
            _ => self.asking.ending.get(),
        }
    }

    /// The reason that the last request gave.
    pub(crate) fn reason(&self) -> CancelReason {
        match (self.kind, &self.task) {
            (Kind::Root, Some(task)) => task.reason(),
            _ => self.asking.reason.borrow().clone().unwrap_or_default(),
        }
    }

    /// The innermost target around this node that has a request: up to the task, the region, or the
    /// body of the group that the node stands in.
    pub(crate) fn ending_target(&self) -> Option<Rc<Self>> {
        self.outwards(|node| match !node.is_handler() && node.is_asking() {
            true => ControlFlow::Break(Some(Rc::clone(node))),
            false if node.is_boundary() => ControlFlow::Break(None),
            false => ControlFlow::Continue(()),
        })
        .flatten()
    }

    /// The innermost task, child or region that this node is or is inside of.
    pub(super) fn region(self: &Rc<Self>) -> Option<Rc<Self>> {
        let is_it = |node: &Self| matches!(node.kind, Kind::Root | Kind::Region);
        if is_it(self) { Some(Rc::clone(self)) } else { self.find_outwards(is_it) }
    }

    /// The task or child that this node is inside of.
    pub(super) fn root_around(&self) -> Option<Rc<Self>> {
        self.find_outwards(|node| node.kind == Kind::Root)
    }

    /// Calls `f` with the askers around this node: the innermost asked handler, and the targets
    /// between it and this node.
    pub(super) fn for_each_asker(&self, mut f: impl FnMut(&Rc<Self>)) {
        self.outwards(|node| {
            let asks = node.is_asking();
            if asks {
                f(node);
            }
            match node.is_boundary() || asks && node.is_handler() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
    }
}

impl<T> fmt::Debug for Scope<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("kind", &self.kind)
            .field("answer", &self.answer.get())
            .finish_non_exhaustive()
    }
}
