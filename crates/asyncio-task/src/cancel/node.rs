//! The nodes of the cancel tree, and how a scope becomes one.
//!
//! A scope is a frame on the thread's stack while its body is polled, and nothing else, until
//! something below it registers or its body suspends: then it gets a node. So code that nobody
//! cancels pays for pushing and popping frames.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Context;

use asyncio_loop::{
    CancelReason, LoopWaker, TaskRef, visit_frames, with_boundary, with_frame, with_running,
};

use super::deliver::{Delivery, Work};
use super::request::RootState;

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A task, or the child of a group. A target.
    Root,
    /// The body of a group. A target.
    Body,
    /// A timeout. A target, and invisible to requests from further out.
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
    /// The await of a child in the body of its own group: a handler, but not for requests to the
    /// group.
    OwnChild,
}

/// What a handler has done about the request that it stands in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing: it was not asked.
    Idle,
    /// It was asked, and will act once what is inside it has passed the request on.
    Asked,
    /// It is at work and will answer, or leave, when that is done.
    Busy,
    /// It has done what it had to do, and waits to be dropped.
    Passed,
}

pub(crate) struct Node {
    kind: Kind,
    parent: RefCell<Option<Rc<Self>>>,
    /// Where it stands in its parent's `below`.
    place: Cell<usize>,
    below: RefCell<Vec<Rc<Self>>>,
    /// When it was made, by the clock of [`tick`].
    pub(super) entered: u64,
    pub(crate) answer: Cell<Answer>,
    /// When it last absorbed a request.
    pub(super) absorbed_at: Cell<u64>,
    /// When a request last found it at work.
    pub(super) probed_at: Cell<u64>,
    /// Which target tells it when it has no request any more, by when that was made.
    pub(super) told_by: Cell<u64>,
    /// It was asked, and not polled since.
    pub(super) unseen: Cell<bool>,
    /// Nobody polls it any more.
    pub(super) dormant: Cell<bool>,
    /// Of a root: there may be asked handlers below it that were not polled since.
    pub(super) has_unseen: Cell<bool>,
    /// What it asks of what is inside it.
    pub(super) delivery: Delivery,
    waker: RefCell<Option<LoopWaker>>,
    /// Of a root, its task; of a link, the task that is awaited.
    task: Option<TaskRef>,
    pub(super) root_state: RootState,
    /// Of a root: the link that stands for [`TaskRef::awaited`], once it was asked.
    pub(super) link: RefCell<Option<Rc<Self>>>,
    /// Its scope is over.
    gone: Cell<bool>,
}

/// Moments in the life of this thread's trees.
pub(super) fn tick() -> u64 {
    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
    }
    NOW.set(NOW.get() + 1);
    NOW.get()
}

impl Node {
    pub(super) fn new(kind: Kind, task: Option<TaskRef>) -> Rc<Self> {
        Rc::new(Self {
            kind,
            parent: RefCell::new(None),
            place: Cell::new(0),
            below: RefCell::default(),
            entered: tick(),
            answer: Cell::new(if kind == Kind::Region { Answer::Busy } else { Answer::Idle }),
            absorbed_at: Cell::new(0),
            probed_at: Cell::new(0),
            told_by: Cell::new(0),
            unseen: Cell::new(false),
            dormant: Cell::new(false),
            has_unseen: Cell::new(false),
            delivery: Delivery::default(),
            waker: RefCell::new(None),
            task,
            root_state: RootState::default(),
            link: RefCell::new(None),
            gone: Cell::new(false),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn parent(&self) -> Option<Rc<Self>> {
        self.parent.borrow().clone()
    }

    pub(crate) fn task(&self) -> Option<&TaskRef> {
        self.task.as_ref()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
            || self.kind == Kind::Root && self.task.as_ref().is_some_and(TaskRef::is_done)
    }

    /// What is directly inside it, as of now.
    pub(super) fn below(&self) -> Vec<Rc<Self>> {
        self.below.borrow().clone()
    }

    pub(super) fn for_each_below(&self, f: impl FnMut(&Rc<Self>)) {
        self.below.borrow().iter().for_each(f);
    }

    /// Whether it keeps requests from its inside from going further out.
    pub(super) fn is_boundary(&self) -> bool {
        matches!(self.kind, Kind::Root | Kind::Region | Kind::Body)
    }

    pub(super) fn is_handler(&self) -> bool {
        matches!(self.kind, Kind::Catch | Kind::Finally | Kind::Group | Kind::Link | Kind::OwnChild)
    }

    /// Puts it under `parent`, whose askers are to look at it.
    pub(super) fn attach(self: &Rc<Self>, parent: Option<Rc<Self>>) {
        if let Some(parent) = &parent {
            // A root hangs below its group for those who look outwards only.
            if self.kind != Kind::Root {
                let mut below = parent.below.borrow_mut();
                self.place.set(below.len());
                below.push(Rc::clone(self));
            }
        }
        *self.parent.borrow_mut() = parent;
        self.mark_askers();
    }

    /// Takes it out of its parent's list, to which it knows its way still.
    pub(super) fn detach(&self) {
        if self.kind == Kind::Root {
            return;
        }
        let parent = self.parent.borrow().clone();
        let Some(parent) = parent else { return };
        let removed = {
            let mut below = parent.below.borrow_mut();
            let place = self.place.get();
            if below.get(place).is_none_or(|node| !std::ptr::eq(&raw const **node, self)) {
                return;
            }
            let removed = below.swap_remove(place);
            if let Some(moved) = below.get(place) {
                moved.place.set(place);
            }
            removed
        };
        drop(removed);
    }

    /// The end of its scope: what it was asked and has not answered is lost.
    pub(crate) fn leave(self: &Rc<Self>) {
        if self.gone.replace(true) {
            return;
        }
        self.see();
        self.detach();
        Work::run(|work| self.lost_with_inside(work));
        let orphans = std::mem::take(&mut *self.below.borrow_mut());
        for orphan in &orphans {
            drop(orphan.parent.borrow_mut().take());
            orphan.wake();
        }
        drop(orphans);
        drop(self.waker.take());
        drop(self.parent.take());
    }

    /// Puts it under another parent, if that is another one.
    fn follow(self: &Rc<Self>, parent: Option<Rc<Self>>) {
        let same = match (&*self.parent.borrow(), &parent) {
            (Some(old), Some(new)) => Rc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if same || self.gone.get() {
            return;
        }
        self.see();
        self.detach();
        Work::run(|work| self.lost_with_inside(work));
        self.attach(parent);
        // What came along may have been asked where it was.
        self.tell_root_of_unseen();
    }

    /// Notes that its scope is being polled.
    pub(crate) fn note(self: &Rc<Self>, cx: &Context<'_>) {
        self.see();
        if self.waker.borrow().as_ref().is_none_or(|waker| !waker.will_wake(cx)) {
            // Made and dropped while nothing is borrowed: a foreign one may cancel what this stands for.
            let old = self.waker.replace(Some(LoopWaker::from_context(cx)));
            drop(old);
        }
    }

    /// Has it polled.
    pub(crate) fn wake(&self) {
        if self.kind == Kind::Root {
            if let Some(task) = &self.task {
                task.wake();
            }
            return;
        }
        if self.kind == Kind::Body {
            if let Some(group) = self.parent() {
                group.wake();
            }
            return;
        }
        let unsure = self.whose_waker_may_fail();
        let Some(waker) = self.waker.take() else { return };
        // Out of its place meanwhile: a foreign one may poll or drop the scope when it is woken.
        waker.wake_by_ref();
        if self.waker.borrow().is_none() && !self.gone.get() {
            *self.waker.borrow_mut() = Some(waker);
        }
        if let Some(root) = unsure {
            root.wake();
        }
    }

    /// The root around it, if its own waker is another one: that of a combinator which nobody polls any
    /// more wakes nobody, and then the task would not find out.
    pub(super) fn whose_waker_may_fail(&self) -> Option<Rc<Self>> {
        let woken = self.waker.borrow().as_ref()?.task();
        self.root().filter(|root| woken.as_ref() != root.task())
    }

    /// The reason that a request to it gave.
    pub(crate) fn reason(&self) -> CancelReason {
        match (self.kind, &self.task) {
            (Kind::Root, Some(task)) => task.cancel_reason().unwrap_or_default(),
            _ => self.delivery.reason.borrow().clone().unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("kind", &self.kind)
            .field("answer", &self.answer.get())
            .field("ending", &self.is_asking())
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

/// What a scope pushes as its frame: its place in the tree, with a node once it needs one.
pub(crate) struct Slot {
    kind: Kind,
    node: OnceCell<Rc<Node>>,
}

impl Slot {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, node: OnceCell::new() }
    }

    /// Runs `f` inside this scope.
    #[inline]
    pub(crate) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        with_frame(self, f)
    }

    /// Runs `f`, which steps children of this group.
    pub(crate) fn run_children<R>(&self, f: impl FnOnce() -> R) -> R {
        with_boundary(self, f)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is the innermost scope of what is being polled.
    #[inline]
    pub(crate) fn is_on_top(&self) -> bool {
        visit_frames(|frame, boundary| ControlFlow::Break(!boundary && self.is_frame(frame)))
            .unwrap_or(false)
    }

    /// Whether what is being polled stands in it, in the same task.
    pub(crate) fn is_around(&self) -> bool {
        visit_frames(|frame, boundary| match boundary {
            true => ControlFlow::Break(false),
            false if self.is_frame(frame) => ControlFlow::Break(true),
            false => ControlFlow::Continue(()),
        })
        .unwrap_or(false)
    }

    #[inline]
    fn is_frame(&self, frame: &dyn Any) -> bool {
        frame.downcast_ref::<Self>().is_some_and(|slot| std::ptr::eq(slot, self))
    }

    #[inline]
    pub(crate) fn node(&self) -> Option<&Rc<Node>> {
        self.node.get()
    }

    /// The node, which is made where the stack of frames says.
    pub(crate) fn register(&self) -> &Rc<Node> {
        if let Some(node) = self.node.get() {
            return node;
        }
        let parent = enclosing(Some(self));
        let node = self.node.get_or_init(|| Node::new(self.kind, None));
        node.attach(parent);
        node
    }

    /// Looks where it stands, at the start of a poll; `None` without a node.
    #[inline]
    pub(crate) fn refresh(&self, cx: &Context<'_>) -> Option<&Rc<Node>> {
        let node = self.node.get()?;
        follow_frames(node);
        node.note(cx);
        Some(node)
    }

    /// Registers a body that has suspended.
    pub(crate) fn suspended(&self, cx: &Context<'_>) -> &Rc<Node> {
        let node = self.register();
        node.note(cx);
        node
    }

    /// Ends the scope.
    #[inline]
    pub(crate) fn leave(&self) {
        if let Some(node) = self.node.get() {
            node.leave();
        }
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Puts a node where the stack of frames says, unless it is there.
pub(super) fn follow_frames(node: &Rc<Node>) {
    if !stands_right(node) {
        node.follow(enclosing(None));
    }
}

/// Whether the parent of `node` is what is being polled now.
pub(super) fn stands_right(node: &Node) -> bool {
    let parent = node.parent.borrow();
    let Some(parent) = &*parent else { return false };
    let top = visit_frames(|frame, boundary| {
        let slot = frame.downcast_ref::<Slot>();
        ControlFlow::Break(match slot {
            Some(slot) if !boundary => slot.node().is_some_and(|node| Rc::ptr_eq(node, parent)),
            _ => false,
        })
    });
    top == Some(true) || parent.kind == Kind::Root && is_stepped(parent) && !has_scope_on_top()
}

fn has_scope_on_top() -> bool {
    visit_frames(|_, boundary| ControlFlow::Break(!boundary)).unwrap_or(false)
}

fn is_stepped(root: &Node) -> bool {
    let stepped = with_running(|event_loop| event_loop.stepped_task()).ok().flatten();
    stepped.is_some() && stepped.as_ref() == root.task()
}

/// The node of the innermost scope that is being polled, or of the scope around `of` if `of` is being
/// polled.
pub(super) fn enclosing(of: Option<&Slot>) -> Option<Rc<Node>> {
    let mut inner = of.and_then(depth_of).map_or(0, |depth| depth + 1);
    // The number of boundaries between the running task and the frames that come next.
    let mut outwards = 0;
    let found = visit_frames(|frame, boundary| {
        if inner > 0 {
            inner -= 1;
            outwards += usize::from(boundary);
            return ControlFlow::Continue(());
        }
        match frame.downcast_ref::<Slot>() {
            Some(group) if boundary => ControlFlow::Break(root_outwards(outwards, Some(group))),
            Some(slot) => ControlFlow::Break(Some(Rc::clone(slot.register()))),
            None => ControlFlow::Continue(()),
        }
    });
    found.unwrap_or_else(|| root_outwards(outwards, None))
}

/// The number of frames inside the one of `slot`. A group that only steps or drops its children, without
/// being polled, has boundaries on the stack but no frame: then its outermost boundary counts, since the
/// group stands where that was pushed.
fn depth_of(slot: &Slot) -> Option<usize> {
    let (mut depth, mut outermost) = (0, None);
    let own_frame = visit_frames(|frame, boundary| {
        if slot.is_frame(frame) {
            if !boundary {
                return ControlFlow::Break(depth);
            }
            outermost = Some(depth);
        }
        depth += 1;
        ControlFlow::Continue(())
    });
    own_frame.or(outermost)
}

/// Makes a node for the group that steps what is being polled, outside of every scope of that.
#[inline]
pub(super) fn register_group() {
    visit_frames(|frame, boundary| {
        let group = frame.downcast_ref::<Slot>().filter(|_| boundary);
        if let Some(group) = group {
            group.register();
        }
        ControlFlow::Break(())
    });
}

/// The node of the task that is being stepped.
pub(super) fn current_root() -> Option<Rc<Node>> {
    root_outwards(0, None)
}

/// The node of the task that is being stepped, or of the one so many groups further out. It is a
/// child of `group` if that is given.
fn root_outwards(outwards: usize, group: Option<&Slot>) -> Option<Rc<Node>> {
    let mut task = with_running(|event_loop| event_loop.stepped_task()).ok().flatten()?;
    for _ in 0..outwards {
        task = task.stepper()?;
    }
    if let Some(root) = root_of(&task) {
        return Some(root);
    }
    let root = Node::new(Kind::Root, Some(task));
    root.attach(group.map(|group| Rc::clone(group.register())));
    root.supervise();
    Some(root)
}

/// The node of a task, if it has one.
pub(super) fn root_of(task: &TaskRef) -> Option<Rc<Node>> {
    task.supervisor()?.into_any().downcast().ok()
}
