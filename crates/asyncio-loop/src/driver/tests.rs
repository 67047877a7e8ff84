use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use super::*;
use crate::LoopWaker;
use crate::clock::system_nanos;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const CENTURY: u64 = 100 * 366 * 86_400 * 1_000 * MILLISECOND;

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), Waker::from(count))
}

fn pair(driver: &Driver) -> (Source<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Source::with_driver(driver, ours), theirs)
}

fn read(source: &Source<UnixStream>, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    let read = source.try_transfer(Direction::Read, length, |mut io| io.read(&mut buffer))?;
    buffer.truncate(read);
    Ok(buffer)
}

fn is_pending(source: &Source<UnixStream>, waker: &Waker, direction: Direction) -> bool {
    source.poll_ready(&Context::from_waker(waker), direction).is_pending()
}

// How late the poll returns depends on the machine, so the test checks only that it is never early.
// The tests of `precise` check the deadline that the timer is set to.
#[test]
fn a_deadline_is_never_early() {
    let driver = Driver::new().unwrap();
    for _ in 0..101 {
        let deadline = system_nanos() + 100 * MICROSECOND;
        driver.poll(Wait::Until(deadline)).unwrap();
        assert!(system_nanos() >= deadline);
    }
}

#[test]
fn a_deadline_in_the_past_or_in_a_century_is_fine() {
    let driver = Driver::new().unwrap();
    for past in [0, 1, system_nanos()] {
        driver.poll(Wait::Until(past)).unwrap();
    }
    for future in [system_nanos() + CENTURY, u64::MAX] {
        driver.waker().wake();
        driver.poll(Wait::Until(future)).unwrap();
    }
}

#[test]
fn a_deadline_that_moved_away_costs_one_wait_for_nothing() {
    let driver = Driver::new().unwrap();
    let soon = system_nanos() + MILLISECOND;
    let later = soon + MILLISECOND;
    driver.waker().wake();
    driver.poll(Wait::Until(soon)).unwrap();
    let waits = (0..).take_while(|_| system_nanos() < later).map(|_| {
        driver.poll(Wait::Until(later)).unwrap();
    });
    assert!(waits.count() <= 2);
}

#[test]
fn another_thread_ends_a_wait() {
    let driver = Driver::new().unwrap();
    let waker = driver.waker();
    let thread = thread::spawn(move || waker.wake());
    driver.poll(Wait::Forever).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_source_is_registered_at_its_first_wait_only() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (_, waker) = counter();
    peer.write_all(b"hello").unwrap();
    assert!(!is_pending(&source, &waker, Direction::Read));
    assert_eq!(read(&source, 5).unwrap(), b"hello");
    assert!(!is_pending(&source, &waker, Direction::Write));
    assert!(!source.is_registered());

    assert_eq!(read(&source, 5).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(!source.is_registered());
    assert!(is_pending(&source, &waker, Direction::Read));
    assert!(source.is_registered());
}

#[test]
fn bytes_that_came_before_the_registration_wake_the_reader() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (count, waker) = counter();
    source.clear_ready(Direction::Read);
    peer.write_all(b"hello").unwrap();
    assert!(is_pending(&source, &waker, Direction::Read));
    driver.poll(Wait::Now).unwrap();
    assert_eq!(count.get(), 1);
    assert_eq!(read(&source, 9).unwrap(), b"hello");
}

#[test]
fn a_short_read_saves_the_call_that_says_nothing_is_left() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    peer.write_all(b"hello").unwrap();
    assert_eq!(read(&source, 9).unwrap(), b"hello");
    assert!(!source.is_ready(Direction::Read));
    assert_eq!(read(&source, 9).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_short_read_does_not_hide_the_end() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (count, waker) = counter();
    source.clear_ready(Direction::Read);
    assert!(is_pending(&source, &waker, Direction::Read));
    peer.write_all(b"hello").unwrap();
    drop(peer);
    driver.poll(Wait::Forever).unwrap();
    assert_eq!(count.get(), 1);
    assert_eq!(read(&source, 9).unwrap(), b"hello");
    assert_eq!(read(&source, 9).unwrap(), b"");
    assert_eq!(read(&source, 9).unwrap(), b"");
}

#[test]
fn each_direction_has_its_own_waiter() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (reader, reader_waker) = counter();
    let (writer, writer_waker) = counter();
    while source.try_io(Direction::Write, |mut io| io.write(&[0; 65536])).is_ok() {}
    source.clear_ready(Direction::Read);
    assert!(is_pending(&source, &reader_waker, Direction::Read));
    assert!(is_pending(&source, &writer_waker, Direction::Write));

    peer.write_all(b"x").unwrap();
    driver.poll(Wait::Forever).unwrap();
    assert_eq!((reader.get(), writer.get()), (1, 0));

    peer.set_nonblocking(true).unwrap();
    let mut sink = vec![0; 65536];
    while peer.read(&mut sink).is_ok() {}
    driver.poll(Wait::Forever).unwrap();
    assert_eq!((reader.get(), writer.get()), (1, 1));
    assert!(source.is_ready(Direction::Write));
}

#[test]
fn the_last_one_to_wait_is_the_one_woken() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (first, first_waker) = counter();
    let (second, second_waker) = counter();
    source.clear_ready(Direction::Read);
    assert!(is_pending(&source, &first_waker, Direction::Read));
    assert!(is_pending(&source, &second_waker, Direction::Read));
    peer.write_all(b"x").unwrap();
    driver.poll(Wait::Forever).unwrap();
    assert_eq!((first.get(), second.get()), (0, 1));
}

#[test]
fn poll_io_waits_and_tries_again() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (count, waker) = counter();
    let cx = Context::from_waker(&waker);
    let mut byte = [0];
    let mut poll = || source.poll_io(&cx, Direction::Read, |mut io| io.read(&mut byte));
    assert!(poll().is_pending());
    peer.write_all(b"x").unwrap();
    driver.poll(Wait::Forever).unwrap();
    assert_eq!(count.get(), 1);
    assert!(matches!(poll(), Poll::Ready(Ok(1))));
    assert_eq!(byte, *b"x");
}

#[test]
fn a_regular_file_cannot_be_waited_for() {
    let driver = Driver::new().unwrap();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let source = Source::with_driver(&driver, file);
    let (_, waker) = counter();
    source.clear_ready(Direction::Read);
    let Poll::Ready(Err(error)) = source.poll_ready(&Context::from_waker(&waker), Direction::Read)
    else {
        panic!("a file has no readiness");
    };
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_descriptor_given_back_is_no_longer_watched() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (count, waker) = counter();
    source.clear_ready(Direction::Read);
    assert!(is_pending(&source, &waker, Direction::Read));
    let ours = source.into_inner();
    peer.write_all(b"x").unwrap();
    driver.poll(Wait::Now).unwrap();
    assert_eq!(count.get(), 0);

    let again = Source::with_driver(&driver, ours);
    again.clear_ready(Direction::Read);
    assert!(is_pending(&again, &waker, Direction::Read));
    driver.poll(Wait::Now).unwrap();
    assert_eq!(count.get(), 1);
}

thread_local! {
    static DOOMED: RefCell<Option<Source<UnixStream>>> = const { RefCell::new(None) };
}

/// A waker of another executor that drops another source when it is woken and when it is dropped.
struct DropsSource;

impl Wake for DropsSource {
    fn wake(self: Arc<Self>) {
        drop(DOOMED.take());
    }
}

#[test]
fn what_is_woken_may_use_the_driver() {
    let driver = Driver::new().unwrap();
    let (source, mut peer) = pair(&driver);
    let (doomed, mut doomed_peer) = pair(&driver);
    let (count, waker) = counter();
    source.clear_ready(Direction::Read);
    doomed.clear_ready(Direction::Read);
    assert!(is_pending(&source, &Waker::from(Arc::new(DropsSource)), Direction::Read));
    assert!(is_pending(&doomed, &waker, Direction::Read));
    DOOMED.set(Some(doomed));

    peer.write_all(b"x").unwrap();
    driver.poll(Wait::Forever).unwrap();
    assert!(DOOMED.take().is_none());
    assert_eq!(doomed_peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(count.get(), 0);
}

#[test]
fn one_panicking_waker_does_not_keep_the_others_asleep() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a foreign waker");
        }
    }
    let (count, waker) = counter();
    let mut list = WakeList::default();
    for waker in [&waker, &Waker::from(Arc::new(Panics)), &waker] {
        list.push(Some(LoopWaker::from_context(&Context::from_waker(waker))));
    }
    list.wake_all();
    assert_eq!(count.get(), 2);
}

#[test]
fn a_driver_that_is_closed_refuses_what_waits() {
    let driver = Driver::new().unwrap();
    let (source, _peer) = pair(&driver);
    let (_, waker) = counter();
    source.clear_ready(Direction::Read);
    assert!(is_pending(&source, &waker, Direction::Read));
    driver.close();
    driver.waker().wake();
    assert!(driver.poll(Wait::Forever).is_err());
    let (other, _peer) = pair(&driver);
    other.clear_ready(Direction::Read);
    assert!(!is_pending(&other, &waker, Direction::Read));
    drop((source, other));
}

fn taken(list: &ReadyList, waker: &Waker) -> Vec<u32> {
    let mut numbers = Vec::new();
    let _ = list.poll_take(&Context::from_waker(waker), &mut numbers);
    numbers
}

#[test]
fn a_source_in_a_list_wakes_its_task_and_is_named_once() {
    let driver = Driver::new().unwrap();
    let list = ReadyList::with_driver(&driver);
    let (source, mut theirs) = pair(&driver);
    source.clear_ready(Direction::Read);
    source.join_list(&list, 7).unwrap();
    let (count, waker) = counter();
    assert_eq!(taken(&list, &waker), []);
    for round in 1..3 {
        theirs.write_all(b"ab").unwrap();
        driver.poll(Wait::Now).unwrap();
        theirs.write_all(b"c").unwrap();
        driver.poll(Wait::Now).unwrap();
        assert_eq!(count.get(), round);
        assert_eq!(taken(&list, &waker), [7]);
        assert_eq!(read(&source, 16).unwrap(), b"abc");
        assert_eq!(taken(&list, &waker), []);
    }
}

#[test]
fn a_list_outlives_its_handle_as_long_as_sources_are_in_it() {
    let driver = Driver::new().unwrap();
    let list = ReadyList::with_driver(&driver);
    let (source, mut theirs) = pair(&driver);
    source.clear_ready(Direction::Read);
    source.join_list(&list, 7).unwrap();
    drop(list);
    let other = ReadyList::with_driver(&driver);
    theirs.write_all(b"a").unwrap();
    driver.poll(Wait::Now).unwrap();
    assert_eq!(taken(&other, Waker::noop()), []);
    assert!(source.is_ready(Direction::Read));
}
