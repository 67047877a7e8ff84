//! Real signals. Each test uses signals of its own, so that the tests can run in parallel.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver};
use std::task::Poll;
use std::thread::{self, JoinHandle};

use asyncio_loop::{
    EventLoop, LoopHandle, LoopRef, Signal, Signals, TaskOptions, context_var, ctrl_c,
    running_loop, signal,
};
use rustix::process::{Signal as Raw, getpid, kill_process};

/// Sends a signal to this process. The system may deliver it later.
fn send(signal: impl Into<Signal>) {
    let signal = Raw::from_named_raw(signal.into().as_raw()).expect("a signal with a name");
    kill_process(getpid(), signal).unwrap();
}

/// Like [`send`], for signals without a name.
#[cfg(target_os = "linux")]
fn send_by_shell(signal: Signal) {
    let line = format!("kill -{} {}", signal.as_raw(), std::process::id());
    assert!(std::process::Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success());
}

/// A loop on another thread that registered for a signal after the tested loops, and so gets it
/// after them.
struct Witness {
    signal: Signal,
    receiver: Receiver<()>,
    event_loop: LoopHandle,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    fn of(signal: impl Into<Signal>) -> Self {
        let signal = signal.into();
        let ((sender, receiver), (give, given)) = (mpsc::channel(), mpsc::channel());
        let thread = thread::spawn(move || {
            let event_loop = EventLoop::new().unwrap();
            give.send(event_loop.handle()).unwrap();
            let stopped = event_loop.run_until_complete(async move {
                let mut signals = Signals::new([signal]).unwrap();
                while sender.send(()).is_ok() {
                    signals.next().await;
                }
            });
            assert!(stopped.is_err());
        });
        receiver.recv().unwrap();
        Witness { signal, receiver, event_loop: given.recv().unwrap(), thread: Some(thread) }
    }

    /// Sends the signal, and returns when every loop has been notified.
    fn send_and_see(&self) {
        send(self.signal);
        self.receiver.recv().unwrap();
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.event_loop.call_soon_threadsafe(|| running_loop().stop()).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    EventLoop::new().unwrap().run_until_complete(future).unwrap()
}

/// Whether the process has the signal in this mask of /proc/self/status.
fn is_in_mask(mask: &str, signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(mask)).unwrap();
    let bits = u64::from_str_radix(line.trim(), 16).unwrap();
    bits >> (signal.as_raw() - 1) & 1 == 1
}

fn is_caught(signal: Signal) -> bool {
    is_in_mask("SigCgt:", signal)
}

/// A handler that counts, and wakes the task that waits for a count.
#[derive(Clone, Default)]
struct Counter(Rc<(Cell<u32>, RefCell<Option<std::task::Waker>>)>);

impl Counter {
    fn handler(&self) -> impl FnMut() + 'static {
        let this = self.clone();
        move || {
            this.0.0.set(this.0.0.get() + 1);
            if let Some(waker) = this.0.1.take() {
                waker.wake();
            }
        }
    }

    fn count(&self) -> u32 {
        self.0.0.get()
    }

    async fn reaches(&self, count: u32) {
        poll_fn(|cx| {
            self.0.1.replace(Some(cx.waker().clone()));
            if self.count() >= count { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

async fn turns(number: u32) {
    let mut left = number;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

// N-002
#[test]
fn a_signal_wakes_a_loop_that_waits_and_its_handler_runs_on_it() {
    let (about_to_wait, waits) = mpsc::channel();
    let sender = thread::spawn(move || {
        waits.recv().unwrap();
        send(Signal::USR1);
    });
    let here = thread::current().id();
    run(async {
        let counter = Counter::default();
        let mut count = counter.handler();
        running_loop().add_signal_handler(Signal::USR1, move || {
            assert_eq!(thread::current().id(), here);
            count();
        })?;
        about_to_wait.send(()).unwrap();
        // There is no timer, so only the signal can end this wait.
        counter.reaches(1).await;
        io::Result::Ok(())
    })
    .unwrap();
    sender.join().unwrap();
}

// N-004
#[test]
fn a_second_handler_replaces_the_first() {
    run(async {
        let (first, second) = (Counter::default(), Counter::default());
        running_loop().add_signal_handler(Signal::USR2, first.handler())?;
        running_loop().add_signal_handler(Signal::USR2, second.handler())?;
        send(Signal::USR2);
        second.reaches(1).await;
        assert_eq!(first.count(), 0);
        io::Result::Ok(())
    })
    .unwrap();
}

// N-005
#[test]
fn numbers_that_are_no_signals_are_errors() {
    let event_loop = EventLoop::new().unwrap();
    for number in [0, -1, i32::MIN, 65, i32::MAX] {
        let error = event_loop.add_signal_handler(number, || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
        assert!(event_loop.remove_signal_handler(number).is_err(), "{number}");
    }
}

// N-006
#[test]
fn kill_stop_and_faults_cannot_be_handled() {
    let event_loop = EventLoop::new().unwrap();
    for signal in [Signal::KILL, Signal::STOP, Signal::from(libc::SIGSEGV)] {
        assert!(event_loop.add_signal_handler(signal, || ()).is_err(), "{signal}");
        assert!(!event_loop.remove_signal_handler(signal).unwrap(), "{signal}");
    }
}

// N-007
#[test]
fn loops_on_any_thread_may_handle_the_same_signal() {
    let (sender, receiver) = mpsc::channel();
    let loops: Vec<_> = (0..2)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || {
                run(async {
                    let counter = Counter::default();
                    running_loop().add_signal_handler(Signal::WINCH, counter.handler())?;
                    sender.send(()).unwrap();
                    counter.reaches(1).await;
                    io::Result::Ok(())
                })
            })
        })
        .collect();
    for _ in &loops {
        receiver.recv().unwrap();
    }
    send(Signal::WINCH);
    for thread in loops {
        thread.join().unwrap().unwrap();
    }
    assert!(!is_caught(Signal::WINCH));
}

// N-008
#[test]
fn a_failed_registration_leaves_nothing_behind() {
    let event_loop = EventLoop::new().unwrap();
    // The C library reserves a few numbers between the named and the real-time signals, and refuses
    // handlers for them.
    let kept = Signal::from(32);
    let error = event_loop.add_signal_handler(kept, || ()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert!(!event_loop.remove_signal_handler(kept).unwrap());
    event_loop.add_signal_handler(Signal::TSTP, || ()).unwrap();
    assert!(is_caught(Signal::TSTP));
    assert!(event_loop.remove_signal_handler(Signal::TSTP).unwrap());
}

// N-009, N-010
#[test]
fn removing_restores_the_disposition_and_leaves_other_signals_alone() {
    let event_loop = EventLoop::new().unwrap();
    assert!(is_in_mask("SigIgn:", Signal::PIPE), "Rust programs ignore SIGPIPE");
    event_loop.add_signal_handler(Signal::PIPE, || ()).unwrap();
    event_loop.add_signal_handler(Signal::QUIT, || ()).unwrap();
    assert!(is_caught(Signal::PIPE) && is_caught(Signal::QUIT));

    assert!(event_loop.remove_signal_handler(Signal::PIPE).unwrap());
    assert!(is_in_mask("SigIgn:", Signal::PIPE) && is_caught(Signal::QUIT));
    assert!(!event_loop.remove_signal_handler(Signal::PIPE).unwrap());

    assert!(event_loop.remove_signal_handler(Signal::QUIT).unwrap());
    assert!(!is_caught(Signal::QUIT));
}

// N-010
#[test]
fn a_loop_can_stop_and_start_again_to_want_signals() {
    run(async {
        for _ in 0..3 {
            let counter = Counter::default();
            running_loop().add_signal_handler(Signal::CONT, counter.handler())?;
            send(Signal::CONT);
            counter.reaches(1).await;
            assert!(running_loop().remove_signal_handler(Signal::CONT)?);
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn closing_the_loop_restores_what_it_handled() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.add_signal_handler(Signal::ALRM, || ()).unwrap();
    assert!(is_caught(Signal::ALRM));
    event_loop.close().unwrap();
    assert!(!is_caught(Signal::ALRM));
    assert!(event_loop.add_signal_handler(Signal::ALRM, || ()).is_err());
    assert!(!is_caught(Signal::ALRM));
}

// N-012
#[test]
fn a_signal_whose_handler_was_removed_before_the_turn_is_ignored() {
    // SIGURG is ignored by default, so it does no harm after the handler has been removed.
    const URGENT: i32 = libc::SIGURG;
    run(async {
        let counter = Counter::default();
        running_loop().add_signal_handler(URGENT, counter.handler())?;
        Witness::of(URGENT).send_and_see();
        assert!(running_loop().remove_signal_handler(URGENT)?);
        turns(20).await;
        assert_eq!(counter.count(), 0);
        io::Result::Ok(())
    })
    .unwrap();
}

// N-013
#[test]
fn a_handler_that_panics_is_reported_and_stays() {
    let reports = Rc::new(Cell::new(0));
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_exception_handler(Some(Rc::new({
        let reports = Rc::clone(&reports);
        move |_: &LoopRef, context: &asyncio_loop::ErrorContext| {
            assert_eq!(context.panic(), Some("handler"));
            reports.set(reports.get() + 1);
        }
    })));
    event_loop
        .run_until_complete(async {
            let counter = Counter::default();
            let mut count = counter.handler();
            running_loop().add_signal_handler(libc::SIGIO, move || {
                count();
                panic!("handler");
            })?;
            for number in 1..=2 {
                send(libc::SIGIO);
                counter.reaches(number).await;
            }
            io::Result::Ok(())
        })
        .unwrap()
        .unwrap();
    assert_eq!(reports.get(), 2);
}

#[test]
fn a_handler_runs_in_the_context_of_its_registration() {
    context_var! { static PLACE: &'static str = "nowhere"; }
    let seen = run(async {
        let seen = Rc::new(Cell::new(""));
        let counter = Counter::default();
        let mut count = counter.handler();
        PLACE.set("registration");
        running_loop().add_signal_handler(libc::SIGVTALRM, {
            let seen = Rc::clone(&seen);
            move || {
                seen.set(PLACE.get());
                count();
            }
        })?;
        PLACE.set("later");
        send(libc::SIGVTALRM);
        counter.reaches(1).await;
        io::Result::Ok(seen.get())
    });
    assert_eq!(seen.unwrap(), "registration");
}

#[test]
fn a_task_can_wait_for_a_signal() {
    run(async {
        running_loop().call_soon(|| send(Signal::TERM));
        signal(Signal::TERM).await
    })
    .unwrap();
    assert!(!is_caught(Signal::TERM));
}

#[test]
fn ctrl_c_is_sigint() {
    run(async {
        running_loop().call_soon(|| send(Signal::INT));
        ctrl_c().await
    })
    .unwrap();
}

#[test]
fn signals_lie_until_they_are_taken_and_repeats_count_as_one() {
    run(async {
        let mut signals = Signals::new([libc::SIGXCPU, libc::SIGXFSZ, libc::SIGXCPU])?;
        assert_eq!(signals.next_nowait(), None);
        send(libc::SIGXCPU);
        assert_eq!(signals.next().await.as_raw(), libc::SIGXCPU);
        let witness = Witness::of(libc::SIGXFSZ);
        witness.send_and_see();
        witness.send_and_see();
        drop(witness);
        assert_eq!(signals.next().await.as_raw(), libc::SIGXFSZ);
        turns(20).await;
        assert!(signals.next_nowait().is_none());
        drop(signals);
        assert!(!is_caught(libc::SIGXCPU.into()) && !is_caught(libc::SIGXFSZ.into()));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn listeners_and_handlers_of_a_signal_are_all_told() {
    run(async {
        let counter = Counter::default();
        running_loop().add_signal_handler(libc::SIGPROF, counter.handler())?;
        let mut first = Signals::new([libc::SIGPROF])?;
        let mut second = Signals::new([libc::SIGPROF])?;
        send(libc::SIGPROF);
        first.next().await;
        second.next().await;
        counter.reaches(1).await;
        assert!(running_loop().remove_signal_handler(libc::SIGPROF)?);
        assert!(is_caught(libc::SIGPROF.into()));
        drop((first, second));
        assert!(!is_caught(libc::SIGPROF.into()));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_listener_that_fails_half_way_wants_nothing() {
    run(async {
        assert!(Signals::new([Signal::HUP, Signal::KILL]).is_err());
        assert!(!is_caught(Signal::HUP));
    });
}

#[test]
fn a_task_that_is_dropped_with_the_loop_stops_listening() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    let waits = async { signal(libc::SIGTTOU).await.unwrap() };
    drop(event_loop.spawn(waits, TaskOptions::new()).unwrap());
    event_loop.run_until_complete(turns(2)).unwrap();
    assert!(is_caught(libc::SIGTTOU.into()));
    event_loop.close().unwrap();
    assert!(!is_caught(libc::SIGTTOU.into()));
}

#[test]
fn many_signals_in_a_row_are_all_seen() {
    run(async {
        let mut signals = Signals::new([libc::SIGTTIN])?;
        for _ in 0..1000 {
            send(libc::SIGTTIN);
            signals.next().await;
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn real_time_signals_are_signals_like_others() {
    run(async {
        let (first, last) = (Signal::real_time(0).unwrap(), Signal::from(libc::SIGRTMAX()));
        let counter = Counter::default();
        running_loop().add_signal_handler(first, counter.handler())?;
        let mut signals = Signals::new([first, last])?;
        for signal in [last, first] {
            send_by_shell(signal);
            assert_eq!(signals.next().await, signal);
        }
        counter.reaches(1).await;
        assert!(running_loop().remove_signal_handler(first)?);
        drop(signals);
        assert!(!is_caught(first) && !is_caught(last));
        io::Result::Ok(())
    })
    .unwrap();
}

// What a listener costs among many is measured by benches/src/bin/growth.rs.
#[cfg(target_os = "linux")]
#[test]
fn listeners_leave_in_any_order_and_the_others_hear_on() {
    run(async {
        let signal = Signal::from(44);
        let mut listeners: Vec<_> =
            (0..1000).map(|_| Some(Signals::new([signal]).unwrap())).collect();
        let hear = async |expected: usize, listeners: &mut Vec<Option<Signals>>| {
            let counter = Counter::default();
            running_loop().add_signal_handler(signal, counter.handler())?;
            send_by_shell(signal);
            counter.reaches(1).await;
            running_loop().remove_signal_handler(signal)?;
            let heard = listeners.iter_mut().flatten().filter_map(Signals::next_nowait);
            assert_eq!(heard.count(), expected);
            io::Result::Ok(())
        };
        hear(1000, &mut listeners).await?;
        // Removes listeners from the middle and from both ends, and reuses their places.
        (0..1000).step_by(3).map(|at| at * 7 % 1000).for_each(|at| drop(listeners[at].take()));
        hear(666, &mut listeners).await?;
        listeners.extend((0..500).map(|_| Signals::new([signal]).ok()));
        hear(1166, &mut listeners).await?;
        drop(listeners);
        assert!(!is_caught(signal));
        io::Result::Ok(())
    })
    .unwrap();
}
