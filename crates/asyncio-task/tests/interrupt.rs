//! Ctrl-C. Without the test harness, since signals are handled on the main thread only.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use asyncio_loop::{Signal, is_default_signal};
use asyncio_task::*;
use rustix::process::{getpid, kill_process};

fn ctrl_c() {
    kill_process(getpid(), rustix::process::Signal::INT).unwrap();
}

/// Presses the keys once the main task waits, `times` times.
fn press(times: u32) {
    for _ in 0..times {
        running_loop().call_later(Duration::from_millis(1), ctrl_c);
        running_loop().call_later(Duration::from_millis(2), || ());
    }
}

fn main() {
    the_first_one_cancels_the_main_task();
    it_works_while_the_main_task_only_yields();
    a_caught_one_is_no_interrupt();
    somebody_elses_cancel_counts();
    the_second_one_ends_the_run_at_once();
    another_handler_is_left_alone();
}

//
fn the_first_one_cancels_the_main_task() {
    let (cleaned, mut runner) = (Cell::new(false), Runner::new());
    let result = runner.run(async {
        assert!(!is_default_signal(Signal::INT));
        press(1);
        finally(pending::<()>(), async |_| {
            sleep(Duration::from_millis(1)).await;
            cleaned.set(true);
        })
        .await;
    });
    assert_eq!(result, Err(RunError::Interrupted));
    assert!(cleaned.get());
    assert!(is_default_signal(Signal::INT));
    assert_eq!(runner.run(async { 1 }), Ok(1));
}

//
fn it_works_while_the_main_task_only_yields() {
    let result = Runner::new().run(async {
        press(1);
        loop {
            yield_now().await;
        }
    });
    assert_eq!(result.unwrap_err(), RunError::Interrupted);
}

//
fn a_caught_one_is_no_interrupt() {
    let result = Runner::new().run(async {
        press(1);
        let caught = catch_cancel(pending::<()>()).await.unwrap_err();
        caught.message().map(str::to_owned)
    });
    assert_eq!(result.unwrap().as_deref(), Some("interrupted"));
}

//
fn somebody_elses_cancel_counts() {
    let result = Runner::new().run(async {
        let main = current_task().unwrap();
        press(1);
        finally(pending::<()>(), async |_| {
            main.cancel();
        })
        .await;
    });
    assert_eq!(result, Err(RunError::Cancelled));
}

fn the_second_one_ends_the_run_at_once() {
    let result = Runner::new().run(async {
        press(1);
        finally(pending::<()>(), async |_| {
            press(1);
            pending().await
        })
        .await;
    });
    assert_eq!(result, Err(RunError::Interrupted));
}

//
fn another_handler_is_left_alone() {
    let mut runner = Runner::new();
    let seen = std::rc::Rc::new(Cell::new(false));
    let inside = seen.clone();
    let event_loop = runner.event_loop().unwrap();
    event_loop.add_signal_handler(Signal::INT, move || inside.set(true)).unwrap();
    let result = runner.run(async {
        press(1);
        sleep(Duration::from_millis(20)).await;
    });
    assert_eq!((result, seen.get()), (Ok(()), true));
}
