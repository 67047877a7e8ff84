//! Asking tasks to end, and what their supervisor does about it.

use std::any::Any;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::panic::Location;
use std::rc::Rc;

use asyncio_loop::{CancelReason, Supervisor, TaskRef, Verdict, visit_frames, with_running};

use super::deliver::{Look, Work};
use super::node::{Answer, Kind, Node, Slot, root_of};

/// Asks `task` to end; false if it has ended.
pub(crate) fn cancel(task: &TaskRef, reason: CancelReason) -> bool {
    if task.is_done() {
        return false;
    }
    Work::run(|work| deliver_to(task, reason, work));
    true
}

/// Asks each of `tasks` to end, as [`cancel`] does, in time that grows with their number, also if they
/// wait for each other.
pub fn cancel_all(tasks: impl IntoIterator<Item = TaskRef>, reason: &CancelReason) {
    Work::run_batch(tasks, reason);
}

/// A reason that says who asks: the task that is being stepped.
pub(crate) fn reason(message: Option<&str>, site: &'static Location<'static>) -> CancelReason {
    match with_running(|event_loop| event_loop.current_task()) {
        Ok(Some(task)) => task.reason_to_cancel(message, site),
        _ => message.map(CancelReason::new).unwrap_or_default().at(site),
    }
}

/// Counts one request less; the last takes back what has not been stepped.
pub(crate) fn uncancel(task: &TaskRef) -> usize {
    let left = task.remove_request();
    if left == 0 && task.is_ending() {
        match root_of(task) {
            Some(root) => root.withdraw(),
            None => task.withdraw_end(),
        }
    }
    left
}

/// Counts a request, and has it delivered.
pub(super) fn deliver_to(task: &TaskRef, reason: CancelReason, work: &mut Work) {
    // A request that comes round to a task which it has reached before goes no further, and counts once.
    if task.is_done() || has_been_told(task, work) || batch_has_told(task, work) {
        return;
    }
    task.add_request(reason.clone());
    end(task, reason, work);
}

/// Whether a task was told by this very work, and has gone on telling others.
fn has_been_told(task: &TaskRef, work: &mut Work) -> bool {
    root_of(task).is_some_and(|root| root.root_state.told_at.get() == work.since())
}

/// Whether another request of the same batch has reached the task.
fn batch_has_told(task: &TaskRef, work: &Work) -> bool {
    root_of(task).is_some_and(|root| work.batch_has_told(root.root_state.told_at.get()))
}

/// Has a request delivered that is not counted.
pub(super) fn end(task: &TaskRef, reason: CancelReason, work: &mut Work) {
    let Some(root) = root_for(task) else {
        // Nothing inside wants to know: it ends at its next step.
        task.request_end();
        return;
    };
    root.root_state.told_at.set(work.since());
    if task.is_running() {
        if !task.is_ending() {
            root.root_state.stepped.set(false);
        }
        task.mark_ending();
        root.root_state.asked_while_running.set(true);
    } else if task.is_ending() {
        root.repeat(&reason, work);
    } else {
        root.begin(reason);
        root.root_state.stepped.set(false);
        if root.look(work) == Look::Act {
            work.wake(&root);
        }
    }
}

/// The node of a task, made if the task awaits another.
fn root_for(task: &TaskRef) -> Option<Rc<Node>> {
    let awaited = task.awaited();
    let root = root_of(task);
    let Some(awaited) = awaited else { return root };
    let root = root.unwrap_or_else(|| {
        let root = Node::new(Kind::Root, Some(task.clone()));
        root.supervise();
        root
    });
    root.link_to(awaited);
    Some(root)
}

/// Of a root: what has become of the task's request.
#[derive(Debug, Default)]
pub(crate) struct RootState {
    /// The request was made while the task was being polled, in this very poll.
    pub(super) asked_while_running: Cell<bool>,
    /// The task has been stepped since the request.
    stepped: Cell<bool>,
    /// The work that told it last.
    told_at: Cell<u64>,
}

impl Node {
    /// Whether this is the await of a task that the request has come from.
    pub(super) fn closes_a_circle(&self, work: &mut Work) -> bool {
        matches!(self.kind(), Kind::Link | Kind::OwnChild)
            && self.task().is_some_and(|task| has_been_told(task, work))
    }

    /// Puts this root in charge of its task.
    pub(super) fn supervise(self: &Rc<Self>) {
        if let Some(task) = self.task() {
            // Without a node an earlier request would have ended the task before this poll.
            self.root_state.asked_while_running.set(task.is_ending());
            task.set_supervisor(Some(Rc::clone(self) as Rc<dyn Supervisor>));
        }
    }

    /// Makes a link, outside of every scope, to the task that is awaited there.
    fn link_to(self: &Rc<Self>, awaited: TaskRef) {
        let known = self.link.borrow().as_ref().is_some_and(|link| link.task() == Some(&awaited));
        if !known {
            self.drop_link();
            let link = Node::new(Kind::Link, Some(awaited));
            link.attach(Some(Rc::clone(self)));
            *self.link.borrow_mut() = Some(link);
        }
    }

    fn drop_link(&self) {
        let link = self.link.borrow_mut().take();
        if let Some(link) = link {
            link.leave();
        }
    }

    /// The link to a task whose handle has just been polled to its end.
    pub(super) fn take_link(&self, awaited: &TaskRef) -> Option<Rc<Self>> {
        let mut link = self.link.borrow_mut();
        if link.as_ref()?.task() == Some(awaited) { link.take() } else { None }
    }

    /// A second request: merged with the first, except that awaited tasks hear of it again.
    fn repeat(self: &Rc<Self>, reason: &CancelReason, work: &mut Work) {
        for node in self.below() {
            match (node.kind(), node.task()) {
                (Kind::Link | Kind::OwnChild, Some(task)) if node.answer.get() == Answer::Asked => {
                    work.request(task.clone(), reason.clone());
                }
                _ => node.repeat(reason, work),
            }
        }
    }

    /// Takes the request back if the task has not been stepped since.
    pub(super) fn withdraw(&self) {
        if !self.root_state.stepped.get() {
            Work::run(|work| self.unend(work));
        }
    }
}

impl Supervisor for Node {
    fn before_poll(self: Rc<Self>) -> Verdict {
        self.root_state.asked_while_running.set(false);
        if !self.is_asking() {
            return Verdict::Continue;
        }
        self.root_state.stepped.set(true);
        self.verdict()
    }

    fn after_poll(self: Rc<Self>, ready: bool) -> Verdict {
        if ready {
            let asked = self.root_state.asked_while_running.get() && self.is_asking();
            return if asked { Verdict::End } else { Verdict::Continue };
        }
        // A link whose handle is gone, or was not polled when the awaited task had ended.
        let awaited = self.task().and_then(TaskRef::awaited);
        let stale = self.link.borrow().as_ref().is_some_and(|link| link.task() != awaited.as_ref());
        if stale {
            self.drop_link();
        }
        if self.is_asking() {
            self.root_state.stepped.set(true);
            if self.verdict() == Verdict::End {
                return Verdict::End;
            }
        }
        let sleeps = self.task().is_some_and(|task| !task.is_scheduled());
        if sleeps && self.count_out_dormant() && self.is_asking() {
            return self.verdict();
        }
        Verdict::Continue
    }

    fn ended(self: Rc<Self>) {
        // The two refer to each other.
        self.drop_link();
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

impl Node {
    fn verdict(self: &Rc<Self>) -> Verdict {
        Work::run(|work| match self.look(work) {
            Look::Act => Verdict::End,
            Look::Wait => Verdict::Continue,
            Look::Absorbed => {
                self.all_answered(work);
                Verdict::Continue
            }
        })
    }
}

/// How many scopes around the caller were asked to end, if `task` is what runs.
pub(crate) fn ending_scopes_of(task: &TaskRef) -> usize {
    let stepped = with_running(|event_loop| event_loop.stepped_task()).ok().flatten();
    if stepped.as_ref() != Some(task) {
        return 0;
    }
    let mut count = 0;
    visit_frames(|frame, boundary| {
        if boundary {
            return ControlFlow::Break(());
        }
        let node = frame.downcast_ref::<Slot>().and_then(Slot::node);
        count += usize::from(node.is_some_and(|node| match node.kind() {
            Kind::Timeout => node.is_asking(),
            // If the group was asked, the request is counted where that came from.
            Kind::Body => node.is_asking() && node.parent().is_none_or(|group| !group.is_asking()),
            _ => false,
        }));
        ControlFlow::Continue(())
    });
    count
}

/// Whether a target around the caller was asked to end, up to the task, the shielded region, or the
/// body of the group that it stands in.
pub(crate) fn is_ending_here() -> bool {
    let ending = visit_frames(|frame, boundary| {
        let slot = frame.downcast_ref::<Slot>().filter(|_| !boundary);
        let Some(slot) = slot else { return ControlFlow::Break(None) };
        match (slot.node(), slot.kind()) {
            (Some(node), Kind::Timeout) if node.is_asking() => ControlFlow::Break(Some(true)),
            (node, Kind::Body | Kind::Region) => {
                ControlFlow::Break(Some(node.is_some_and(|node| node.is_asking())))
            }
            _ => ControlFlow::Continue(()),
        }
    });
    ending.flatten().unwrap_or_else(|| {
        let task = with_running(|event_loop| event_loop.stepped_task());
        task.is_ok_and(|task| task.is_some_and(|task| task.is_ending()))
    })
}
