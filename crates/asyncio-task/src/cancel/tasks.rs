//! Tasks and the tree: asking a task to end, and the supervisor that decides how the task ends.
//!
//! This is the layer between the delivery and the loop. It wakes nodes, forwards requests to
//! awaited tasks, and looks at the request of a task before and after each of its polls.

use std::any::Any;
use std::panic::Location;
use std::rc::Rc;
use std::task::Context;

use asyncio_loop::machinery::{Supervisor, TaskControl, Verdict, with_running};
use asyncio_loop::{CancelReason, ErrorContext, LoopWaker, TaskRef, running_loop};

use super::delivery::Progress;
use super::scope::{self, Answer, Kind, Scope, Task, moment};
use super::work;

pub(crate) type Node = scope::Node<TaskRef>;
pub(crate) type Work = work::Work<TaskRef>;

/// Asks `task` to end; false if it has ended.
pub(crate) fn cancel(task: &TaskRef, reason: CancelReason) -> bool {
    if task.is_done() {
        return false;
    }
    run(|work| request(task, reason, work));
    true
}

/// Asks each of `tasks` to end, as `cancel` does. A task that another one of them awaits is asked
/// once, so the time is linear in the number of tasks.
pub fn cancel_all(tasks: impl IntoIterator<Item = TaskRef>, reason: &CancelReason) {
    let batch = moment();
    for task in tasks {
        finish(Work::in_batch(batch), |work| request(&task, reason.clone(), work));
    }
}

/// A reason that names the running task.
pub(crate) fn reason(message: Option<&str>, site: &'static Location<'static>) -> CancelReason {
    match with_running(|event_loop| event_loop.current_task()) {
        Ok(Some(task)) => task.reason_to_cancel(message, site),
        _ => message.map(CancelReason::new).unwrap_or_default().at(site),
    }
}

/// Counts one request less. At the last one, a request that was not delivered is withdrawn.
pub(crate) fn uncancel(task: &TaskRef) -> usize {
    let left = task.remove_request();
    if left == 0 && task.is_ending() {
        match root_of(task) {
            Some(root) if root.root.stepped.get() => {}
            Some(root) => run(|work| root.end_request(work)),
            None => task.withdraw_cancel(),
        }
    }
    left
}

/// Changes the tree by `f`, then does the work that `f` has queued.
pub(crate) fn run<R>(f: impl FnOnce(&mut Work) -> R) -> R {
    finish(Work::default(), f)
}

/// Does the same as [`run`].
fn finish<R>(mut work: Work, f: impl FnOnce(&mut Work) -> R) -> R {
    let result = f(&mut work);
    if !work.is_empty() {
        work_off(work);
    }
    result
}

/// Requests to awaited tasks wait in a list, so a chain of tasks does not recurse.
fn work_off(mut work: Work) {
    while let Some((task, reason)) = work.requests.pop() {
        request(&task, reason, &mut work);
    }
    for link in &work.links {
        expect_after(link);
    }
    for node in work.wakes {
        node.wake();
    }
}

/// Counts a request, and delivers it.
fn request(task: &TaskRef, reason: CancelReason, work: &mut Work) {
    // A request that returns to a task which it has reached before goes no further, and counts
    // once.
    if task.is_done() || work.has_covered(task) {
        return;
    }
    task.add_request(reason.clone());
    deliver(task, reason, work);
}

/// Delivers a request without counting it.
pub(super) fn deliver(task: &TaskRef, reason: CancelReason, work: &mut Work) {
    let Some(root) = root_or_link(task) else {
        // No handler is inside: the task ends at its next step.
        task.request_cancel();
        return;
    };
    root.root.reached_at.set(work.since());
    if task.is_running() {
        if !task.is_ending() {
            root.root.stepped.set(false);
            expect_end(task);
        }
        task.mark_cancelling();
        root.root.asked_in_poll.set(true);
    } else if task.is_ending() {
        root.repeat(&reason, work);
    } else {
        root.begin(reason);
        expect_end(task);
        root.root.stepped.set(false);
        if root.evaluate(work) == Progress::Act {
            work.wake(&root);
        }
    }
}

/// In debug mode, makes the loop report the task if it goes on for long. A task without a node ends
/// at once, so it is not watched.
fn expect_end(task: &TaskRef) {
    let is_debug = with_running(|event_loop| event_loop.is_debug()).unwrap_or(false);
    if let Some(event_loop) = task.event_loop().filter(|_| is_debug) {
        event_loop.expect_end(task);
    }
}

/// The node of a task, if it has one.
pub(super) fn root_of(task: &TaskRef) -> Option<Rc<Node>> {
    task.supervisor()?.into_any().downcast().ok()
}

/// A new node for a task, and its supervisor.
pub(super) fn new_root(task: TaskRef) -> Rc<Node> {
    let root = Node::new(Scope::new(Kind::Root, Some(task.clone())));
    // Without a node an earlier request would have ended the task before this poll.
    root.root.asked_in_poll.set(task.is_ending());
    task.set_supervisor(Some(Rc::clone(&root) as Rc<dyn Supervisor>));
    root
}

/// The node of a task, made if the task awaits another one outside of every scope: then it gets a
/// node for that await, too.
fn root_or_link(task: &TaskRef) -> Option<Rc<Node>> {
    let root = root_of(task);
    let Some(awaited) = task.awaited() else { return root };
    let root = root.unwrap_or_else(|| new_root(task.clone()));
    root.link_to(awaited);
    Some(root)
}

/// Makes sure that an await that was asked is polled once the awaited task has ended.
fn expect_after(link: &Rc<Node>) {
    if link.waker.borrow().is_none() {
        // Only the kernel knew the await. Its task drops the link if the handle is not polled.
        return;
    }
    let Some(root) = link.root_with_other_waker() else { return link.expect_poll() };
    let Some(awaited) = link.task.as_ref() else { return };
    let Some(event_loop) = awaited.event_loop() else { return };
    // The waker of a combinator that is not polled any more wakes no task.
    let link = Rc::downgrade(link);
    awaited.on_done(event_loop.callback(move || {
        if let Some(link) = link.upgrade().filter(|link| link.answer.get() == Answer::Asked) {
            link.expect_poll();
            root.wake();
        }
    }));
}

impl Task for TaskRef {
    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn is_ending(&self) -> bool {
        self.is_ending()
    }

    fn set_ending(&self, ending: bool) {
        if ending {
            self.mark_cancelling();
        } else {
            self.withdraw_cancel();
        }
    }

    fn reason(&self) -> CancelReason {
        self.cancel_reason().unwrap_or_default()
    }

    fn reached_at(&self) -> u64 {
        root_of(self).map_or(0, |root| root.root.reached_at.get())
    }
}

/// The node of an await that only the kernel knew.
impl Node {
    fn link_to(self: &Rc<Self>, awaited: TaskRef) {
        let known = self.root.link.borrow().as_ref().is_some_and(|link| link.is_of(&awaited));
        if !known {
            self.drop_link();
            let link = Node::new(Scope::new(Kind::Link, Some(awaited)));
            link.enter(Some(Rc::clone(self)));
            *self.root.link.borrow_mut() = Some(link);
        }
    }

    fn drop_link(&self) {
        let link = self.root.link.take();
        if let Some(link) = link {
            link.leave();
        }
    }

    /// Takes the node of the await of `awaited`, whose handle has just been polled to its end.
    pub(super) fn take_link(&self, awaited: &TaskRef) -> Option<Rc<Self>> {
        self.root.link.borrow_mut().take_if(|link| link.is_of(awaited))
    }

    /// Whether it is the node of `task`, or of an await of it.
    pub(super) fn is_of(&self, task: &TaskRef) -> bool {
        self.task.as_ref() == Some(task)
    }
}

/// How nodes come, are polled, and go.
impl Node {
    /// Puts a new node into `parent`.
    pub(super) fn enter(self: &Rc<Self>, parent: Option<Rc<Self>>) {
        self.put(parent);
        self.mark_askers();
    }

    /// Moves the node into another parent, with the nodes inside.
    pub(super) fn move_to(self: &Rc<Self>, parent: Option<Rc<Self>>) {
        if self.is_cleared() || self.is_in(parent.as_ref()) {
            return;
        }
        self.see();
        self.detach();
        run(|work| self.lose_with_inside(work));
        self.enter(parent);
        self.tell_root_of_expected();
    }

    /// Ends the node with its scope.
    pub(crate) fn leave(self: &Rc<Self>) {
        if self.is_cleared() {
            return;
        }
        self.see();
        self.detach();
        if self.is_empty() {
            if self.answer.get() != Answer::Idle {
                run(|work| self.lose(work));
            }
            self.clear();
        } else {
            run(|work| {
                self.lose_with_inside(work);
                self.retract(work);
                work.wakes.extend(self.clear());
            });
        }
        let waker = self.waker.take();
        drop(waker);
    }

    /// Whether this target is to drop its body now.
    pub(crate) fn must_end(self: &Rc<Self>) -> bool {
        self.is_asking() && run(|work| self.is_to_end(work))
    }

    /// Whether this handler is to act now.
    pub(crate) fn must_act(self: &Rc<Self>) -> bool {
        self.is_asking() && run(|work| self.is_to_act(work))
    }

    /// Whether the node's scope is over.
    pub(crate) fn is_gone(&self) -> bool {
        let is_done = self.kind == Kind::Root && self.task.as_ref().is_some_and(TaskRef::is_done);
        is_done || self.is_cleared()
    }

    /// Notes that the node's scope is being polled.
    pub(crate) fn note(&self, cx: &Context<'_>) {
        self.see();
        if self.waker.borrow().as_ref().is_none_or(|waker| !waker.will_wake(cx)) {
            // Nothing is borrowed here: a foreign waker may call back when it is cloned or dropped.
            let old = self.waker.replace(Some(LoopWaker::from_context(cx)));
            drop(old);
        }
    }

    /// Wakes the task that polls the node's scope.
    pub(crate) fn wake(&self) {
        match (self.kind, &self.task) {
            (Kind::Root, Some(task)) => task.wake(),
            (Kind::Body, _) => self.parent().iter().for_each(|group| group.wake()),
            _ => self.wake_scope(),
        }
    }

    fn wake_scope(&self) {
        let root = self.root_with_other_waker();
        let Some(waker) = self.waker.take() else { return };
        // The waker is out of its place, since a foreign one may poll or drop the scope.
        waker.wake_by_ref();
        if self.waker.borrow().is_none() && !self.is_cleared() {
            *self.waker.borrow_mut() = Some(waker);
        }
        if let Some(root) = root {
            root.wake();
        }
    }

    /// The root around the node, if the node's waker is not the task's own. The waker of a
    /// combinator that is not polled any more wakes no task, so the task of the root has to check.
    fn root_with_other_waker(&self) -> Option<Rc<Self>> {
        let woken = self.waker.borrow().as_ref()?.task();
        self.root_around().filter(|root| woken.as_ref() != root.task.as_ref())
    }
}

impl Supervisor for Node {
    fn before_poll(self: Rc<Self>) -> Verdict {
        self.root.asked_in_poll.set(false);
        if !self.is_asking() {
            return Verdict::Continue;
        }
        self.root.stepped.set(true);
        self.verdict()
    }

    fn after_poll(self: Rc<Self>, ready: bool) -> Verdict {
        if ready {
            let asked = self.root.asked_in_poll.get() && self.is_asking();
            return if asked { Verdict::End } else { Verdict::Continue };
        }
        self.drop_stale_link();
        if self.is_asking() {
            self.root.stepped.set(true);
            if self.verdict() == Verdict::End {
                return Verdict::End;
            }
        }
        let sleeps = self.task.as_ref().is_some_and(|task| !task.is_scheduled());
        let expects = !self.root.expected.borrow().is_empty();
        if sleeps && expects && run(|work| self.find_dormant(work)) {
            self.report_dormant();
            if self.is_asking() {
                return self.verdict();
            }
        }
        Verdict::Continue
    }

    fn ended(self: Rc<Self>) {
        // These refer to the root, and it to them.
        self.drop_link();
        drop(self.root.expected.take());
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

impl Node {
    fn verdict(self: &Rc<Self>) -> Verdict {
        if self.must_end() { Verdict::End } else { Verdict::Continue }
    }

    /// Drops the link if its handle is gone, or was not polled when the awaited task had ended.
    fn drop_stale_link(&self) {
        if self.root.link.borrow().is_none() {
            return;
        }
        let awaited = self.task.as_ref().and_then(TaskRef::awaited);
        let link = self.root.link.borrow_mut().take_if(|link| link.task != awaited);
        if let Some(link) = link {
            link.leave();
        }
    }

    fn report_dormant(&self) {
        let message = "a cancelled scope that nobody polls is dropped without its cleanup";
        let context = ErrorContext::new(message);
        let context = match &self.task {
            Some(task) => context.with_task(task.clone()),
            None => context,
        };
        running_loop().report(&context);
    }
}
