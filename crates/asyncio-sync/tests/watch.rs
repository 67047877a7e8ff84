//! Watch channels: the latest value, and which receivers are notified.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use asyncio_sync::watch;
use common::{Log, Turns, poll, yield_now};
use futures::executor::block_on;
use proptest::prelude::*;

#[test]
fn receivers_see_the_latest_value_and_may_miss_others() {
    let (turns, log) = (Turns::new(), Log::new());
    let (sender, mut receiver) = watch::channel(0);
    let seen = log.clone();
    turns.spawn(async move {
        while receiver.changed().await.is_ok() {
            seen.push(*receiver.borrow());
        }
        seen.push(-1);
    });
    turns.run();
    assert_eq!(log.take(), [], "the first value counts as seen");
    sender.send(1);
    sender.send(2);
    turns.run();
    assert_eq!(log.take(), [2]);
    sender.send(3);
    drop(sender);
    turns.run();
    assert_eq!(log.take(), [3, -1]);
}

#[test]
fn a_value_sent_before_the_wait_is_not_missed() {
    let (sender, mut receiver) = watch::channel('a');
    sender.send('b');
    let mut late = sender.subscribe();
    assert_eq!(block_on(receiver.changed()), Ok(()));
    assert!(poll(Box::pin(receiver.changed()).as_mut()).is_pending());
    assert!(
        poll(Box::pin(late.changed()).as_mut()).is_pending(),
        "the receiver has seen the present value"
    );
}

#[test]
fn a_dropped_wait_has_seen_nothing() {
    let (sender, mut receiver) = watch::channel(0);
    let mut waiting = Box::pin(receiver.changed());
    assert!(poll(waiting.as_mut()).is_pending());
    sender.send(1);
    drop(waiting);
    assert!(receiver.has_changed());
    assert_eq!(*receiver.borrow_and_update(), 1);
    assert!(!receiver.has_changed());
}

#[test]
fn changes_in_place_tell_only_if_they_say_so() {
    let (sender, receiver) = watch::channel(vec![1]);
    assert!(!sender.send_if_modified(|list| {
        list.push(2);
        false
    }));
    assert!(!receiver.has_changed());
    sender.send_modify(|list| list.push(3));
    assert!(receiver.has_changed());
    assert_eq!(*receiver.borrow(), [1, 2, 3]);
    assert_eq!(sender.send_replace(vec![]), [1, 2, 3]);
}

#[test]
fn waiting_for_a_condition_looks_at_the_value_that_is_there() {
    let (sender, mut receiver) = watch::channel(5);
    assert_eq!(*block_on(receiver.wait_for(|n| *n == 5)).unwrap(), 5);
    drop(sender);
    assert!(block_on(receiver.wait_for(|n| *n == 6)).is_err());
    assert!(receiver.is_closed());
}

#[test]
fn a_sender_waits_until_nobody_listens() {
    let turns = Turns::new();
    let (sender, receiver) = watch::channel(());
    let other = receiver.clone();
    let task = turns.spawn(async move { sender.closed().await });
    turns.run();
    drop(receiver);
    turns.run();
    assert!(!turns.is_done(task));
    drop(other);
    turns.run();
    assert!(turns.is_done(task));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Turn,
    /// Cancels the n-th task.
    Cancel(usize),
    /// A task that follows the value until it is cancelled.
    Follow,
}

proptest! {
    /// Whenever no task is ready, each receiver that was not cancelled has seen the latest value.
    #[test]
    fn nobody_misses_the_last_value(steps in prop::collection::vec(prop_oneof![
        3 => Just(Step::Send),
        2 => Just(Step::Turn),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => Just(Step::Follow),
    ], 0..60)) {
        let turns = Turns::new();
        let (sender, receiver) = watch::channel(0_u32);
        let mut tasks = vec![];
        let mut sent = 0;
        for step in steps {
            match step {
                Step::Send => {
                    sent += 1;
                    sender.send(sent);
                }
                Step::Turn => drop(turns.turn()),
                Step::Cancel(n) if !tasks.is_empty() => {
                    let (task, _) = tasks.swap_remove(n % tasks.len());
                    turns.cancel(task);
                }
                Step::Cancel(_) => {}
                Step::Follow => {
                    let (mut receiver, seen) = (receiver.clone(), Rc::new(Cell::new(0)));
                    let seeing = seen.clone();
                    let task = turns.spawn(async move {
                        while receiver.changed().await.is_ok() {
                            assert!(*receiver.borrow() > seeing.get());
                            seeing.set(*receiver.borrow());
                            yield_now().await;
                        }
                    });
                    tasks.push((task, seen));
                }
            }
        }
        turns.run();
        for (_, seen) in &tasks {
            prop_assert_eq!(seen.get(), sent);
        }
        drop(sender);
        turns.run();
        prop_assert_eq!(turns.unfinished(), 0);
    }
}
