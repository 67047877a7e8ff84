//! How a request finds those who answer it.
//!
//! A node that *asks* (a target that was asked to end, or a handler that was asked) looks at the
//! handlers directly inside it: those that have not been asked are asked; while any has not
//! answered it waits; when all have passed the request on, it acts. It looks when something has
//! changed, and otherwise counts who has not answered, so that a poll costs nothing in between.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use asyncio_loop::{CancelReason, LoopRef, TaskRef, running_loop};

use super::node::{Answer, Kind, Node, tick};
use super::request;

/// The state of a node's asking.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// It has a request that is not answered. (A root keeps this in its task, and a handler in its
    /// answer.)
    pub(super) ending: Cell<bool>,
    /// The request has been delivered: `first` and `round` say when.
    delivered: Cell<bool>,
    /// When the request was delivered first: a `catch_cancel` that is newer is not asked.
    first: Cell<u64>,
    /// When it was delivered last: a handler that absorbed after this has answered.
    round: Cell<u64>,
    /// Handlers that were asked and have not answered.
    waiting: Cell<usize>,
    /// Something has changed that the count does not say.
    dirty: Cell<bool>,
    /// A handler has absorbed the request.
    absorbed: Cell<bool>,
    /// A handler has gone without an answer.
    lost: Cell<bool>,
    pub(super) reason: RefCell<Option<CancelReason>>,
    /// Whom to tell when there is no request any more.
    unended: RefCell<Vec<Rc<Node>>>,
}

/// What a node that asks is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Wait for handlers that are at it.
    Wait,
    /// Go on: the request was absorbed.
    Absorbed,
    /// Drop the body.
    Act,
}

/// What is left to do when the tree is at rest: nothing foreign runs while it changes.
#[derive(Default)]
pub(crate) struct Work {
    requests: Vec<(TaskRef, CancelReason)>,
    wakes: Vec<Rc<Node>>,
    /// When the first task with a node was told; 0 before that.
    since: u64,
    /// When the first of several requests at once began; 0 if there is only one.
    batch: u64,
}

impl Work {
    /// Runs `f`, then all that it left to do, without recursion.
    pub(crate) fn run<R>(f: impl FnOnce(&mut Self) -> R) -> R {
        Self::default().finish(f)
    }

    /// Asks several tasks to end. A request to each that waits for others reaches those, and they are
    /// asked once all the same: so a chain of tasks that wait for each other is walked along once.
    pub(super) fn run_batch(tasks: impl IntoIterator<Item = TaskRef>, reason: &CancelReason) {
        let batch = tick();
        for task in tasks {
            let work = Self { batch, ..Self::default() };
            work.finish(|work| request::deliver_to(&task, reason.clone(), work));
        }
    }

    fn finish<R>(self, f: impl FnOnce(&mut Self) -> R) -> R {
        let mut work = self;
        let result = f(&mut work);
        while let Some((task, reason)) = work.requests.pop() {
            request::deliver_to(&task, reason, &mut work);
        }
        for node in work.wakes {
            node.wake();
        }
        result
    }

    pub(super) fn request(&mut self, task: TaskRef, reason: CancelReason) {
        self.requests.push((task, reason));
    }

    /// The moment from which on whoever was told was told by this.
    pub(super) fn since(&mut self) -> u64 {
        if self.since == 0 {
            self.since = tick();
        }
        self.since
    }

    /// Whether a task that was last told at `moment` was told by one of the requests of this batch.
    pub(super) fn batch_has_told(&self, moment: u64) -> bool {
        self.batch != 0 && moment >= self.batch
    }

    pub(super) fn wake(&mut self, node: &Rc<Node>) {
        self.wakes.push(Rc::clone(node));
    }
}

impl Node {
    /// Whether it asks those inside it.
    pub(crate) fn is_asking(&self) -> bool {
        match self.kind() {
            Kind::Root => self.task().is_some_and(TaskRef::is_ending),
            Kind::Body | Kind::Timeout | Kind::Region => self.delivery.ending.get(),
            _ => self.answer.get() == Answer::Asked,
        }
    }

    /// Gives a target a request.
    pub(crate) fn begin(&self, reason: CancelReason) {
        match (self.kind(), self.task()) {
            (Kind::Root, Some(task)) => task.mark_ending(),
            _ => {
                self.delivery.ending.set(true);
                let old = self.delivery.reason.replace(Some(reason));
                drop(old);
            }
        }
        self.delivery.restart();
    }

    /// Takes a target's request away.
    pub(crate) fn unend(&self, work: &mut Work) {
        match (self.kind(), self.task()) {
            (Kind::Root, Some(task)) => task.withdraw_end(),
            _ => self.delivery.ending.set(false),
        }
        self.delivery.restart();
        let mut told = self.delivery.unended.borrow_mut();
        told.iter().for_each(|node| node.told_by.set(0));
        work.wakes.append(&mut told);
    }

    /// Every handler has answered the request. Another one that was made meanwhile, in this very poll of
    /// the task, has not come through to them, and is delivered at the next suspension.
    pub(super) fn all_answered(&self, work: &mut Work) {
        if self.root_state.asked_while_running.get() {
            self.delivery.restart();
        } else {
            self.unend(work);
        }
    }

    /// Has `node` woken when this target has no request any more.
    pub(crate) fn tell_when_unended(&self, node: &Rc<Node>) {
        if node.told_by.replace(self.entered) != self.entered {
            self.delivery.unended.borrow_mut().push(Rc::clone(node));
        }
    }

    /// Looks how the request stands, and asks whoever is next.
    pub(crate) fn look(self: &Rc<Self>, work: &mut Work) -> Look {
        let delivery = &self.delivery;
        loop {
            if !delivery.delivered.replace(true) {
                let now = tick();
                delivery.first.set(now);
                delivery.round.set(now);
            } else if delivery.waiting.get() > 0 && !delivery.dirty.get() {
                return Look::Wait;
            }
            delivery.dirty.set(false);
            let passed = self.ask_inside(work);
            if delivery.waiting.get() > 0 {
                return Look::Wait;
            }
            if passed && self.has_absorbers() {
                // Passing wins over absorbing: those that go on are asked again.
                delivery.round.set(tick());
            } else if passed {
                return Look::Act;
            } else if delivery.lost.get() {
                delivery.restart();
            } else if delivery.absorbed.get() {
                return Look::Absorbed;
            } else {
                return Look::Act;
            }
        }
    }

    /// Asks the handlers that were not, and counts those that have not answered. Returns whether
    /// any has passed.
    fn ask_inside(self: &Rc<Self>, work: &mut Work) -> bool {
        let mut handlers = Vec::new();
        self.handlers(self, &mut handlers);
        let round = self.delivery.round.get();
        for handler in &handlers {
            match handler.answer.get() {
                Answer::Idle if handler.absorbed_at.get() <= round => handler.ask(self, work),
                Answer::Busy => handler.probe(self, work),
                _ => {}
            }
        }
        let waiting = handlers.iter().filter(|handler| handler.is_to_answer()).count();
        self.delivery.waiting.set(waiting);
        handlers.iter().any(|handler| handler.answer.get() == Answer::Passed)
    }

    /// Whether this handler was asked, or is at work, and has not answered.
    fn is_to_answer(&self) -> bool {
        matches!(self.answer.get(), Answer::Asked | Answer::Busy)
    }

    /// Whether handlers inside have absorbed this round, and go on.
    fn has_absorbers(self: &Rc<Self>) -> bool {
        let mut handlers = Vec::new();
        self.handlers(self, &mut handlers);
        handlers.iter().any(|handler| handler.answer.get() == Answer::Idle)
    }

    /// The handlers for a request of `asker` that are directly inside this node.
    fn handlers(self: &Rc<Self>, asker: &Rc<Self>, out: &mut Vec<Rc<Self>>) {
        self.for_each_below(|node| {
            if node.dormant.get() {
                return;
            }
            let idle = node.answer.get() == Answer::Idle;
            match node.kind() {
                Kind::Timeout => node.handlers(asker, out),
                // One delivery: it was not there when the request came.
                Kind::Catch if idle && node.entered > asker.delivery.first.get() => {
                    node.handlers(asker, out);
                }
                Kind::Link | Kind::OwnChild if idle && node.task().is_none_or(TaskRef::is_done) => {
                }
                Kind::OwnChild if node.is_group_asking() => {}
                _ => out.push(Rc::clone(node)),
            }
        });
    }

    /// Whether the body around this await of an own child was asked to end.
    fn is_group_asking(&self) -> bool {
        let mut next = self.parent();
        while let Some(node) = next {
            if node.is_boundary() {
                return node.kind() == Kind::Body && node.is_asking();
            }
            next = node.parent();
        }
        false
    }

    /// Asks a handler on behalf of `asker`.
    fn ask(self: &Rc<Self>, asker: &Rc<Self>, work: &mut Work) {
        if self.closes_a_circle(work) {
            // It would wait for the one that asks, so it counts as absent.
            self.hide();
            self.dormant.set(true);
            return;
        }
        let reason = asker.reason();
        self.answer.set(Answer::Asked);
        self.delivery.restart();
        match (self.kind(), self.task()) {
            (Kind::Link | Kind::OwnChild, Some(task)) => {
                self.hide();
                self.watch(task);
                work.request(task.clone(), reason);
            }
            (Kind::Group, _) => {
                self.hide();
                self.ask_body(asker, reason, work);
            }
            _ => {
                self.hide();
                *self.delivery.reason.borrow_mut() = Some(reason);
                self.delivery.inherit(&asker.delivery);
                if self.look(work) == Look::Act {
                    work.wake(self);
                }
            }
        }
    }

    /// Has the task around this link polled when `awaited` has ended.
    fn watch(&self, awaited: &TaskRef) {
        let Some(root) = self.whose_waker_may_fail() else { return };
        if let Some(event_loop) = awaited.event_loop() {
            awaited.on_done(event_loop.callback(move || root.wake()));
        }
    }

    /// Has a handler that is at work polled, once for each request: does anybody?
    fn probe(self: &Rc<Self>, asker: &Self, work: &mut Work) {
        if self.probed_at.get() < asker.delivery.first.get() {
            self.probed_at.set(tick());
            self.hide();
            work.wake(self);
        }
    }

    /// A group that is asked asks its body first.
    fn ask_body(self: &Rc<Self>, asker: &Rc<Self>, reason: CancelReason, work: &mut Work) {
        *self.delivery.reason.borrow_mut() = Some(reason.clone());
        let body = self.below().into_iter().find(|node| node.kind() == Kind::Body);
        let Some(body) = body else { return work.wake(self) };
        if !body.is_asking() {
            body.begin(reason);
        }
        body.delivery.inherit(&asker.delivery);
        match body.look(work) {
            Look::Wait => {}
            Look::Act => work.wake(self),
            Look::Absorbed => body.unend(work),
        }
    }

    /// This handler's request was absorbed: every request further out ends, unless another handler
    /// of it is still at work or has passed. One that was made in this very poll has not come through to
    /// anybody yet, and stays. Returns the targets on the way.
    pub(crate) fn absorb(self: &Rc<Self>, work: &mut Work) -> Vec<Rc<Self>> {
        let targets = self.askers_outwards();
        self.answered(Answer::Idle);
        let mut next = self.parent();
        while let Some(node) = next {
            if node.is_asking() && node.delivery.delivered.get() {
                node.delivery.absorbed.set(true);
                // What was lost is delivered afresh at the next suspension, not here.
                let ended = node.delivery.one_less()
                    && !node.delivery.lost.get()
                    && node.look(work) == Look::Absorbed;
                if node.is_handler() {
                    if !ended {
                        break;
                    }
                    node.answered(Answer::Idle);
                } else if ended {
                    node.all_answered(work);
                }
            }
            next = match node.kind() {
                Kind::Root | Kind::Region => None,
                Kind::Body => node.absorbed_by_body(),
                _ => node.parent(),
            };
        }
        targets
    }

    /// The targets whose requests have come through to this handler.
    fn askers_outwards(&self) -> Vec<Rc<Self>> {
        let mut targets = Vec::new();
        let mut next = self.parent();
        while let Some(node) = next {
            if node.is_asking() && !node.is_handler() {
                targets.push(Rc::clone(&node));
            }
            next = match node.kind() {
                Kind::Root | Kind::Region => None,
                // A group that is asked asks its body; one that is ending does that by itself.
                Kind::Body => node.parent().filter(|group| group.is_asking()),
                _ => node.parent(),
            };
        }
        targets
    }

    /// A body that absorbed what its group was asked answers for the group.
    fn absorbed_by_body(&self) -> Option<Rc<Self>> {
        let group = self.parent().filter(|group| group.is_asking() && !self.is_asking())?;
        group.answered(Answer::Idle);
        group.parent()
    }

    fn answered(self: &Rc<Self>, answer: Answer) {
        self.see();
        self.absorbed_at.set(tick());
        self.answer.set(answer);
    }

    /// This handler has done its part, and is to be dropped.
    pub(crate) fn pass(self: &Rc<Self>) {
        self.see();
        self.answer.set(Answer::Passed);
        Work::run(|work| {
            self.for_each_asker(|asker| {
                if asker.delivery.one_less() {
                    work.wake(asker);
                }
            })
        });
    }

    /// This handler goes, or has gone elsewhere: if it was asked, that was for nothing.
    fn lost(self: &Rc<Self>, work: &mut Work) {
        if self.answer.get() == Answer::Idle {
            return;
        }
        if self.answer.get() != Answer::Busy {
            self.answer.set(Answer::Idle);
        }
        self.for_each_asker(|asker| {
            asker.delivery.lost.set(true);
            asker.delivery.dirty.set(true);
            if asker.delivery.one_less() {
                work.wake(asker);
            }
        });
    }

    /// This node goes, or has gone elsewhere, and with it the handlers inside it that were asked past it:
    /// through a timeout, which is no handler, and a `catch_cancel` that came too late.
    pub(super) fn lost_with_inside(self: &Rc<Self>, work: &mut Work) {
        match (self.kind(), self.answer.get()) {
            (Kind::Timeout, _) | (Kind::Catch, Answer::Idle) => {
                self.for_each_below(|node| node.lost_with_inside(work));
            }
            _ => self.lost(work),
        }
    }

    /// Something new is here: those who ask are to look.
    pub(super) fn mark_askers(self: &Rc<Self>) {
        self.for_each_asker(|asker| asker.delivery.dirty.set(true));
    }

    /// Calls `f` with every node that asks this one, the innermost first.
    fn for_each_asker(&self, mut f: impl FnMut(&Rc<Self>)) {
        let mut next = self.parent();
        while let Some(node) = next {
            if node.is_asking() {
                f(&node);
                if node.is_handler() {
                    return;
                }
            }
            if node.is_boundary() {
                return;
            }
            next = node.parent();
        }
    }

    /// Whether anything still asks this handler. If not, it is not asked any more.
    pub(crate) fn check_asked(&self) -> bool {
        if self.answer.get() != Answer::Asked {
            return false;
        }
        let asked = self.has_asker();
        if !asked {
            self.answer.set(Answer::Idle);
        }
        asked
    }

    /// Whether anything asks a handler that stands here.
    pub(crate) fn has_asker(&self) -> bool {
        self.ending_target().is_some()
    }

    /// The target around this node that was asked to end, if any: up to the task, the shielded
    /// region, or the body of the group that it belongs to.
    pub(crate) fn ending_target(&self) -> Option<Rc<Self>> {
        let mut next = self.parent();
        while let Some(node) = next {
            if !node.is_handler() && node.is_asking() {
                return Some(node);
            }
            if node.is_boundary() {
                return None;
            }
            next = node.parent();
        }
        None
    }

    /// The innermost task, child or shielded region that this is or stands in.
    pub(super) fn region(self: &Rc<Self>) -> Option<Rc<Self>> {
        let mut next = Some(Rc::clone(self));
        while let Some(node) = next {
            if matches!(node.kind(), Kind::Root | Kind::Region) {
                return Some(node);
            }
            next = node.parent();
        }
        None
    }
}

/// Scopes that were asked, and that nobody polls any more.
impl Node {
    pub(super) fn root(&self) -> Option<Rc<Self>> {
        let mut next = self.parent();
        while let Some(node) = next {
            if node.kind() == Kind::Root {
                return Some(node);
            }
            next = node.parent();
        }
        None
    }

    /// Notes that it was asked and has to be polled.
    fn hide(&self) {
        self.unseen.set(true);
        self.tell_root_of_unseen();
    }

    /// Has the root look for nodes that nobody polls when its task sleeps.
    pub(super) fn tell_root_of_unseen(&self) {
        if let Some(root) = self.root() {
            root.has_unseen.set(true);
        }
    }

    /// Notes that it was polled, has answered, or goes.
    #[inline]
    pub(super) fn see(self: &Rc<Self>) {
        if self.unseen.replace(false) && self.dormant.replace(false) {
            self.mark_askers();
        }
    }

    /// Counts out what nobody polls: the task of this root sleeps, nothing is going to wake it, and
    /// they have been woken to no effect. Returns whether there was any.
    pub(super) fn count_out_dormant(self: &Rc<Self>) -> bool {
        if !self.has_unseen.replace(false) {
            return false;
        }
        let (mut found, mut askers, mut known) = (false, Vec::new(), HashSet::new());
        self.each_inside(&mut |node| {
            if !node.unseen.get() || node.dormant.get() {
                return;
            }
            // What waited for it until now is woken first.
            if node.waits_for_inside() || known.contains(&Rc::as_ptr(&node.who_asks_for_it())) {
                self.has_unseen.set(true);
                return;
            }
            node.dormant.set(true);
            found = true;
            node.for_each_asker(|asker| {
                asker.delivery.dirty.set(true);
                known.insert(Rc::as_ptr(asker));
                askers.push(Rc::clone(asker));
            });
        });
        if found {
            askers.iter().filter(|asker| asker.kind() != Kind::Root).for_each(|asker| asker.wake());
            report_dormant(&running_loop(), self);
        }
        found
    }

    /// Whether what it asked has not answered: the awaited task, or handlers inside, which a group
    /// asks through its body.
    fn waits_for_inside(self: &Rc<Self>) -> bool {
        if self.answer.get() == Answer::Busy {
            return false;
        }
        if let (Kind::Link | Kind::OwnChild, Some(task)) = (self.kind(), self.task()) {
            return !task.is_done();
        }
        let asker = self.who_asks_for_it();
        let mut handlers = Vec::new();
        asker.handlers(&asker, &mut handlers);
        handlers.iter().any(|handler| handler.is_to_answer())
    }

    /// What asks those inside on its behalf: of a group, the body.
    fn who_asks_for_it(self: &Rc<Self>) -> Rc<Self> {
        let body = self.below().into_iter().find(|node| node.kind() == Kind::Body);
        body.filter(|_| self.kind() == Kind::Group).unwrap_or_else(|| Rc::clone(self))
    }

    /// Calls `f` with every node below, the inner ones first.
    fn each_inside(self: &Rc<Self>, f: &mut impl FnMut(&Rc<Self>)) {
        for node in self.below() {
            node.each_inside(f);
            f(&node);
        }
    }
}

fn report_dormant(event_loop: &LoopRef, root: &Node) {
    let mut context = asyncio_loop::ErrorContext::new(
        "a cancelled scope that nobody polls is dropped without its cleanup",
    );
    if let Some(task) = root.task() {
        context = context.with_task(task.clone());
    }
    event_loop.report(&context);
}

impl Delivery {
    /// Forgets what has been delivered; the next look delivers afresh.
    pub(super) fn restart(&self) {
        self.delivered.set(false);
        self.waiting.set(0);
        self.dirty.set(false);
        self.absorbed.set(false);
        self.lost.set(false);
    }

    /// Passes a request on that was delivered before to who asked. Answers to an earlier one do not count.
    fn inherit(&self, asker: &Self) {
        self.delivered.set(true);
        self.first.set(asker.first.get());
        self.round.set(tick());
        self.absorbed.set(false);
        self.dirty.set(true);
    }

    /// Has the request delivered afresh when those who are at it have answered; those who have, and go
    /// on, are asked again at the next look. False if nothing has changed since the last call.
    pub(super) fn again(&self) -> bool {
        let had_answer = self.absorbed.replace(false);
        if self.lost.replace(true) && !had_answer {
            return false;
        }
        self.round.set(tick());
        self.dirty.set(true);
        true
    }

    /// One handler has answered; true if none is left that has not.
    fn one_less(&self) -> bool {
        self.waiting.set(self.waiting.get().saturating_sub(1));
        self.waiting.get() == 0
    }
}
