//! Random programs, with requests to end and drops injected while they run.
//!
//! A program is a tree of scopes around waits, run under virtual time. Whatever is done to it, it has
//! to keep these promises:
//!
//! * every `finally` whose body was polled runs its cleanup exactly once, unless foreign code dropped
//!   it, inner ones before outer ones;
//! * no child outlives its group, and nothing is polled once it has ended;
//! * no request is lost, and nothing hangs.

mod scopes;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_task::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use scopes::{ms, now, run};

#[derive(Clone, Debug)]
enum Program {
    Sleep(u8),
    Yield,
    Sequence(Vec<Program>),
    /// `true`: the body's cancel is passed on.
    Catch(Box<Program>, bool, Box<Program>),
    Finally(Box<Program>, Box<Program>),
    Timeout(u8, Box<Program>),
    Critical(Box<Program>),
    /// The body, and children.
    Group(Box<Program>, Vec<Program>),
    /// A task that is awaited.
    Join(Box<Program>),
    Shield(Box<Program>),
    /// A foreign combinator: the first drops the second.
    Select(Box<Program>, Box<Program>),
    /// The first is polled once and kept aside, while the second runs.
    Aside(Box<Program>, Box<Program>),
    /// A foreign combinator: both.
    Both(Box<Program>, Box<Program>),
    Gather(Vec<Program>),
    Race(Vec<Program>),
    CancelSelf,
    Fail,
}

fn programs() -> impl Strategy<Value = Program> {
    let leaf = prop_oneof![
        6 => (0..20u8).prop_map(Program::Sleep),
        2 => Just(Program::Yield),
        1 => Just(Program::CancelSelf),
        1 => Just(Program::Fail),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let several = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            2 => several().prop_map(Program::Sequence),
            2 => (boxed(), any::<bool>(), boxed()).prop_map(|(b, p, c)| Program::Catch(b, p, c)),
            3 => (boxed(), boxed()).prop_map(|(b, c)| Program::Finally(b, c)),
            2 => (0..20u8, boxed()).prop_map(|(t, b)| Program::Timeout(t, b)),
            1 => boxed().prop_map(Program::Critical),
            2 => (boxed(), several()).prop_map(|(b, c)| Program::Group(b, c)),
            2 => boxed().prop_map(Program::Join),
            1 => boxed().prop_map(Program::Shield),
            1 => (boxed(), boxed()).prop_map(|(a, b)| Program::Select(a, b)),
            1 => (boxed(), boxed()).prop_map(|(a, b)| Program::Aside(a, b)),
            1 => (boxed(), boxed()).prop_map(|(a, b)| Program::Both(a, b)),
            1 => several().prop_map(Program::Gather),
            1 => several().prop_map(Program::Race),
        ]
    })
}

/// What a run has shown.
#[derive(Default)]
struct World {
    /// Of each `finally`: whether its body was polled, and how often its cleanup has begun and ended.
    finals: RefCell<Vec<Final>>,
    /// Futures of children and bodies that are alive.
    alive: Cell<usize>,
}

#[derive(Debug, Default)]
struct Final {
    parent: Option<usize>,
    begun: u32,
    ended: u32,
    dropped_by_others: bool,
}

type World_ = Rc<World>;
type Done = Result<(), &'static str>;
type Run = Pin<Box<dyn Future<Output = Done>>>;

/// Where a piece of a program stands.
#[derive(Clone)]
struct Place {
    world: World_,
    /// The `finally` around it, in the same branch.
    within: Option<usize>,
    /// Inside something that foreign code may drop.
    fragile: bool,
    /// Inside a cleanup, which a child that cancels itself would end.
    cleanup: bool,
}

impl Place {
    fn fragile(&self) -> Self {
        Self { fragile: true, ..self.clone() }
    }
}

struct Alive(World_);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

/// Runs a piece of a program.
fn go(program: Program, place: Place) -> Run {
    Box::pin(async move {
        match program {
            Program::Sleep(delay) => sleep(ms(delay.into())).await,
            Program::Yield => yield_now().await,
            Program::CancelSelf if place.cleanup => {}
            Program::CancelSelf => {
                current_task().unwrap().cancel();
            }
            Program::Fail => return Err("failed"),
            Program::Sequence(steps) => {
                for step in steps {
                    go(step, place.clone()).await?;
                }
            }
            Program::Catch(body, pass, after) => match catch_cancel(go(*body, place.clone())).await
            {
                Ok(done) => done?,
                Err(cancelled) if pass => {
                    go(*after, place).await?;
                    cancelled.resume().await
                }
                Err(cancelled) => {
                    drop(cancelled);
                    go(*after, place).await?;
                }
            },
            Program::Finally(body, cleanup) => return run_finally(*body, *cleanup, place).await,
            Program::Timeout(limit, body) => {
                let _ = timeout(ms(limit.into()), go(*body, place)).await;
            }
            Program::Critical(body) => critical(go(*body, place)).await?,
            Program::Group(body, children) => return run_group(*body, children, place).await,
            Program::Join(body) => {
                let inner = Place { within: None, ..place };
                create_task(go(*body, inner)).await.unwrap_or(Ok(()))?;
            }
            Program::Shield(body) => {
                let inner = Place { within: None, ..place };
                let _ = shield(create_task(go(*body, inner))).await;
            }
            Program::Select(first, second) => {
                let mut both = (go(*first, place.fragile()), go(*second, place.fragile()));
                poll_fn(|cx| match both.0.as_mut().poll(cx) {
                    Poll::Ready(done) => Poll::Ready(done),
                    Poll::Pending => both.1.as_mut().poll(cx),
                })
                .await?;
            }
            Program::Aside(first, second) => {
                let mut aside = go(*first, place.fragile());
                let early = poll_fn(|cx| Poll::Ready(aside.as_mut().poll(cx))).await;
                go(*second, place).await?;
                if let Poll::Ready(done) = early {
                    done?;
                }
            }
            Program::Both(first, second) => {
                let mut both = [Some(go(*first, place.clone())), Some(go(*second, place))];
                poll_fn(|cx| {
                    for one in &mut both {
                        if one.as_mut().is_some_and(|one| one.as_mut().poll(cx).is_ready()) {
                            *one = None;
                        }
                    }
                    if both.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            Program::Gather(parts) => {
                let parts = parts.into_iter().map(|part| go(part, place.clone()));
                gather(parts.collect::<Vec<_>>()).await;
            }
            Program::Race(parts) => {
                let parts = parts.into_iter().map(|part| go(part, place.clone()));
                race(parts.collect::<Vec<_>>()).await?;
            }
        }
        Ok(())
    })
}

async fn run_finally(body: Program, cleanup: Program, place: Place) -> Done {
    let world = Rc::clone(&place.world);
    let number = world.finals.borrow().len();
    let new = Final { parent: place.within, dropped_by_others: place.fragile, ..Final::default() };
    world.finals.borrow_mut().push(new);
    let inner = Place { within: Some(number), ..place.clone() };
    finally(go(body, inner), async |_: Outcome<'_, Done>| {
        {
            let finals = &mut world.finals.borrow_mut();
            finals[number].begun += 1;
            // Those inside have had their turn.
            let is_open = |inner: &Final| inner.begun != inner.ended && !inner.dropped_by_others;
            let open = finals.iter().any(|f| f.parent == Some(number) && is_open(f));
            assert!(!open, "an inner cleanup is still running");
        }
        let shielded = Place { within: None, cleanup: true, ..place.clone() };
        let _ = go(cleanup, shielded).await;
        world.finals.borrow_mut()[number].ended += 1;
    })
    .await
}

async fn run_group(body: Program, children: Vec<Program>, place: Place) -> Done {
    let world = Rc::clone(&place.world);
    let count = Rc::new(Cell::new(0));
    let result = task_group(async |group| {
        for child in children {
            let (world, count, place) = (Rc::clone(&world), Rc::clone(&count), place.clone());
            drop(group.create_task(async move {
                world.alive.set(world.alive.get() + 1);
                count.set(count.get() + 1);
                let _alive = Alive(world);
                let _count = CountDown(count);
                go(child, place).await
            }));
        }
        go(body, place.clone()).await
    })
    .await;
    assert_eq!(count.get(), 0, "a child outlives its group");
    result.map_err(|_| "a group failed")
}

struct CountDown(Rc<Cell<usize>>);

impl Drop for CountDown {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What is done to the program while it runs.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Cancel,
    CancelTwice,
    CancelAll,
    Uncancel,
}

fn blows() -> impl Strategy<Value = Vec<(u8, u8, Blow)>> {
    let blow = prop_oneof![
        4 => Just(Blow::Cancel),
        1 => Just(Blow::CancelTwice),
        1 => Just(Blow::CancelAll),
        1 => Just(Blow::Uncancel),
    ];
    prop::collection::vec((0..40u8, 0..4u8, blow), 0..4)
}

fn attack(program: Program, blows: Vec<(u8, u8, Blow)>) {
    let world = World_::default();
    let seen = Rc::clone(&world);
    run(async move {
        let place =
            Place { world: Rc::clone(&world), within: None, fragile: false, cleanup: false };
        let task = create_task(go(program, place));
        let main = current_task().unwrap();
        for (at, turns, blow) in blows {
            let (target, main) = (task.task_ref().clone(), main.clone());
            running_loop().call_later(ms(at.into()), move || {
                strike(turns, target, main, blow);
            });
        }
        let ended = timeout(ms(1_000_000), async {
            let _ = task.await;
            while all_tasks().len() > 1 {
                sleep(ms(1)).await;
            }
        });
        let ended = ended.await;
        assert!(ended.is_ok(), "it hangs: {:?}", all_tasks());
        assert!(now() < 100_000);
    });
    assert_eq!(seen.alive.get(), 0);
    for (number, each) in seen.finals.borrow().iter().enumerate() {
        assert_eq!(each.begun, each.ended.max(each.begun.min(1)), "cleanup {number}: {each:?}");
        if each.dropped_by_others {
            assert!(each.begun <= 1, "cleanup {number}: {each:?}");
        } else {
            assert_eq!((each.begun, each.ended), (1, 1), "cleanup {number}: {each:?}");
        }
    }
}

/// Strikes after some more turns.
fn strike(turns: u8, target: TaskRef, main: TaskRef, blow: Blow) {
    if turns > 0 {
        running_loop().call_soon(move || strike(turns - 1, target, main, blow));
        return;
    }
    match blow {
        Blow::Cancel => {
            target.cancel();
        }
        Blow::CancelTwice => {
            target.cancel();
            target.cancel();
        }
        Blow::CancelAll => {
            let own = |task: &&TaskRef| **task != main && !task.is_child();
            all_tasks().iter().filter(own).for_each(|task| {
                task.cancel();
            });
        }
        Blow::Uncancel => {
            target.cancel();
            target.uncancel();
        }
    }
}

/// The same programs in every run. `PROPTEST_CASES` asks for more of them, `PROPTEST_RNG_SEED` for
/// others.
fn config() -> ProptestConfig {
    /// Any number.
    const SEED: u64 = 20_261_120;
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(2000),
        max_shrink_iters: 20_000,
        rng_seed: seed.map_or(RngSeed::Fixed(SEED), RngSeed::Fixed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_programs_keep_the_promises(program in programs(), blows in blows()) {
        attack(program, blows);
    }
}

#[test]
fn found_1() {
    let program = Program::Race(vec![Program::Finally(
        Box::new(Program::Sleep(0)),
        Box::new(Program::Sleep(0)),
    )]);
    attack(program, vec![(0, 0, Blow::Cancel)]);
}

#[test]
fn found_2() {
    let sleep = || Box::new(Program::Sleep(0));
    let inner = Program::Finally(Box::new(Program::CancelSelf), sleep());
    let program = Program::Finally(Box::new(Program::Select(sleep(), Box::new(inner))), sleep());
    attack(program, vec![]);
}

// A group that waits for what is at work in its body is not one that nobody polls.
#[test]
fn found_3() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let body = Program::Sequence(vec![Program::Sleep(0), Program::CancelSelf]);
    let body = Program::Finally(Box::new(body), sleep(1));
    attack(Program::Group(Box::new(body), vec![Program::Sleep(0)]), vec![]);
}

#[test]
fn found_4() {
    let aside = Program::Critical(Box::new(Program::Sleep(18)));
    let after = Program::Sequence(vec![Program::Sleep(19), Program::CancelSelf, Program::Sleep(5)]);
    attack(Program::Aside(Box::new(aside), Box::new(after)), vec![]);
}

// A task that is awaited by something kept aside.
#[test]
fn found_5() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let group = Program::Group(Box::new(Program::Join(sleep(9))), vec![Program::Yield]);
    let program = Program::Aside(Box::new(group), sleep(15));
    attack(program, vec![(2, 0, Blow::CancelTwice)]);
}

// Shielded code kept aside, with a cleanup around it.
#[test]
fn found_6() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let aside = Program::Finally(
        Box::new(Program::CancelSelf),
        Box::new(Program::Critical(Box::new(Program::Yield))),
    );
    let program =
        Program::Aside(Box::new(aside), Box::new(Program::Catch(sleep(15), true, sleep(18))));
    attack(program, vec![(8, 2, Blow::Cancel), (0, 1, Blow::Cancel)]);
}

// Critical code that gave itself up is polled again, beside a cleanup.
#[test]
fn found_7() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let critical = Program::Critical(Box::new(Program::Gather(vec![Program::CancelSelf])));
    let finally = Program::Finally(sleep(5), Box::new(Program::Yield));
    attack(Program::Both(Box::new(critical), Box::new(finally)), vec![]);
}
