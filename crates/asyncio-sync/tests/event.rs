//! Event, row by row.

mod common;

use std::pin::pin;
use std::rc::Rc;

use asyncio_sync::Event;
use common::{Id, Log, Turns, poll};

fn waiter(turns: &Turns, event: &Rc<Event>, log: &Log<i32>, name: i32) -> Id {
    let (event, log) = (event.clone(), log.clone());
    turns.spawn(async move {
        event.wait().await;
        log.push(name);
    })
}

#[test]
fn set_event_does_not_suspend() {
    // Y-013
    let event = Event::new();
    event.set();
    assert!(poll(pin!(event.wait())).is_ready());
}

#[test]
fn a_fresh_task_is_ahead_of_the_older_waiters() {
    // Y-015
    let (turns, event, log) = (Turns::new(), Rc::new(Event::new()), Log::new());
    waiter(&turns, &event, &log, 1);
    waiter(&turns, &event, &log, 2);
    turns.run();
    waiter(&turns, &event, &log, 3);
    event.set();
    turns.run();
    assert_eq!(log.take(), [3, 1, 2]);
}

#[test]
fn set_then_clear_frees_those_who_waited() {
    // Y-016
    let (turns, event, log) = (Turns::new(), Rc::new(Event::new()), Log::new());
    waiter(&turns, &event, &log, 1);
    waiter(&turns, &event, &log, 2);
    turns.run();
    event.set();
    event.clear();
    waiter(&turns, &event, &log, 3);
    turns.run();
    assert_eq!(log.take(), [1, 2]);
    assert_eq!(turns.unfinished(), 1);
    event.set();
    turns.run();
    assert_eq!(log.take(), [3]);
}

#[test]
fn cancelled_waiter_leaves_the_others_alone() {
    // Y-017
    let (turns, event, log) = (Turns::new(), Rc::new(Event::new()), Log::new());
    let first = waiter(&turns, &event, &log, 1);
    waiter(&turns, &event, &log, 2);
    turns.run();
    turns.cancel(first);
    assert_eq!(format!("{event:?}"), "Event { set: false, waiters: 1 }");
    event.set();
    turns.run();
    assert_eq!(log.take(), [2]);
}

#[test]
fn a_waiter_cancelled_after_it_was_freed_frees_nobody_else() {
    let (turns, event, log) = (Turns::new(), Rc::new(Event::new()), Log::new());
    let first = waiter(&turns, &event, &log, 1);
    turns.run();
    event.set();
    event.clear();
    waiter(&turns, &event, &log, 2);
    turns.turn();
    turns.cancel(first);
    turns.run();
    assert_eq!(turns.unfinished(), 1, "a wait that begins after `clear` waits");
}

#[test]
fn setting_twice_is_setting_once() {
    let event = Event::new();
    event.set();
    event.set();
    event.clear();
    assert!(poll(pin!(event.wait())).is_pending());
}

#[test]
fn an_event_is_small() {
    assert!(size_of::<Event>() <= 64);
}
