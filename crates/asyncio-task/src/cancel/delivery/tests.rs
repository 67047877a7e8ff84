//! The delivery alone, over trees without tasks and futures. Each test names the rule of the module
//! that it holds. The last test polls random trees, only where the delivery says so.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::scope::{Answer, Kind, Presence, Scope, Task};
use super::{Node, Progress, Work};
use asyncio_loop::CancelReason;

/// A stand-in for an awaited task, as far as the delivery uses tasks.
#[derive(Clone, Default)]
struct Fake(Rc<State>);

#[derive(Default)]
struct State {
    done: Cell<bool>,
    ending: Cell<bool>,
    reached_at: Cell<u64>,
    requests: Cell<usize>,
}

impl Task for Fake {
    fn is_done(&self) -> bool {
        self.0.done.get()
    }

    fn is_ending(&self) -> bool {
        self.0.ending.get()
    }

    fn set_ending(&self, ending: bool) {
        self.0.ending.set(ending);
    }

    fn reason(&self) -> CancelReason {
        CancelReason::default()
    }

    fn reached_at(&self) -> u64 {
        self.0.reached_at.get()
    }
}

type Scoped = Rc<Node<Fake>>;

fn root() -> Scoped {
    Node::new(Scope::new(Kind::Root, Some(Fake::default())))
}

fn enter(kind: Kind, parent: &Scoped) -> Scoped {
    enter_with(kind, None, parent)
}

fn enter_with(kind: Kind, task: Option<Fake>, parent: &Scoped) -> Scoped {
    let node = Node::new(Scope::new(kind, task));
    node.put(Some(Rc::clone(parent)));
    node.mark_askers();
    node
}

/// Calls `f`, and returns the nodes that it wakes.
fn does<R>(f: impl FnOnce(&mut Work<Fake>) -> R) -> (R, Vec<Scoped>) {
    let mut work = Work::default();
    let result = f(&mut work);
    for (task, _) in work.requests {
        task.0.requests.set(task.0.requests.get() + 1);
        task.0.ending.set(true);
    }
    for link in work.links {
        link.expect_poll();
    }
    (result, work.wakes)
}

fn evaluate(node: &Scoped) -> Progress {
    does(|work| node.evaluate(work)).0
}

fn ask(target: &Scoped) -> Progress {
    target.begin(CancelReason::default());
    evaluate(target)
}

fn must_act(node: &Scoped) -> bool {
    node.see();
    does(|work| node.is_to_act(work)).0
}

fn pass(node: &Scoped) -> Vec<Scoped> {
    does(|work| node.pass(work)).1
}

/// Answers a request as a `catch_cancel` does. Returns the targets.
fn absorb(node: &Scoped) -> Vec<Scoped> {
    node.detach();
    let targets = does(|work| node.absorb(work)).0;
    leave(node);
    targets
}

fn leave(node: &Scoped) -> Vec<Scoped> {
    node.see();
    node.detach();
    does(|work| {
        node.lose_with_inside(work);
        node.retract(work);
        work.wakes.extend(node.clear());
    })
    .1
}

fn is_one_of(node: &Scoped, nodes: &[Scoped]) -> bool {
    nodes.iter().any(|other| Rc::ptr_eq(other, node))
}

// Rule 1
#[test]
fn a_request_reaches_the_innermost_handler_first() {
    let root = root();
    let timeout = enter(Kind::Timeout, &root);
    let finally = enter(Kind::Finally, &timeout);
    let catch = enter(Kind::Catch, &finally);
    root.begin(CancelReason::default());
    let (progress, woken) = does(|work| root.evaluate(work));
    assert_eq!(progress, Progress::Wait);
    assert!(is_one_of(&catch, &woken) && woken.len() == 1);
    assert!(!must_act(&finally) && must_act(&catch));
}

// Rules 1 and 3
#[test]
fn a_target_without_handlers_acts() {
    let root = root();
    enter(Kind::Timeout, &root);
    assert_eq!(ask(&root), Progress::Act);
}

// Rule 1
#[test]
fn a_catch_that_is_younger_than_the_delivery_is_not_asked() {
    let root = root();
    let finally = enter(Kind::Finally, &root);
    assert_eq!(ask(&root), Progress::Wait);
    let late = enter(Kind::Catch, &root);
    let inner = enter(Kind::Finally, &late);
    assert_eq!(evaluate(&root), Progress::Wait);
    assert_eq!(late.answer.get(), Answer::Idle);
    assert_eq!(inner.answer.get(), Answer::Asked, "the request goes on inwards");
    pass(&finally);
    pass(&inner);
    assert_eq!(evaluate(&root), Progress::Act);
}

// Rule 2
#[test]
fn an_asker_waits_for_all_handlers() {
    let root = root();
    let handlers: Vec<_> = (0..5).map(|_| enter(Kind::Finally, &root)).collect();
    assert_eq!(ask(&root), Progress::Wait);
    for (number, handler) in handlers.iter().enumerate() {
        assert!(must_act(handler));
        handler.answer.set(Answer::Busy);
        assert_eq!(evaluate(&root), Progress::Wait);
        let woken = pass(handler);
        assert_eq!(is_one_of(&root, &woken), number == 4, "woken by the last answer");
    }
    assert_eq!(evaluate(&root), Progress::Act);
}

// Rule 3
#[test]
fn passing_wins_over_absorbing() {
    let root = root();
    let (catch, finally) = (enter(Kind::Catch, &root), enter(Kind::Finally, &root));
    let outer = enter(Kind::Finally, &root);
    let inner = enter(Kind::Catch, &outer);
    assert_eq!(ask(&root), Progress::Wait);
    assert!(must_act(&inner));
    absorb(&inner);
    assert_eq!(outer.answer.get(), Answer::Idle, "the outer handler is not asked");
    assert!(must_act(&catch));
    absorb(&catch);
    pass(&finally);
    assert_eq!(evaluate(&root), Progress::Wait, "an await that goes on is asked again");
    assert!(must_act(&outer));
    pass(&outer);
    assert_eq!(evaluate(&root), Progress::Act);
}

// Rules 3 and 4
#[test]
fn a_request_is_over_when_all_have_absorbed_it() {
    let root = root();
    let timeout = enter(Kind::Timeout, &root);
    let handlers = [enter(Kind::Catch, &timeout), enter(Kind::Catch, &root)];
    assert_eq!(ask(&root), Progress::Wait);
    assert_eq!(ask(&timeout), Progress::Wait);
    let targets = absorb(&handlers[0]);
    assert!(is_one_of(&root, &targets) && is_one_of(&timeout, &targets));
    assert!(!timeout.is_asking() && root.is_asking());
    absorb(&handlers[1]);
    assert!(!root.is_asking());
}

// Rules 3 and 4
#[test]
fn a_lost_answer_has_the_request_delivered_afresh() {
    let root = root();
    let (catch, other) = (enter(Kind::Catch, &root), enter(Kind::Catch, &root));
    assert_eq!(ask(&root), Progress::Wait);
    leave(&catch);
    absorb(&other);
    assert!(root.is_asking(), "the request is not over");
    let late = enter(Kind::Catch, &root);
    assert_eq!(evaluate(&root), Progress::Wait);
    assert_eq!(late.answer.get(), Answer::Asked, "a new delivery begins");
}

// Rule 2: without it, the loss of many handlers would take time that grows with the square of their
// number.
#[test]
fn a_lost_handler_is_counted_out_without_an_evaluation() {
    let root = root();
    let handlers: Vec<_> = (0..3).map(|_| enter(Kind::Catch, &root)).collect();
    assert_eq!(ask(&root), Progress::Wait);
    let woken = leave(&handlers[0]);
    assert_eq!((root.asking.open.get(), root.asking.changed.get()), (2, false));
    assert!(woken.is_empty());
    leave(&handlers[1]);
    assert!(is_one_of(&root, &leave(&handlers[2])), "woken by the last loss");
    assert_eq!(evaluate(&root), Progress::Act);
}

// Rule 4
#[test]
fn handlers_inside_a_timeout_that_goes_are_lost() {
    let root = root();
    let timeout = enter(Kind::Timeout, &root);
    let catch = enter(Kind::Catch, &timeout);
    assert_eq!(ask(&root), Progress::Wait);
    let woken = leave(&timeout);
    assert!(is_one_of(&root, &woken));
    assert_eq!(catch.answer.get(), Answer::Idle);
    assert_eq!(evaluate(&root), Progress::Act);
}

// Rule 5
#[test]
fn a_request_that_is_withdrawn_asks_nobody() {
    let root = root();
    let finally = enter(Kind::Finally, &root);
    let inner = enter(Kind::Catch, &finally);
    let passed = enter(Kind::Finally, &root);
    assert_eq!(ask(&root), Progress::Wait);
    pass(&passed);
    let ((), woken) = does(|work| root.end_request(work));
    assert_eq!((finally.answer.get(), inner.answer.get()), (Answer::Idle, Answer::Idle));
    assert!(is_one_of(&passed, &woken), "the handler has to look for its new target");
    assert_eq!(ask(&root), Progress::Wait);
    assert!(must_act(&inner), "the next request asks the idle handlers");
}

// Rule 5
#[test]
fn the_request_of_a_timeout_ends_alone() {
    let root = root();
    let timeout = enter(Kind::Timeout, &root);
    let finally = enter(Kind::Finally, &timeout);
    assert_eq!(ask(&timeout), Progress::Wait);
    assert_eq!(ask(&root), Progress::Wait);
    does(|work| timeout.end_request(work));
    assert_eq!(finally.answer.get(), Answer::Asked, "by the root");
    does(|work| root.end_request(work));
    assert_eq!(finally.answer.get(), Answer::Idle);
}

// Rule 6
#[test]
fn a_handler_that_is_not_polled_counts_as_absent_until_it_is() {
    let root = root();
    let outer = enter(Kind::Finally, &root);
    let unpolled = enter(Kind::Catch, &outer);
    assert_eq!(ask(&root), Progress::Wait);
    let (found, woken) = does(|work| root.find_dormant(work));
    assert!(found && is_one_of(&outer, &woken), "the next handler outwards is asked");
    assert_eq!(unpolled.presence.get(), Presence::Dormant);
    assert!(must_act(&outer));
    assert!(!does(|work| root.find_dormant(work)).0);
    unpolled.see();
    assert_eq!(evaluate(&outer), Progress::Wait, "the polled node counts again");
}

// Rule 1: awaits forward a request and each repetition of it, and end where they close a cycle.
#[test]
fn an_await_forwards_a_request() {
    let root = root();
    let awaited = Fake::default();
    let link = enter_with(Kind::Link, Some(awaited.clone()), &root);
    assert_eq!(ask(&root), Progress::Wait);
    does(|work| root.repeat(&CancelReason::default(), work));
    assert_eq!(awaited.0.requests.get(), 2);
    assert!(!does(|work| root.find_dormant(work)).0, "the root waits for the task");
    awaited.0.done.set(true);
    pass(&link);
    assert_eq!(evaluate(&root), Progress::Act);

    let cycle = Fake::default();
    let root = self::root();
    enter_with(Kind::Link, Some(cycle.clone()), &root);
    root.begin(CancelReason::default());
    let (progress, _) = does(|work| {
        cycle.0.reached_at.set(work.since());
        root.evaluate(work)
    });
    assert_eq!((progress, cycle.0.requests.get()), (Progress::Act, 0));
}

/// An event in a random tree; the `usize` chooses the node.
#[derive(Clone, Debug)]
enum Step {
    Enter(u8, usize),
    Await(usize),
    Ask(usize),
    Withdraw(usize),
    /// Foreign code drops the node.
    Drop(usize),
    /// Foreign code stops polling the node, or starts again.
    Unpoll(usize),
    /// Polls all woken nodes, again and again, until no node is woken.
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 0..20usize;
    let step = prop_oneof![
        8 => (0..4u8, node()).prop_map(|(kind, parent)| Step::Enter(kind, parent)),
        2 => node().prop_map(Step::Await),
        3 => node().prop_map(Step::Ask),
        1 => node().prop_map(Step::Withdraw),
        2 => node().prop_map(Step::Drop),
        1 => node().prop_map(Step::Unpoll),
        3 => Just(Step::Settle),
    ];
    prop::collection::vec(step, 1..40)
}

/// A task with a random tree of scopes.
struct World {
    root: Scoped,
    /// The nodes, without the root.
    nodes: Vec<Scoped>,
    /// Nodes that foreign code has stopped polling.
    unpolled: Vec<Scoped>,
    woken: Vec<Scoped>,
    ended: bool,
    /// Requests that were absorbed, withdrawn, or answered by the end.
    answers: usize,
}

impl World {
    fn does<R>(&mut self, f: impl FnOnce(&mut Work<Fake>) -> R) -> R {
        let (result, woken) = does(f);
        self.woken.extend(woken);
        result
    }

    fn at(&self, index: usize) -> Option<Scoped> {
        self.nodes.get(index.checked_rem(self.nodes.len())?).cloned()
    }

    /// The root, or a node.
    fn any(&self, index: usize) -> Scoped {
        if index % 3 == 0 {
            Rc::clone(&self.root)
        } else {
            self.at(index).unwrap_or(self.root.clone())
        }
    }

    fn remove(&mut self, node: &Scoped) {
        self.drop_inside(node);
        self.nodes.retain(|other| !Rc::ptr_eq(other, node));
        let woken = leave(node);
        self.woken.extend(woken);
    }

    fn drop_inside(&mut self, node: &Scoped) {
        for inner in node.inside() {
            self.remove(&inner);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Enter(kind, parent) => {
                let kind =
                    [Kind::Catch, Kind::Finally, Kind::Timeout, Kind::Catch][usize::from(kind)];
                self.enter(kind, None, parent);
            }
            Step::Await(parent) => self.enter(Kind::Link, Some(Fake::default()), parent),
            Step::Ask(index) => {
                let target = self.any(index);
                if matches!(target.kind, Kind::Root | Kind::Timeout) && !target.is_asking() {
                    target.begin(CancelReason::default());
                    self.woken.push(target);
                }
            }
            Step::Withdraw(index) => {
                let target = self.any(index);
                if !target.is_handler() && target.is_asking() {
                    self.answers += 1;
                    self.does(|work| target.end_request(work));
                }
            }
            Step::Drop(index) => self.at(index).iter().for_each(|node| self.remove(node)),
            Step::Unpoll(index) => {
                if let Some(node) = self.at(index) {
                    match self.unpolled.iter().position(|other| Rc::ptr_eq(other, &node)) {
                        Some(place) => drop(self.unpolled.remove(place)),
                        None => self.unpolled.push(Rc::clone(&node)),
                    }
                    self.woken.push(node);
                }
            }
            Step::Settle => self.settle(),
        }
    }

    /// Enters a scope in a handler that still runs its body.
    fn enter(&mut self, kind: Kind, task: Option<Fake>, parent: usize) {
        let parent = self.any(parent);
        let is_open = matches!(parent.answer.get(), Answer::Idle | Answer::Asked);
        if is_open && parent.kind != Kind::Link {
            self.nodes.push(enter_with(kind, task, &parent));
        }
    }

    fn settle(&mut self) {
        loop {
            let mut polls = 0;
            while let Some(node) = self.woken.pop() {
                polls += 1;
                assert!(polls < 10_000, "the tree does not come to rest");
                self.poll(&node);
                self.check();
            }
            // Awaited tasks that were asked to end do so now.
            let links: Vec<_> =
                self.nodes.iter().filter(|node| node.kind == Kind::Link).cloned().collect();
            for link in links {
                if let Some(task) =
                    link.task.as_ref().filter(|task| task.is_ending() && !task.is_done())
                {
                    task.0.done.set(true);
                    self.woken.push(link);
                }
            }
            if !self.woken.is_empty() {
                continue;
            }
            let root = Rc::clone(&self.root);
            if !self.does(|work| root.find_dormant(work)) {
                break;
            }
            self.woken.push(root);
        }
    }

    /// Polls the task, and the scopes from its root down to `node`.
    fn poll(&mut self, node: &Scoped) {
        if self.ended || node.is_cleared() {
            return;
        }
        let mut path = vec![Rc::clone(node)];
        node.outwards(|node| {
            path.push(Rc::clone(node));
            ControlFlow::<()>::Continue(())
        });
        path.reverse();
        self.poll_along(&path);
    }

    /// Each scope calls `evaluate` before it polls the next scope, and again when that scope is
    /// pending.
    fn poll_along(&mut self, path: &[Scoped]) {
        let Some((node, inner)) = path.split_first() else { return };
        if node.is_cleared() || is_one_of(node, &self.unpolled) {
            return;
        }
        node.see();
        if self.poll_one(node) {
            self.poll_along(inner);
            if !node.is_cleared() {
                self.poll_one(node);
            }
        }
    }

    /// Polls one node. Returns false if the nodes inside it must not be polled.
    fn poll_one(&mut self, node: &Scoped) -> bool {
        match node.kind {
            Kind::Root | Kind::Timeout => {
                if self.does(|work| node.is_to_end(work)) {
                    self.drop_inside(node);
                    if node.kind == Kind::Root {
                        (self.ended, self.answers) = (true, self.answers + 1);
                    } else if node.ending_target().is_none() {
                        self.remove(node);
                    }
                    return false;
                }
            }
            Kind::Catch => {
                if self.does(|work| node.is_to_act(work)) {
                    self.answers += 1;
                    self.drop_inside(node);
                    node.detach();
                    self.does(|work| node.absorb(work));
                    self.remove(node);
                    return false;
                }
            }
            Kind::Finally => {
                if self.does(|work| node.is_to_act(work)) {
                    node.answer.set(Answer::Busy);
                    self.drop_inside(node);
                    self.does(|work| node.pass(work));
                }
                self.wait_to_be_dropped(node);
            }
            Kind::Link => {
                if node.is_asking() && node.task.as_ref().is_some_and(Task::is_done) {
                    self.does(|work| node.pass(work));
                }
                self.wait_to_be_dropped(node);
            }
            _ => unreachable!("not in these trees"),
        }
        true
    }

    /// A handler that has passed its request on ends the task once no enclosing target has a
    /// request.
    fn wait_to_be_dropped(&mut self, node: &Scoped) {
        if node.answer.get() == Answer::Passed && node.ending_target().is_none() {
            let root = Rc::clone(&self.root);
            root.begin(CancelReason::default());
            self.woken.push(root);
        }
    }

    /// Rules 2 and 5.
    fn check(&self) {
        for node in self.nodes.iter().chain([&self.root]) {
            let asked = node.answer.get() == Answer::Asked;
            assert!(!asked || node.ending_target().is_some(), "asked without an asker: {node:?}");
            if node.is_asking() && node.asking.first.get() != 0 && !node.asking.changed.get() {
                let open = node.handlers().iter().filter(|handler| handler.is_to_answer()).count();
                assert!(
                    node.asking.open.get() <= open,
                    "more open answers than open handlers: {node:?}"
                );
            }
        }
    }
}

/// The same trees in every run. `PROPTEST_CASES` asks for more of them, `PROPTEST_RNG_SEED` for
/// others.
fn config() -> ProptestConfig {
    /// An arbitrary number.
    const SEED: u64 = 20_261_130;
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    ProptestConfig {
        rng_seed: RngSeed::Fixed(seed.unwrap_or(SEED)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_trees_come_to_rest_with_no_request_left(steps in steps()) {
        let root = root();
        let mut world = World {
            root, nodes: vec![], unpolled: vec![], woken: vec![], ended: false, answers: 0,
        };
        let mut asked = false;
        for step in steps {
            asked |= matches!(step, Step::Ask(index) if index % 3 == 0);
            world.step(step);
            world.check();
            if world.ended {
                break;
            }
        }
        world.settle();
        prop_assert!(!world.root.is_asking() || world.ended, "a request was lost");
        prop_assert!(!asked || world.answers > 0, "a request ended without an answer");
    }
}
