//! `add_reader` and `add_writer`.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{Direction, EventLoop, LoopRef, Source, context_var};
use common::{Drops, Log, real_loop, run_ready};

/// A loop, a non-blocking socket, and its peer.
fn setup() -> (EventLoop, UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (real_loop(), ours, theirs)
}

/// Makes enough turns to notice every ready descriptor: a run that is stopped beforehand is one
/// turn, with one poll.
fn run_turns(event_loop: &EventLoop) {
    for _ in 0..10 {
        event_loop.stop();
        event_loop.run_forever().unwrap();
    }
}

// L-033
#[test]
fn a_reader_is_called_again_until_everything_is_read() {
    let (event_loop, ours, mut theirs) = setup();
    theirs.write_all(b"abc").unwrap();
    let read = Rc::new(RefCell::new(Vec::new()));
    let (sink, this) = (read.clone(), event_loop.loop_ref());
    let mut socket = ours.try_clone().unwrap();
    event_loop
        .add_reader(&ours, move || {
            let mut byte = [0];
            assert_eq!(
                socket.read(&mut byte).unwrap(),
                1,
                "called only when the socket is readable"
            );
            sink.borrow_mut().push(byte[0]);
            if byte == *b"e" {
                this.stop();
            }
        })
        .unwrap();
    run_turns(&event_loop);
    assert_eq!(*read.borrow(), b"abc");
    theirs.write_all(b"de").unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(*read.borrow(), b"abcde");
}

// L-033
#[test]
fn the_end_of_the_stream_is_readable_in_every_turn() {
    let (event_loop, ours, theirs) = setup();
    drop(theirs);
    let (calls, this) = (Rc::new(Cell::new(0)), event_loop.loop_ref());
    let counter = calls.clone();
    event_loop
        .add_reader(&ours, move || {
            counter.set(counter.get() + 1);
            if counter.get() == 3 {
                this.stop();
            }
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(calls.get(), 3);
}

// L-034
#[test]
fn a_writer_is_called_until_it_is_removed() {
    let (event_loop, ours, _theirs) = setup();
    let (calls, this, socket) =
        (Rc::new(Cell::new(0)), event_loop.loop_ref(), ours.try_clone().unwrap());
    let counter = calls.clone();
    let removed = ours.try_clone().unwrap();
    event_loop
        .add_writer(&socket, move || {
            counter.set(counter.get() + 1);
            if counter.get() == 10 {
                this.stop();
            }
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(calls.get(), 10);
    assert!(!event_loop.remove_writer(&removed), "another descriptor of the same socket");
    assert!(event_loop.remove_writer(&socket));
    run_turns(&event_loop);
    assert_eq!(calls.get(), 10);
}

#[test]
fn a_full_socket_is_not_writable() {
    let (event_loop, mut ours, mut theirs) = setup();
    while ours.write(&[0; 4096]).is_ok() {}
    let calls = Rc::new(Cell::new(0));
    let (counter, this) = (calls.clone(), event_loop.loop_ref());
    event_loop
        .add_writer(&ours, move || {
            counter.set(counter.get() + 1);
            this.stop();
        })
        .unwrap();
    run_turns(&event_loop);
    assert_eq!(calls.get(), 0);
    while theirs.read(&mut [0; 4096]).is_ok() {}
    event_loop.run_forever().unwrap();
    assert_eq!(calls.get(), 1);
}

// L-035
#[test]
fn a_second_reader_takes_the_place_of_the_first() {
    let (event_loop, ours, mut theirs) = setup();
    theirs.write_all(b"x").unwrap();
    let (log, drops) = (Log::default(), Drops::default());
    let guard = drops.guard();
    event_loop.add_reader(&ours, move || unreachable!("replaced: {guard:?}")).unwrap();
    let (entries, this) = (log.clone(), event_loop.loop_ref());
    event_loop
        .add_reader(&ours, move || {
            entries.push("second");
            this.stop();
        })
        .unwrap();
    assert_eq!(drops.count(), 1, "the first reader's captures are dropped");
    event_loop.run_forever().unwrap();
    assert_eq!(log.take(), ["second"]);
}

// L-035: also if the reader is already scheduled in this turn. Of two scheduled readers, the first
// one replaces the second.
#[test]
fn a_reader_that_is_due_is_replaced() {
    let (event_loop, ours, mut theirs) = setup();
    let (_, other, mut other_peer) = setup();
    theirs.write_all(b"x").unwrap();
    other_peer.write_all(b"x").unwrap();
    let (ours, other, log) = (Rc::new(ours), Rc::new(other), Log::default());
    for (socket, other) in [(&ours, &other), (&other, &ours)] {
        let (event_loop_in, log) = (event_loop.loop_ref(), log.clone());
        let (socket_in, other) = (socket.clone(), other.clone());
        let replace = move || {
            log.push("original");
            assert!(event_loop_in.remove_reader(&*socket_in));
            let (log, this) = (log.clone(), event_loop_in.clone());
            let replacement = move || {
                log.push("replacement");
                this.stop();
            };
            event_loop_in.add_reader(&*other, replacement).unwrap();
        };
        event_loop.add_reader(&**socket, replace).unwrap();
    }
    event_loop.run_forever().unwrap();
    assert_eq!(log.take(), ["original", "replacement"]);
}

// L-036
#[test]
fn reader_and_writer_of_one_descriptor_are_independent() {
    let (event_loop, ours, mut theirs) = setup();
    let (reads, writes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let count = |counter: &Rc<Cell<i32>>| {
        let counter = counter.clone();
        move || counter.set(counter.get() + 1)
    };
    theirs.write_all(b"x").unwrap();
    event_loop.add_reader(&ours, count(&reads)).unwrap();
    event_loop.add_writer(&ours, count(&writes)).unwrap();
    run_turns(&event_loop);
    assert!(reads.get() > 0 && writes.get() > 0);

    assert!(event_loop.remove_reader(&ours));
    let (reads_before, writes_before) = (reads.get(), writes.get());
    run_turns(&event_loop);
    assert_eq!(reads.get(), reads_before);
    assert!(writes.get() > writes_before);

    event_loop.add_reader(&ours, count(&reads)).unwrap();
    assert!(event_loop.remove_writer(&ours));
    let writes_before = writes.get();
    run_turns(&event_loop);
    assert!(reads.get() > reads_before);
    assert_eq!(writes.get(), writes_before);
}

// L-037
#[test]
fn removing_says_whether_there_was_something() {
    let (event_loop, ours, _theirs) = setup();
    assert!(!event_loop.remove_reader(&ours));
    assert!(!event_loop.remove_writer(&ours));
    let drops = Drops::default();
    let guard = drops.guard();
    event_loop.add_reader(&ours, move || unreachable!("{guard:?}")).unwrap();
    assert!(!event_loop.remove_writer(&ours));
    assert!(event_loop.remove_reader(&ours));
    assert_eq!(drops.count(), 1, "the captures are dropped at once");
    assert!(!event_loop.remove_reader(&ours));
}

// L-028
#[test]
fn a_closed_loop_watches_nothing() {
    let (event_loop, ours, _theirs) = setup();
    let drops = Drops::default();
    let guard = drops.guard();
    event_loop.add_reader(&ours, move || unreachable!("{guard:?}")).unwrap();
    event_loop.close().unwrap();
    assert_eq!(drops.count(), 1);
    assert!(!event_loop.remove_reader(&ours));
    assert!(!event_loop.remove_writer(&ours));
    let error = event_loop.add_reader(&ours, || ()).unwrap_err();
    assert_eq!(error.to_string(), "event loop is closed");
    assert!(event_loop.add_writer(&ours, || ()).is_err());
}

#[test]
fn a_callback_may_remove_itself() {
    let (event_loop, ours, mut theirs) = setup();
    theirs.write_all(b"x").unwrap();
    let (ours, drops, calls) = (Rc::new(ours), Drops::default(), Rc::new(Cell::new(0)));
    let (this, socket, guard, counter) =
        (event_loop.loop_ref(), ours.clone(), drops.guard(), calls.clone());
    let once = move || {
        let _captured = &guard;
        counter.set(counter.get() + 1);
        assert!(this.remove_reader(&*socket));
        assert!(!this.remove_reader(&*socket));
    };
    event_loop.add_reader(&*ours, once).unwrap();
    run_turns(&event_loop);
    assert_eq!((calls.get(), drops.count()), (1, 1));
}

#[test]
fn the_peer_hears_of_a_close_once_the_reader_is_removed() {
    let (event_loop, ours, mut theirs) = setup();
    event_loop.add_reader(&ours, || ()).unwrap();
    assert!(event_loop.remove_reader(&ours));
    drop(ours);
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_regular_file_is_refused() {
    let event_loop = real_loop();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let error = event_loop.add_reader(&file, || ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(!event_loop.remove_reader(&file));
}

// L-040, for readers: each call is reported, and the reader stays registered.
#[test]
fn a_reader_that_panics_is_reported_and_stays() {
    let (event_loop, ours, mut theirs) = setup();
    theirs.write_all(b"x").unwrap();
    let (reports, this) = (Rc::new(Cell::new(0)), event_loop.loop_ref());
    let counter = reports.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        assert_eq!(context.panic(), Some("on purpose"));
        counter.set(counter.get() + 1);
        if counter.get() == 2 {
            this.stop();
        }
    })));
    event_loop.add_reader(&ours, || panic!("on purpose")).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(reports.get(), 2);
}

context_var! { static CALLS: u32 = 0; }

#[test]
fn a_reader_runs_in_the_context_of_its_registration() {
    let (event_loop, ours, mut theirs) = setup();
    theirs.write_all(b"x").unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (sink, this) = (seen.clone(), event_loop.loop_ref());
    asyncio_loop::Context::new().run(|| {
        CALLS.set(5);
        let look = move || {
            sink.borrow_mut().push(CALLS.get());
            CALLS.set(CALLS.get() + 1);
            if CALLS.get() == 7 {
                this.stop();
            }
        };
        event_loop.add_reader(&ours, look).unwrap();
    });
    event_loop.run_forever().unwrap();
    assert_eq!(*seen.borrow(), [5, 6]);
    assert_eq!(CALLS.get(), 0);
}

#[test]
fn watches_are_no_tasks_to_anybody() {
    let (event_loop, ours, mut theirs) = setup();
    theirs.write_all(b"x").unwrap();
    let this = event_loop.loop_ref();
    event_loop
        .add_reader(&ours, move || {
            assert!(this.current_task().is_none());
            assert_eq!(this.all_tasks(), []);
            this.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    run_ready(&event_loop);
}

// L-039
#[test]
fn the_descriptor_of_a_transport_is_refused() {
    let (event_loop, ours, _theirs) = setup();
    let source = Source::new(&event_loop, &ours);
    let error = event_loop.add_reader(&ours, || {}).unwrap_err();
    assert!(error.to_string().contains("used by a transport"), "{error}");
    assert!(event_loop.add_writer(&ours, || {}).is_err());
    drop(source);
    event_loop.add_reader(&ours, || {}).unwrap();
}

/// Logs `entry` when the next byte arrives at `socket`, and then removes the reader.
fn log_once(event_loop: &EventLoop, socket: UnixStream, log: &Log, entry: &'static str) {
    let (this, socket, log) = (event_loop.loop_ref(), Rc::new(socket), log.clone());
    let watched = socket.clone();
    let on_readable = move || {
        log.push(entry);
        this.remove_reader(&*watched);
    };
    event_loop.add_reader(&*socket, on_readable).unwrap();
    run_turns(event_loop);
}

/// Schedules a long turn: `theirs` sends a byte in its first step, and `last` is its last step.
fn long_turn(event_loop: &LoopRef, mut theirs: UnixStream, last: impl FnOnce() + 'static) {
    event_loop.call_soon(move || {
        theirs.write_all(b"a").unwrap();
        std::thread::sleep(Duration::from_millis(1));
    });
    // More steps than the loop makes between two readings of the clock.
    (0..200).for_each(|_| drop(event_loop.call_soon(|| {})));
    event_loop.call_soon(last);
}

/// A step that schedules the logging of "later" for the next turn.
fn log_later(event_loop: &LoopRef, log: &Log) -> impl FnOnce() + 'static {
    let (this, later) = (event_loop.clone(), log.entry("later"));
    move || drop(this.call_soon(later))
}

#[test]
fn what_becomes_ready_in_a_long_turn_comes_before_what_that_schedules_at_its_end() {
    let ((event_loop, ours, theirs), log) = (setup(), Log::default());
    log_once(&event_loop, ours, &log, "reader");
    long_turn(&event_loop, theirs, log_later(&event_loop, &log));
    run_turns(&event_loop);
    assert_eq!(log.take(), ["reader", "later"]);
}

#[test]
fn the_poller_is_not_asked_before_those_have_run_whom_it_named() {
    let ((event_loop, ours, theirs), log) = (setup(), Log::default());
    log_once(&event_loop, ours, &log, "reader");
    let (first, mut to_first) = UnixStream::pair().unwrap();
    log_once(&event_loop, first, &log, "named");
    to_first.write_all(b"a").unwrap();
    long_turn(&event_loop, theirs, log_later(&event_loop, &log));
    run_turns(&event_loop);
    assert_eq!(log.take(), ["named", "later", "reader"]);
}

#[test]
fn the_poller_is_asked_as_soon_as_those_have_run_whom_it_named() {
    let ((event_loop, ours, theirs), log) = (setup(), Log::default());
    log_once(&event_loop, ours, &log, "reader");
    let (first, to_first) = UnixStream::pair().unwrap();
    log_once(&event_loop, first, &log, "named");
    // The poll in the middle of one long turn finds the descriptor ready, and the reader runs at
    // the beginning of the next turn.
    let (this, last) = (event_loop.loop_ref(), log_later(&event_loop, &log));
    long_turn(&event_loop, to_first, move || long_turn(&this, theirs, last));
    run_turns(&event_loop);
    assert_eq!(log.take(), ["named", "reader", "later"]);
}

/// Replaces the file behind the number of `descriptor` with another socket. Returns that socket's
/// peer.
fn reuse_number(descriptor: &mut OwnedFd) -> UnixStream {
    let (new, peer) = UnixStream::pair().unwrap();
    new.set_nonblocking(true).unwrap();
    rustix::io::dup2(&new, descriptor).unwrap();
    peer
}

fn count_calls() -> (Rc<Cell<u32>>, impl FnMut() + 'static) {
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    (count, move || counter.set(counter.get() + 1))
}

// Case `remove_close_reuse`
#[test]
fn a_number_that_is_reused_right_after_remove_reader_is_watched() {
    for turns_before in [false, true] {
        for turns_after in [false, true] {
            let (event_loop, ours, _theirs) = setup();
            let mut ours = OwnedFd::from(ours);
            event_loop.add_reader(&ours, || ()).unwrap();
            if turns_before {
                run_turns(&event_loop);
            }
            assert!(event_loop.remove_reader(&ours));
            if turns_after {
                run_turns(&event_loop);
            }
            let mut peer = reuse_number(&mut ours);
            let (calls, reader) = count_calls();
            event_loop.add_reader(&ours, reader).unwrap();
            run_turns(&event_loop);
            assert_eq!(calls.get(), 0);
            peer.write_all(b"x").unwrap();
            run_turns(&event_loop);
            assert!(calls.get() > 0, "{turns_before}, {turns_after}");
            assert!(event_loop.remove_reader(&ours));
        }
    }
}

// python/asyncio#205
#[test]
fn a_number_that_is_reused_without_remove_reader_is_watched() {
    let (event_loop, ours, mut theirs) = setup();
    let mut ours = OwnedFd::from(ours);
    let (earlier, reader) = count_calls();
    event_loop.add_reader(&ours, reader).unwrap();
    theirs.write_all(b"x").unwrap();
    run_turns(&event_loop);
    let mut peer = reuse_number(&mut ours);
    run_turns(&event_loop);
    let calls_before = earlier.get();
    let (calls, reader) = count_calls();
    event_loop.add_reader(&ours, reader).unwrap();
    peer.write_all(b"x").unwrap();
    run_turns(&event_loop);
    assert!(calls.get() > 0);
    assert_eq!(earlier.get(), calls_before, "the reader was replaced");
}

#[test]
fn a_wait_is_not_misled_by_a_reader_whose_descriptor_was_closed() {
    let (event_loop, ours, _theirs) = setup();
    let mut ours = OwnedFd::from(ours);
    event_loop.add_reader(&ours, || ()).unwrap();
    run_turns(&event_loop);
    let mut peer = reuse_number(&mut ours);
    let source = Source::share(&event_loop, &ours).unwrap();
    source.clear_ready(Direction::Read);
    event_loop.call_soon(move || peer.write_all(b"x").unwrap());
    let limit = event_loop.loop_ref();
    event_loop.call_later(Duration::from_secs(300), move || limit.stop());
    event_loop.run_until_complete(source.ready(Direction::Read)).unwrap().unwrap();
}

#[test]
fn a_reader_that_ends_late_leaves_the_next_owner_of_the_number_alone() {
    for removed in [true, false] {
        let (event_loop, ours, mut theirs) = setup();
        let mut ours = OwnedFd::from(ours);
        let (calls, reader) = count_calls();
        event_loop.add_reader(&ours, reader).unwrap();
        run_turns(&event_loop);
        if removed {
            assert!(event_loop.remove_reader(&ours));
        } else {
            // The reader is scheduled, and not called yet.
            theirs.write_all(b"x").unwrap();
        }
        let mut peer = reuse_number(&mut ours);
        let number = ours.as_raw_fd();
        let source = Source::new(&event_loop, ours);
        source.clear_ready(Direction::Read);
        let (this, limit) = (event_loop.loop_ref(), event_loop.loop_ref());
        event_loop.call_later(Duration::from_millis(1), move || {
            peer.write_all(b"x").unwrap();
            // Keeps the peer open for as long as the loop runs.
            this.call_later(Duration::from_secs(600), || drop(peer));
        });
        event_loop.call_later(Duration::from_secs(300), move || limit.stop());
        event_loop.run_until_complete(source.ready(Direction::Read)).unwrap().unwrap();
        let refused = event_loop.add_reader(source.get_ref(), || ()).unwrap_err();
        assert_eq!(refused.to_string(), format!("file descriptor {number} is used by a transport"));
        assert_eq!(calls.get(), 0, "{removed}");
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_destructor_that_panics_is_reported_and_harms_nobody() {
    let (event_loop, ours, mut theirs) = setup();
    theirs.write_all(b"x").unwrap();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let log = reports.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        log.borrow_mut().push(context.panic().unwrap().to_owned());
    })));
    let this = event_loop.loop_ref();
    let socket = Rc::new(ours.try_clone().unwrap());
    event_loop.call_soon(move || {
        let (first, second, last) = (Bomb, Bomb, Bomb);
        this.add_reader(&*socket, move || _ = &first).unwrap();
        this.add_reader(&*socket, move || _ = &second).unwrap();
        assert!(this.remove_reader(&*socket));
        let (me, own) = (this.clone(), socket.clone());
        let removes_itself = move || {
            let _ = &last;
            assert!(me.remove_reader(&*own));
            me.stop();
        };
        this.add_reader(&*socket, removes_itself).unwrap();
    });
    event_loop.run_forever().unwrap();
    assert_eq!(reports.take(), ["dropped"; 3]);
    // Dropped when the loop closes.
    let (reader, writer) = (Bomb, Bomb);
    event_loop.add_reader(&ours, move || _ = &reader).unwrap();
    event_loop.add_writer(&ours, move || _ = &writer).unwrap();
    let ended = reports.clone();
    drop(event_loop);
    assert_eq!(ended.take(), ["dropped"; 2]);
}
