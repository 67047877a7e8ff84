//! The delivery: how a request finds the handlers that answer it.
//!
//! A state machine over the tree. It calls no code of users: [`Work`] keeps wakes and requests to
//! tasks until the tree is at rest. The rules:
//!
//! 1. *Asking.* An asker is a target that has a request, or a handler that was asked. It asks the
//!    handlers directly inside it, and they ask the handlers inside them, so a request reaches the
//!    innermost handlers. Through a timeout, and through a `catch_cancel` that is younger than the
//!    first delivery, the request goes on inwards.
//! 2. *Waiting.* While an asked or busy handler has not answered, the asker waits. `open` counts
//!    these handlers. It is counted anew when a handler was added (`changed`), and when it has
//!    fallen to zero. So a wrong count costs one recount, and a poll in between costs nothing.
//! 3. *Acting.* With nothing open, [`Node::look`] decides. If a handler has passed, the handlers
//!    that have absorbed are asked again, and then the asker acts (passing wins). Else, if an
//!    answer was lost, the request is delivered afresh. Else, if a handler has absorbed, the
//!    request is over. Else there was no handler, and the asker acts. A target acts by dropping its
//!    body, a handler by doing its part: cleanup, or dropping its body.
//! 4. *Answering.* A handler that absorbs answers all askers around it, as long as each has no
//!    other handler that is open or has passed. One that passes answers the innermost asker. One
//!    that leaves without an answer is lost.
//! 5. *Ending.* A request ends when it is absorbed or withdrawn. Handlers that were asked on its
//!    behalf are idle then ([`Node::retract`]), so an asked handler always has an asker.
//! 6. *Presence.* A handler that has something to do is woken, and expected to be polled. If its
//!    task sleeps before that, it is dormant: askers do without it until it is polled.
//!
//! Moments of one clock ([`moment`]) answer four questions. A handler that `heard` after the
//! `round` began has absorbed it. A busy handler that `heard` before the `first` delivery is woken
//! for it once. A `catch_cancel` that was `born` after the `first` delivery came too late for it. A
//! task whose root was `reached_at` the moment of this request is not asked twice.

use std::collections::HashSet;
use std::rc::Rc;

use asyncio_loop::CancelReason;

use super::scope::{Answer, Asking, Came, Kind, Node, Presence, Task, moment};
use super::work::Work;

/// The next action of an asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Wait for handlers that have not answered.
    Wait,
    /// Go on, because the request was absorbed.
    Absorbed,
    /// Drop the body (a target), or run cleanup or drop the body (a handler).
    Act,
}

/// Targets.
impl<T: Task> Node<T> {
    /// Gives a target a request.
    pub(crate) fn begin(&self, reason: CancelReason) {
        match (self.kind, &self.task) {
            (Kind::Root, Some(task)) => task.set_ending(true),
            _ => {
                self.asking.ending.set(true);
                let old = self.asking.reason.replace(Some(reason));
                drop(old);
            }
        }
        self.asking.restart();
    }

    /// Takes a target's request away.
    pub(crate) fn end_request(self: &Rc<Self>, work: &mut Work<T>) {
        match (self.kind, &self.task) {
            (Kind::Root, Some(task)) => task.set_ending(false),
            _ => self.asking.ending.set(false),
        }
        self.asking.restart();
        if self.is_boundary() || self.ending_target().is_none() {
            self.retract(work);
        }
    }

    /// Handlers inside have answered the request. Another request that was made meanwhile, in this
    /// very poll of the task, has not reached them, and is delivered at the next suspension.
    pub(super) fn end_answered_request(self: &Rc<Self>, work: &mut Work<T>) {
        if self.root.asked_in_poll.get() {
            self.asking.restart();
        } else {
            self.end_request(work);
        }
    }

    /// Has the request delivered once more: to handlers that have answered and go on at the next
    /// look, and afresh when all have answered. False if nothing has changed since the last call.
    pub(super) fn deliver_again(&self) -> bool {
        if self.asking.came.replace(Came::Lost) == Came::Lost {
            return false;
        }
        self.asking.round.set(moment());
        self.asking.changed.set(true);
        true
    }

    /// Whether this target has a request, and every handler inside has done its part.
    pub(super) fn is_to_end(self: &Rc<Self>, work: &mut Work<T>) -> bool {
        self.is_asking()
            && match self.evaluate(work) {
                Progress::Act => true,
                Progress::Wait => false,
                Progress::Absorbed => {
                    self.end_answered_request(work);
                    false
                }
            }
    }
}

/// Asking.
impl<T: Task> Node<T> {
    /// Evaluates the answers to the request, and asks the next handlers.
    pub(crate) fn evaluate(self: &Rc<Self>, work: &mut Work<T>) -> Progress {
        let asking = &self.asking;
        loop {
            if asking.first.get() == 0 {
                asking.first.set(moment());
                asking.round.set(asking.first.get());
            } else if asking.open.get() > 0 && !asking.changed.get() {
                return Progress::Wait;
            }
            asking.changed.set(false);
            let passed = self.ask_inside(work);
            if asking.open.get() > 0 {
                return Progress::Wait;
            }
            match asking.came.get() {
                _ if passed && self.has_absorbers() => asking.round.set(moment()),
                _ if passed => return Progress::Act,
                Came::Lost => asking.restart(),
                Came::Absorbed => return Progress::Absorbed,
                Came::Nothing => return Progress::Act,
            }
        }
    }

    /// Asks the handlers that were not asked yet, and counts the open ones. Returns whether any
    /// handler has passed the request on.
    fn ask_inside(self: &Rc<Self>, work: &mut Work<T>) -> bool {
        let handlers = self.handlers();
        let (first, round) = (self.asking.first.get(), self.asking.round.get());
        for handler in &handlers {
            match handler.answer.get() {
                Answer::Idle if handler.heard.get() <= round => handler.ask(self, work),
                Answer::Busy if handler.heard.get() < first => {
                    handler.heard.set(moment());
                    handler.expect(work);
                }
                _ => {}
            }
        }
        let open = handlers.iter().filter(|handler| handler.is_to_answer()).count();
        self.asking.open.set(open);
        handlers.iter().any(|handler| handler.answer.get() == Answer::Passed)
    }

    /// Whether handlers inside have absorbed this round, and go on.
    fn has_absorbers(self: &Rc<Self>) -> bool {
        self.handlers().iter().any(|handler| handler.answer.get() == Answer::Idle)
    }

    /// The handlers that this node asks: the ones directly inside.
    fn handlers(self: &Rc<Self>) -> Vec<Rc<Self>> {
        let mut handlers = Vec::new();
        self.collect_handlers(self.asking.first.get(), &mut handlers);
        handlers
    }

    fn collect_handlers(self: &Rc<Self>, first: u64, out: &mut Vec<Rc<Self>>) {
        self.make_links();
        self.for_each_inside(|node| {
            let idle = node.answer.get() == Answer::Idle;
            match node.kind {
                _ if node.presence.get() == Presence::Dormant => {}
                Kind::Timeout => node.collect_handlers(first, out),
                Kind::Catch if idle && node.born > first => node.collect_handlers(first, out),
                Kind::Link | Kind::OwnChild if idle && node.has_no_task_to_ask() => {}
                Kind::OwnChild if node.is_group_asking() => {}
                _ => out.push(Rc::clone(node)),
            }
        });
    }

    fn has_no_task_to_ask(&self) -> bool {
        self.task.as_ref().is_none_or(Task::is_done)
    }

    /// Whether the body around this await of an own child has a request.
    fn is_group_asking(&self) -> bool {
        let boundary = self.find_outwards(|node| node.is_boundary());
        boundary.is_some_and(|node| node.kind == Kind::Body && node.is_asking())
    }

    /// Asks a handler on behalf of `asker`.
    fn ask(self: &Rc<Self>, asker: &Self, work: &mut Work<T>) {
        if self.closes_a_circle(work) {
            // The awaited task waits for the asker, so this handler counts as absent.
            self.presence.set(Presence::Dormant);
            return;
        }
        let reason = asker.reason();
        self.answer.set(Answer::Asked);
        self.asking.restart();
        match (self.kind, &self.task) {
            (Kind::Link | Kind::OwnChild, Some(task)) => {
                work.requests.push((task.clone(), reason));
                work.links.push(Rc::clone(self));
            }
            (Kind::Group, _) => self.ask_body(asker, reason, work),
            _ => {
                let old = self.asking.reason.replace(Some(reason));
                drop(old);
                self.asking.inherit(&asker.asking);
                if self.evaluate(work) == Progress::Act {
                    self.expect(work);
                }
            }
        }
    }

    /// Whether this is the await of a task that the request came from.
    fn closes_a_circle(&self, work: &Work<T>) -> bool {
        matches!(self.kind, Kind::Link | Kind::OwnChild)
            && self.task.as_ref().is_some_and(|task| work.has_reached(task))
    }

    /// A group that is asked asks its body first.
    fn ask_body(self: &Rc<Self>, asker: &Self, reason: CancelReason, work: &mut Work<T>) {
        let old = self.asking.reason.replace(Some(reason.clone()));
        drop(old);
        let body = self.inside().into_iter().find(|node| node.kind == Kind::Body);
        let Some(body) = body else { return self.expect(work) };
        if !body.is_asking() {
            body.begin(reason);
        }
        body.asking.inherit(&asker.asking);
        match body.evaluate(work) {
            Progress::Wait => {}
            Progress::Act => self.expect(work),
            Progress::Absorbed => body.end_request(work),
        }
    }

    /// Tells awaits about a second request, which other handlers treat as one with the first.
    pub(super) fn repeat(&self, reason: &CancelReason, work: &mut Work<T>) {
        for node in self.inside() {
            match (node.kind, &node.task) {
                (Kind::Link | Kind::OwnChild, Some(task)) if node.is_asking() => {
                    work.requests.push((task.clone(), reason.clone()));
                }
                _ => node.repeat(reason, work),
            }
        }
    }
}

/// Answering.
impl<T: Task> Node<T> {
    /// Whether it was asked, and every handler inside has done its part.
    pub(super) fn is_to_act(self: &Rc<Self>, work: &mut Work<T>) -> bool {
        self.answer.get() == Answer::Asked
            && match self.evaluate(work) {
                Progress::Act => true,
                Progress::Wait => false,
                Progress::Absorbed => {
                    self.absorb(work);
                    false
                }
            }
    }

    /// This handler has absorbed its request, and so ends the requests further out. Returns the
    /// targets that asked. A request that was made in this very poll has reached no handler, and
    /// stays.
    pub(crate) fn absorb(self: &Rc<Self>, work: &mut Work<T>) -> Vec<Rc<Self>> {
        let targets = self.askers_outwards();
        self.go_on();
        let mut next = self.parent();
        while let Some(node) = next {
            if node.is_asking() && node.asking.first.get() != 0 {
                if node.asking.came.get() == Came::Nothing {
                    node.asking.came.set(Came::Absorbed);
                }
                // After a loss the request is delivered afresh at the next suspension, not here.
                let over = node.asking.one_less()
                    && node.asking.came.get() == Came::Absorbed
                    && node.evaluate(work) == Progress::Absorbed;
                match node.is_handler() {
                    true if !over => break,
                    true => {
                        node.go_on();
                        node.retract(work);
                    }
                    false if over => node.end_answered_request(work),
                    false => {}
                }
            }
            next = match node.kind {
                Kind::Root | Kind::Region => None,
                Kind::Body => node.absorb_for_group(),
                _ => node.parent(),
            };
        }
        targets
    }

    /// The targets whose requests have reached this handler.
    fn askers_outwards(&self) -> Vec<Rc<Self>> {
        let mut targets = Vec::new();
        let mut next = self.parent();
        while let Some(node) = next {
            next = match node.kind {
                Kind::Root | Kind::Region => None,
                // A group that was asked asks its body; a body that ends by itself does not.
                Kind::Body => node.parent().filter(|group| group.is_asking()),
                _ => node.parent(),
            };
            if node.is_asking() && !node.is_handler() {
                targets.push(node);
            }
        }
        targets
    }

    /// A body that absorbed the request of its group answers for the group.
    fn absorb_for_group(self: &Rc<Self>) -> Option<Rc<Self>> {
        let group = self.parent().filter(|group| group.is_asking() && !self.is_asking())?;
        group.go_on();
        group.parent()
    }

    /// Notes that this handler has absorbed its request.
    fn go_on(self: &Rc<Self>) {
        self.see();
        self.heard.set(moment());
        self.answer.set(Answer::Idle);
    }

    /// This handler has finished its cleanup, and is to be dropped.
    pub(crate) fn pass(self: &Rc<Self>, work: &mut Work<T>) {
        self.see();
        self.answer.set(Answer::Passed);
        self.for_each_asker(|asker| {
            if asker.asking.one_less() {
                asker.expect(work);
            }
        });
    }

    /// This handler is removed or moved. If it was asked, its answer is lost.
    pub(super) fn lose(self: &Rc<Self>, work: &mut Work<T>) {
        let answer = self.answer.get();
        match answer {
            Answer::Idle => return,
            Answer::Busy => {}
            Answer::Asked | Answer::Passed => {
                self.answer.set(Answer::Idle);
                self.heard.set(0);
                self.retract(work);
            }
        }
        self.for_each_asker(|asker| {
            asker.asking.came.set(Came::Lost);
            let none_left = match answer {
                Answer::Passed => asker.asking.open.get() == 0,
                _ => asker.asking.one_less(),
            };
            if none_left {
                asker.expect(work);
            }
        });
    }

    /// This node is removed or moved, and with it the handlers inside that were asked through it:
    /// through a timeout, or through a `catch_cancel` that came too late.
    pub(super) fn lose_with_inside(self: &Rc<Self>, work: &mut Work<T>) {
        match (self.kind, self.answer.get()) {
            (Kind::Timeout, _) | (Kind::Catch, Answer::Idle) => {
                for node in self.inside() {
                    node.lose_with_inside(work);
                }
            }
            _ => self.lose(work),
        }
    }

    /// The request that this node passed on inwards is over: handlers inside that were asked on its
    /// behalf are idle, and handlers that wait to be dropped look again.
    pub(super) fn retract(&self, work: &mut Work<T>) {
        for node in self.inside() {
            match (node.kind, node.answer.get()) {
                (Kind::Timeout, _) if node.is_asking() => work.wake(&node),
                _ if node.is_boundary() => {}
                (_, Answer::Passed) => work.wake(&node),
                (_, Answer::Busy) => {}
                (kind, answer) => {
                    if answer == Answer::Asked {
                        node.answer.set(Answer::Idle);
                        if node.presence.get() == Presence::Expected {
                            node.presence.set(Presence::Seen);
                        }
                    }
                    match kind {
                        // It takes back the request of its body.
                        Kind::Group if answer == Answer::Asked => work.wake(&node),
                        _ => node.retract(work),
                    }
                }
            }
        }
    }

    /// A handler was added here: askers have to count again.
    pub(super) fn mark_askers(&self) {
        self.for_each_asker(|asker| asker.asking.changed.set(true));
    }
}

/// Presence.
impl<T: Task> Node<T> {
    /// Wakes a node that has something to do.
    pub(super) fn expect(self: &Rc<Self>, work: &mut Work<T>) {
        self.expect_poll();
        work.wake(self);
    }

    /// Notes that a handler was woken, or is about to be. A timeout is no handler, and a task is
    /// polled in any case.
    pub(super) fn expect_poll(self: &Rc<Self>) {
        let node = self.polled_node();
        let no_handler = matches!(node.kind, Kind::Root | Kind::Timeout);
        if no_handler || node.presence.get() != Presence::Seen {
            return;
        }
        node.presence.set(Presence::Expected);
        if let Some(root) = node.root_around() {
            root.root.expected.borrow_mut().push(node);
        }
    }

    /// The node to wake: this node, or the group that polls this body.
    fn polled_node(self: &Rc<Self>) -> Rc<Self> {
        let group = self.parent().filter(|_| self.kind == Kind::Body);
        group.unwrap_or_else(|| Rc::clone(self))
    }

    /// Notes that a handler was polled, has answered, or is removed.
    #[inline]
    pub(super) fn see(&self) {
        if self.presence.get() != Presence::Seen
            && self.presence.replace(Presence::Seen) == Presence::Dormant
        {
            self.mark_askers();
        }
    }

    /// Tells the root about the expected nodes that were moved along with this one.
    pub(super) fn tell_root_of_expected(self: &Rc<Self>) {
        if self.presence.get() == Presence::Expected {
            self.presence.set(Presence::Seen);
            self.expect_poll();
        }
        for node in self.inside() {
            node.tell_root_of_expected();
        }
    }

    /// The task of this root sleeps, and nothing is going to wake it: expected nodes that were not
    /// polled become dormant. Returns whether there was any.
    pub(super) fn find_dormant(self: &Rc<Self>, work: &mut Work<T>) -> bool {
        let mut expected = self.root.expected.take();
        let (mut found, mut woken) = (false, HashSet::new());
        expected.retain(|node| {
            if node.presence.get() != Presence::Expected || !self.is_root_of(node) {
                return false;
            }
            // An asker that was woken just now is polled first.
            if node.awaits_answer() || woken.contains(&Rc::as_ptr(node)) {
                return true;
            }
            node.presence.set(Presence::Dormant);
            found = true;
            node.for_each_asker(|asker| {
                asker.asking.changed.set(true);
                if asker.kind != Kind::Root {
                    woken.insert(Rc::as_ptr(&asker.polled_node()));
                    asker.expect(work);
                }
            });
            false
        });
        expected.append(&mut self.root.expected.borrow_mut());
        *self.root.expected.borrow_mut() = expected;
        found
    }

    fn is_root_of(self: &Rc<Self>, node: &Self) -> bool {
        node.root_around().is_some_and(|root| Rc::ptr_eq(&root, self))
    }

    /// Whether this is an await that has asked a task, which has not ended.
    fn awaits_answer(&self) -> bool {
        let awaits = matches!(self.kind, Kind::Link | Kind::OwnChild);
        awaits && self.is_asking() && self.task.as_ref().is_some_and(|task| !task.is_done())
    }
}

impl Asking {
    /// Forgets the delivery; the next `evaluate` delivers afresh.
    fn restart(&self) {
        self.first.set(0);
        self.open.set(0);
        self.changed.set(false);
        self.came.set(Came::Nothing);
    }

    /// Starts the round of a request that `asker` has delivered. Answers to an earlier request do
    /// not count.
    fn inherit(&self, asker: &Self) {
        self.first.set(asker.first.get());
        self.round.set(moment());
        self.came.set(Came::Nothing);
        self.changed.set(true);
    }

    /// Counts the answer of one handler; true if no handler is left that has not answered.
    fn one_less(&self) -> bool {
        self.open.set(self.open.get().saturating_sub(1));
        self.open.get() == 0
    }
}

#[cfg(test)]
mod tests;
