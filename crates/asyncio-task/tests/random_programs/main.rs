//! Random programs, with cancel requests and drops injected while they run.
//!
//! A program is a tree of scopes around waits, run in virtual time. Whatever is injected, these
//! rules hold:
//!
//! * every `finally` whose body was polled runs its cleanup exactly once, unless foreign code
//!   dropped it, inner ones before outer ones;
//! * no child outlives its group, and nothing is polled once it has ended;
//! * no request is lost: a task in which nobody has answered its requests ends;
//! * nothing hangs.
//!
//! `program` says what programs are made of, `go` runs them, `world` looks at what they do.

mod go;
mod program;
#[path = "../scopes/mod.rs"]
mod scopes;
mod world;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::machinery::TaskControl;
use asyncio_task::*;
use go::{Place, go};
use program::{Blow, Program, blows, programs};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use scopes::{ms, run};
use world::World;

/// Virtual milliseconds after which a program that has not ended hangs.
const END: u64 = 100_000;

/// Runs a program and then waits forever, so that only a request can end the task.
async fn body(program: Program, world: Rc<World>) {
    let mut program = pin!(go(program, Place::new(&world)));
    let _ = poll_fn(|cx| {
        world.begin_poll();
        program.as_mut().poll(cx)
    })
    .await;
    world.has_ended.set(true);
    pending().await
}

/// Waits for as long as any program can take, and checks that the task has ended if it was
/// cancelled.
async fn see_it_end(task: Task<()>, world: &World) {
    sleep(ms(END)).await;
    if !task.is_done() {
        assert!(world.has_ended.get(), "it hangs: {:?}", all_tasks());
        let answered = world.answered.get() || world.caught.get() > 0;
        assert!(task.cancelling() == 0 || answered, "a request was lost");
        task.cancel();
        yield_now().await;
        yield_now().await;
    }
    assert!(task.is_done(), "a wait outlives a request");
    assert_eq!(all_tasks().len(), 1, "it hangs: {:?}", all_tasks());
}

fn attack(program: Program, blows: Vec<(u8, u8, Blow)>) {
    let world = Rc::new(World::default());
    let seen = Rc::clone(&world);
    run(async move {
        let main = current_task().unwrap();
        let task = create_task(body(program, Rc::clone(&world)));
        for (at, turns, blow) in blows {
            let tasks = [main.clone(), task.task_ref().clone()];
            let world = Rc::clone(&world);
            running_loop().call_later(ms(at.into()), move || strike(turns, tasks, world, blow));
        }
        see_it_end(task, &world).await;
    });
    seen.check(true);
}

/// Injects a blow after `turns` turns.
fn strike(turns: u8, tasks: [TaskRef; 2], world: Rc<World>, blow: Blow) {
    if turns > 0 {
        running_loop().call_soon(move || strike(turns - 1, tasks, world, blow));
        return;
    }
    let [main, target] = tasks;
    world.add_request();
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
        Blow::CancelTogether => {
            let own = |task: &TaskRef| *task != main && !task.is_child();
            let tasks = all_tasks().into_iter().filter(own);
            machinery::cancel_all(tasks, &CancelReason::new("all"));
        }
        Blow::CancelOne(number) => {
            let victims = world.victims.borrow().clone();
            let number = usize::from(number).checked_rem(victims.len());
            if let Some(number) = number {
                victims[number].cancel();
            }
        }
        Blow::Uncancel => {
            target.cancel();
            target.uncancel();
        }
    }
}

/// What is injected at one poll of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The task is cancelled while it is polled.
    Running,
    /// The task is cancelled while it waits.
    Waiting,
    /// The future is dropped by its caller.
    Dropped,
}

/// Injects each of them at each poll of a program in turn.
fn attack_everywhere(program: &Program) {
    for at in [At::Running, At::Waiting, At::Dropped] {
        let mut polls = usize::from(at == At::Dropped)..;
        while polls.next().is_some_and(|poll| attack_at(program, at, poll)) {}
    }
}

/// Injects `at` at the poll of this number. Returns false if the program had fewer polls.
fn attack_at(program: &Program, at: At, poll: usize) -> bool {
    let world = Rc::new(World::default());
    let seen = Rc::clone(&world);
    let program = program.clone();
    let struck = run(async move {
        let struck = Rc::new(Cell::new(false));
        let task = create_task(struck_at(program, Rc::clone(&world), at, poll, Rc::clone(&struck)));
        if at == At::Waiting && poll == 0 {
            world.add_request();
            struck.set(task.cancel());
        }
        see_it_end(task, &world).await;
        struck.get()
    });
    seen.check(at != At::Dropped);
    struck
}

async fn struck_at(
    program: Program,
    world: Rc<World>,
    at: At,
    when: usize,
    struck: Rc<Cell<bool>>,
) {
    let mut future = Box::pin(body(program, Rc::clone(&world)));
    let mut polls = 0;
    poll_fn(|cx| {
        let task = current_task().unwrap();
        if at == At::Running && polls == when {
            struck.set(!world.has_ended.get());
            task.cancel();
        }
        let polled = future.as_mut().poll(cx);
        if at == At::Running && polls == when {
            world.add_request();
        }
        polls += 1;
        if polls == when && !world.has_ended.get() {
            struck.set(true);
            match at {
                At::Running => {}
                At::Waiting => {
                    let world = Rc::clone(&world);
                    running_loop().call_soon(move || {
                        world.add_request();
                        task.cancel();
                    });
                }
                At::Dropped => return Poll::Ready(()),
            }
        }
        polled
    })
    .await;
}

/// The same programs in every run. `PROPTEST_CASES` asks for more of them, `PROPTEST_RNG_SEED` for
/// others.
fn config(usual: u32) -> ProptestConfig {
    /// An arbitrary number.
    const SEED: u64 = 20_261_120;
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(usual),
        max_shrink_iters: 20_000,
        rng_seed: seed.map_or(RngSeed::Fixed(SEED), RngSeed::Fixed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn random_programs_keep_the_promises(program in programs(), blows in blows()) {
        attack(program, blows);
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn so_they_do_whatever_is_done_at_any_await(program in programs()) {
        attack_everywhere(&program);
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

// A group whose body waits does not count as unpolled.
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

// A branch that is not polled any more awaits a task.
#[test]
fn found_5() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let group = Program::Group(Box::new(Program::Join(sleep(9))), vec![Program::Yield]);
    let program = Program::Aside(Box::new(group), sleep(15));
    attack(program, vec![(2, 0, Blow::CancelTwice)]);
}

// A critical section inside a cleanup is not polled any more.
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

// A critical section that cancelled itself is polled again, beside a cleanup.
#[test]
fn found_7() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let critical = Program::Critical(Box::new(Program::Gather(vec![Program::CancelSelf])));
    let finally = Program::Finally(sleep(5), Box::new(Program::Yield));
    attack(Program::Both(Box::new(critical), Box::new(finally)), vec![]);
}

// A scope that resumes a request keeps its task awake, even beside a scope that is not polled.
#[test]
fn found_8() {
    let sleep = || Box::new(Program::Sleep(0));
    let body = Program::Catch(sleep(), true, Box::new(Program::Yield));
    let program = Program::Aside(
        Box::new(Program::Finally(sleep(), sleep())),
        Box::new(Program::Group(Box::new(body), vec![Program::Sleep(0)])),
    );
    attack_everywhere(&program);
}

// A `FuturesUnordered` that is not polled, and has woken its task before, does not wake it again.
#[test]
fn found_9() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let join = Program::Join(Box::new(Program::Catch(sleep(0), false, sleep(7))));
    let program = Program::Aside(
        Box::new(Program::Unordered(1, vec![Program::Sleep(0), join])),
        Box::new(Program::Finally(Box::new(Program::Shield(sleep(0))), sleep(0))),
    );
    attack(program, vec![(0, 1, Blow::Cancel)]);
}

// A body's earlier answer does not answer a later request from outside.
#[test]
fn found_10() {
    let sleep = |n| Box::new(Program::Sleep(n));
    let body = Program::Aside(
        Box::new(Program::Catch(sleep(0), false, sleep(0))),
        Box::new(Program::Catch(sleep(0), true, sleep(1))),
    );
    attack_everywhere(&Program::Group(Box::new(body), vec![Program::Fail]));
}
