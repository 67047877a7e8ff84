//! Virtual clocks and the ends of the scale.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{LoopTime, TaskOptions, running_loop};

use crate::support::{event_loop, run_turns, turn};

// A task that only yields starves neither timers nor other threads of a virtual loop.
#[test]
fn a_busy_virtual_loop_still_sees_timers_and_other_threads() {
    let event_loop = event_loop();
    let done = Rc::new(Cell::new(0));
    event_loop.call_later(Duration::from_secs(1), {
        let done = Rc::clone(&done);
        move || done.set(done.get() + 1)
    });
    let door = event_loop.handle();
    std::thread::spawn(move || door.call_soon_threadsafe(|| ()).unwrap()).join().unwrap();
    event_loop
        .run_until_complete(async {
            for _ in 0..100_000 {
                if done.get() == 1 {
                    return;
                }
                turn().await;
            }
            panic!("the clock stands still");
        })
        .unwrap();
}

// A delay too long to add never ends, on a clock that jumps as well.
#[test]
fn a_virtual_clock_does_not_jump_to_the_end_of_time() {
    let event_loop = event_loop();
    let timer = event_loop.call_later(Duration::MAX, || unreachable!());
    assert_eq!(timer.when(), LoopTime::MAX);
    event_loop.call_later(Duration::from_secs(1), {
        let this = event_loop.loop_ref();
        move || drop(this)
    });
    let door = event_loop.handle();
    let thread = std::thread::spawn(move || {
        let stop = || running_loop().stop();
        door.call_soon_threadsafe(move || {
            drop(running_loop().call_later(Duration::from_secs(2), stop))
        })
    });
    event_loop.run_forever().unwrap();
    thread.join().unwrap().unwrap();
    assert!(event_loop.time() < LoopTime::from_nanos(4_000_000_000));
    timer.cancel();
    assert_eq!(event_loop.timer_count(), 0);
}

// L-008, L-009, L-010, L-013
#[test]
fn durations_from_nothing_to_forever_keep_their_order() {
    let event_loop = event_loop();
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    let year = Duration::from_secs(365 * 24 * 3600);
    for (index, delay) in
        [year * 500, year, Duration::from_nanos(1), Duration::ZERO].into_iter().enumerate()
    {
        let order = Rc::clone(&order);
        event_loop.call_later(delay, move || {
            order.borrow_mut().push((index, running_loop().time().as_nanos()));
        });
    }
    event_loop.call_at(LoopTime::from_nanos(0), {
        let order = Rc::clone(&order);
        move || order.borrow_mut().push((9, 0))
    });
    assert!(order.borrow().is_empty());
    let last = event_loop.time() + year * 500;
    event_loop.call_at(last, {
        let this = event_loop.loop_ref();
        move || this.stop()
    });
    event_loop.run_forever().unwrap();
    let year = u64::try_from(year.as_nanos()).unwrap();
    assert_eq!(*order.borrow(), [(3, 0), (9, 0), (2, 1), (1, year), (0, year * 500)]);
}

// A stop that came in the turn in which the future ended does not end the next run.
#[test]
fn a_stop_is_used_up_by_the_run_it_came_in() {
    let event_loop = event_loop();
    for eager in [false, true] {
        let options = TaskOptions::new().eager_start(eager);
        event_loop.run_task(async { running_loop().stop() }, options).unwrap();
        event_loop.run_until_complete(async { turn().await }).unwrap();
    }
    run_turns(&event_loop, 1);
}
