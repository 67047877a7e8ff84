//! Calls from other threads.

mod common;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use asyncio_loop::{LoopHandle, SendContext, context_var, running_loop};
use common::{real_loop, run_ready};

/// A log of events, for several threads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn entry(&self, entry: &'static str) -> impl FnOnce() + Send + use<> {
        let log = self.0.clone();
        move || log.lock().unwrap().push(entry)
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn stop(event_loop: &LoopHandle) {
    event_loop.call_soon_threadsafe(|| running_loop().stop()).unwrap();
}

// L-029
#[test]
fn a_call_wakes_a_loop_that_sleeps() {
    let event_loop = real_loop();
    let (handle, this) = (event_loop.handle(), thread::current().id());
    let (blocks, about_to_block) = mpsc::channel();
    let caller = thread::spawn(move || {
        about_to_block.recv().unwrap();
        let ran_on = Arc::new(Mutex::new(None));
        let note = ran_on.clone();
        let callback = move || *note.lock().unwrap() = Some(thread::current().id());
        handle.call_soon_threadsafe(callback).unwrap();
        stop(&handle);
        ran_on
    });
    // The loop has no timer and nothing ready, so its next poll blocks.
    event_loop.call_soon(move || blocks.send(()).unwrap());
    event_loop.run_forever().unwrap();
    assert_eq!(*caller.join().unwrap().lock().unwrap(), Some(this));
}

// L-030
#[test]
fn calls_and_callbacks_share_one_queue() {
    let (event_loop, log) = (real_loop(), Log::default());
    let handle = event_loop.handle();
    handle.call_soon_threadsafe(log.entry("own thread, first")).unwrap();
    event_loop.call_soon(log.entry("second"));
    let other = {
        let (handle, log) = (handle.clone(), log.clone());
        thread::spawn(move || {
            handle.call_soon_threadsafe(log.entry("third")).unwrap();
            handle.call_soon_threadsafe(log.entry("fourth")).unwrap();
        })
    };
    other.join().unwrap();
    event_loop.call_soon(log.entry("fifth"));
    run_ready(&event_loop);
    assert_eq!(log.take(), ["own thread, first", "second", "third", "fourth", "fifth"]);
}

#[test]
fn many_threads_call() {
    const CALLS: usize = 1000;
    let event_loop = real_loop();
    let counts: Arc<Mutex<Vec<usize>>> = Arc::default();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (handle, counts) = (event_loop.handle(), counts.clone());
            counts.lock().unwrap().push(0);
            thread::spawn(move || {
                for call in 0..CALLS {
                    let (counts, handle_in) = (counts.clone(), handle.clone());
                    let callback = move || {
                        let mut counts = counts.lock().unwrap();
                        assert_eq!(counts[thread], call, "each thread's calls stay in order");
                        counts[thread] += 1;
                        if counts.iter().all(|&count| count == CALLS) {
                            stop(&handle_in);
                        }
                    };
                    handle.call_soon_threadsafe(callback).unwrap();
                }
            })
        })
        .collect();
    event_loop.run_forever().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*counts.lock().unwrap(), [CALLS; 4]);
}

// L-032
#[test]
fn a_closed_loop_gives_the_callback_back() {
    let event_loop = real_loop();
    let handle = event_loop.handle();
    event_loop.close().unwrap();
    let refused = handle.call_soon_threadsafe(|| 1.to_string().truncate(0)).unwrap_err();
    assert_eq!(refused.to_string(), "event loop is closed");
    (refused.0)();
    drop(event_loop);
    assert!(handle.call_soon_threadsafe(|| ()).is_err());
}

// L-032
#[test]
fn close_races_with_calls() {
    for _ in 0..50 {
        let event_loop = real_loop();
        let handle = event_loop.handle();
        let token = Arc::new(());
        let (started, running) = mpsc::channel();
        let caller = {
            let token = token.clone();
            thread::spawn(move || {
                started.send(()).unwrap();
                // The number of calls is limited: a thread that is not scheduled for a while would
                // otherwise leave the loop all the calls that the other thread makes meanwhile.
                for _ in 0..5_000 {
                    let token = token.clone();
                    if handle.call_soon_threadsafe(move || drop(token)).is_err() {
                        break;
                    }
                }
            })
        };
        running.recv().unwrap();
        run_ready(&event_loop);
        drop(event_loop);
        caller.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1, "every callback was run or dropped");
    }
}

context_var! { static REQUEST: u32 = 0; }

#[test]
fn a_call_takes_the_values_along_that_can_travel() {
    let (event_loop, seen) = (real_loop(), Arc::new(Mutex::new(0)));
    let (handle, note) = (event_loop.handle(), seen.clone());
    let caller = thread::spawn(move || {
        REQUEST.set(7);
        handle.call_soon_threadsafe(move || *note.lock().unwrap() = REQUEST.get()).unwrap();
        assert!(!SendContext::current().is_empty());
    });
    caller.join().unwrap();
    run_ready(&event_loop);
    assert_eq!((*seen.lock().unwrap(), REQUEST.get()), (7, 0));
}

#[test]
fn a_refused_callback_comes_back_also_with_a_context() {
    let event_loop = real_loop();
    let handle = event_loop.handle();
    drop(event_loop);
    REQUEST.set(7);
    let token = Arc::new(());
    let held = token.clone();
    let refused = handle.call_soon_threadsafe(move || drop(held)).unwrap_err();
    assert_eq!(Arc::strong_count(&token), 2);
    drop(refused);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn a_handle_knows_its_thread() {
    let event_loop = real_loop();
    let handle = event_loop.handle();
    assert!(handle.is_loop_thread());
    assert!(!thread::spawn(move || handle.is_loop_thread()).join().unwrap());
}
