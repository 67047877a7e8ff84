//! Ctrl-C. Without the test harness, since signals are handled on the main thread only.
#![expect(clippy::print_stdout, reason = "what a child of this program prints is looked at")]

use std::cell::Cell;
use std::env;
use std::future::pending;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use asyncio_loop::machinery::is_default_signal;
use asyncio_loop::{EventLoop, Signal};
use asyncio_task::*;
use rustix::process::{Pid, Signal as KillSignal, getpid, kill_process};

fn ctrl_c() {
    kill_process(getpid(), KillSignal::INT).unwrap();
}

/// Sends Ctrl-C `times` times, once the main task waits.
fn press(times: u32) {
    for _ in 0..times {
        running_loop().call_later(Duration::from_millis(1), ctrl_c);
        running_loop().call_later(Duration::from_millis(2), || ());
    }
}

/// The argument of a child, which is this program again.
const CHILD: &str = "child";

/// A shell makes its background jobs ignore Ctrl-C (`cargo test &` in a script), and a `Runner`
/// leaves an ignored signal alone. So this program starts itself again with the default
/// disposition.
fn do_not_ignore_ctrl_c() {
    if !is_default_signal(Signal::INT) {
        let mut anew = Command::new("env");
        anew.arg("--default-signal=INT").arg(env::current_exe().unwrap()).args(env::args().skip(1));
        panic!("env: {}", anew.exec());
    }
}

fn main() {
    do_not_ignore_ctrl_c();
    match env::args().collect::<Vec<_>>().as_slice() {
        [_, child, what] if child == CHILD && what.starts_with("blocked") => return block(what),
        [_, child, what] if child == CHILD => return run_child(what),
        _ => {}
    }
    run_ends_the_process_by_the_signal();
    run_gives_the_value_of_a_main_task_that_caught_it();
    run_panics_if_somebody_handles_the_signal_by_then();
    the_first_one_cancels_the_main_task();
    it_works_while_the_main_task_only_yields();
    a_caught_one_is_no_interrupt();
    a_program_that_listens_for_it_is_not_cancelled();
    somebody_elses_cancel_counts();
    the_second_one_ends_the_run_at_once();
    another_handler_is_left_alone();
    a_handler_set_during_a_run_outlives_it();
    run_forever_by_hand_is_interrupted();
    run_until_complete_by_hand_is_interrupted();
    a_run_by_hand_leaves_a_handler_alone();
    the_next_one_ends_a_program_that_blocks_its_thread();
}

fn run_child(what: &str) {
    struct OfCaller;
    impl Drop for OfCaller {
        fn drop(&mut self) {
            println!("the caller goes on");
        }
    }
    let _caller = OfCaller;
    let value = run(async {
        drop(create_task(finally(pending::<()>(), async |_| print!("left over, "))));
        press(1);
        if what == "caught" {
            drop(catch_cancel(pending::<()>()).await);
        } else {
            finally(pending::<()>(), async |_| {
                sleep(Duration::from_millis(1)).await;
                print!("cleaned, ");
                if what == "handled" {
                    handle_it_elsewhere();
                }
            })
            .await;
        }
        "value, "
    });
    print!("{value}");
}

/// Handles the signal in the loop of another thread, which outlives the main thread's loop.
fn handle_it_elsewhere() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let event_loop = asyncio_loop::EventLoop::new().unwrap();
        event_loop.add_signal_handler(Signal::INT, || ()).unwrap();
        tell.send(()).unwrap();
        event_loop.run_forever().unwrap();
    });
    told.recv().unwrap();
}

fn child(what: &str) -> (Output, String) {
    let program = env::current_exe().unwrap();
    let output = Command::new(program).args([CHILD, what]).output().unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    (output, printed)
}

// Python ends the same way when `KeyboardInterrupt` is not caught.
fn run_ends_the_process_by_the_signal() {
    let (output, printed) = child("plain");
    assert_eq!(output.status.signal(), Some(Signal::INT.as_raw()));
    assert_eq!(printed, "cleaned, left over, ", "the printed text is not lost");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

//
fn run_gives_the_value_of_a_main_task_that_caught_it() {
    let (output, printed) = child("caught");
    assert!(output.status.success());
    assert_eq!(printed, "left over, value, the caller goes on\n");
}

fn run_panics_if_somebody_handles_the_signal_by_then() {
    let (output, printed) = child("handled");
    assert_eq!(output.status.code(), Some(101));
    assert_eq!(printed, "cleaned, left over, the caller goes on\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
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

fn a_program_that_listens_for_it_is_not_cancelled() {
    let result = Runner::new().run(async {
        press(1);
        asyncio_loop::ctrl_c().await.unwrap();
        // The program takes its time to end.
        sleep(Duration::from_millis(5)).await;
        press(1);
        catch_cancel(pending::<()>()).await.unwrap_err().message().map(str::to_owned)
    });
    assert_eq!(
        result.unwrap().as_deref(),
        Some("interrupted"),
        "the program does not listen any more"
    );
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
    let event_loop = runner.event_loop().unwrap();
    let seen = event_loop.create_future();
    let inside = seen.clone();
    let handler = move || inside.set_result("seen").unwrap();
    event_loop.add_signal_handler(Signal::INT, handler).unwrap();
    let result = runner.run(async {
        press(1);
        seen.await.unwrap()
    });
    assert_eq!(result, Ok("seen"));
}

fn a_handler_set_during_a_run_outlives_it() {
    let mut runner = Runner::new();
    let seen = runner.event_loop().unwrap().create_future();
    let inside = seen.clone();
    let first = runner.run(async {
        let handler = move || inside.set_result("seen").unwrap();
        running_loop().add_signal_handler(Signal::INT, handler).unwrap();
    });
    let second = runner.run(async {
        press(1);
        seen.await.unwrap()
    });
    assert_eq!((first, second), (Ok(()), Ok("seen")));
    drop(runner);
    assert!(is_default_signal(Signal::INT), "the closing loop drops the task");
}

// Case `run_forever_ctrl_c`
fn run_forever_by_hand_is_interrupted() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.call_later(Duration::from_millis(1), ctrl_c);
    assert_eq!(event_loop.run_forever(), Err(RunError::Interrupted));
    assert!(is_default_signal(Signal::INT));
    assert_eq!(event_loop.run_until_complete(async { "cleaned up" }), Ok("cleaned up"));
    event_loop.call_later(Duration::from_millis(1), ctrl_c);
    assert_eq!(event_loop.run_forever(), Err(RunError::Interrupted), "once more");
    event_loop.stop();
    assert_eq!(event_loop.run_forever(), Ok(()));
}

fn run_until_complete_by_hand_is_interrupted() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.call_later(Duration::from_millis(1), ctrl_c);
    let other = event_loop.create_task(pending::<()>()).unwrap();
    let result = event_loop.run_until_complete(pending::<()>());
    assert_eq!(result, Err(RunError::Interrupted));
    assert!(!other.is_done(), "the other tasks go on in the next run");
    assert!(is_default_signal(Signal::INT));
    other.cancel();
    assert!(event_loop.run_until_complete(other).unwrap().unwrap_err().is_cancelled());
}

fn a_run_by_hand_leaves_a_handler_alone() {
    let event_loop = EventLoop::new().unwrap();
    let this = event_loop.loop_ref();
    event_loop.add_signal_handler(Signal::INT, move || this.stop()).unwrap();
    event_loop.call_later(Duration::from_millis(1), ctrl_c);
    assert_eq!(event_loop.run_forever(), Ok(()));
    assert!(event_loop.remove_signal_handler(Signal::INT).unwrap());
    event_loop.call_later(Duration::from_millis(1), ctrl_c);
    let heard = event_loop.run_until_complete(async { asyncio_loop::ctrl_c().await.is_ok() });
    assert_eq!(heard, Ok(true), "a listening task gets the signal, and no other");
}

/// A program whose only task blocks its thread forever.
fn block(what: &str) {
    let task = async {
        println!("blocked");
        loop {
            std::thread::park();
        }
    };
    if what == "blocked in run" {
        run(task);
    } else {
        let _ = EventLoop::new().unwrap().run_until_complete(task);
    }
    unreachable!("the task never ends");
}

//
fn the_next_one_ends_a_program_that_blocks_its_thread() {
    for what in ["blocked in run", "blocked by hand"] {
        let program = env::current_exe().unwrap();
        let mut blocked = Command::new(program);
        let mut blocked = blocked.args([CHILD, what]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(blocked.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "blocked\n");
        assert_eq!(end_by_ctrl_c(&mut blocked), Signal::INT.as_raw());
    }
}

/// Presses Ctrl-C until the child has ended, and returns the signal that has ended it. A child that
/// ignores all of them is killed after five minutes.
fn end_by_ctrl_c(child: &mut Child) -> i32 {
    let begin = Instant::now();
    loop {
        let is_late = begin.elapsed() > Duration::from_secs(300);
        let signal = if is_late { KillSignal::KILL } else { KillSignal::INT };
        kill_process(Pid::from_child(child), signal).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        if let Some(status) = child.try_wait().unwrap() {
            return status.signal().expect("its task never ends");
        }
    }
}
