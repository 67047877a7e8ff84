//! A loop embedded in another one: bursts, rest and wakes, order, limits, and runs by a host.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::{
    Burst, Direction, EventLoop, Guest, Host, LoopRef, Outcome, RunError, Source, TaskOptions,
    running_loop, try_running_loop,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A budget that no test uses up.
const NO_LIMIT: Duration = Duration::from_secs(600);

/// A waker that counts how often the host is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A host that the test drives itself.
struct ByHand {
    guest: Guest,
    wakes: Arc<Wakes>,
    waker: Waker,
    poller: OwnedFd,
}

impl ByHand {
    /// A host whose bursts end only when nothing is ready, however busy the machine is.
    fn new(event_loop: &LoopRef) -> Self {
        Self::of(event_loop.guest().budget(NO_LIMIT))
    }

    /// A host whose bursts end after the default budget.
    fn hasty(event_loop: &LoopRef) -> Self {
        Self::of(event_loop.guest())
    }

    fn of(guest: Guest) -> Self {
        let wakes = Arc::<Wakes>::default();
        let poller = guest.poller().unwrap();
        Self { guest, waker: Waker::from(Arc::clone(&wakes)), wakes, poller }
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }

    fn burst(&self, readable: bool) -> Burst {
        self.guest.burst(&self.waker, readable).unwrap()
    }

    /// Waits for the poller's descriptor.
    fn is_readable(&self, timeout: Option<Duration>) -> bool {
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout).unwrap());
        let mut descriptors = [PollFd::new(&self.poller, PollFlags::IN)];
        poll(&mut descriptors, timeout.as_ref()).unwrap() > 0
    }

    /// Makes bursts until nothing is ready.
    fn settle(&self) -> Burst {
        loop {
            match self.burst(true) {
                Burst::Busy => {}
                burst => return burst,
            }
        }
    }

    /// Drives the loop until the run is over.
    fn run(&self) {
        let mut readable = true;
        loop {
            let wakes = self.wakes();
            let timeout = match self.burst(readable) {
                Burst::Over => return,
                Burst::Busy => Some(Duration::ZERO),
                Burst::Idle if self.wakes() > wakes => Some(Duration::ZERO),
                Burst::Idle => self.guest.timeout(),
            };
            readable = self.is_readable(timeout);
        }
    }
}

/// A task that wakes itself until `end` is set.
async fn busy(end: Rc<Cell<bool>>, steps: Rc<Cell<usize>>) {
    poll_fn(|cx| {
        steps.set(steps.get() + 1);
        if end.get() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn an_idle_guest_is_woken_once_by_what_its_host_schedules() {
    let event_loop = EventLoop::new().unwrap();
    let host = ByHand::new(&event_loop);
    assert_eq!(host.burst(false), Burst::Idle);
    let ran = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let count = Rc::clone(&ran);
        event_loop.call_soon(move || count.set(count.get() + 1));
    }
    assert_eq!((host.wakes(), ran.get()), (1, 0), "the loop runs in bursts only");
    assert_eq!(host.burst(false), Burst::Idle);
    assert_eq!((host.wakes(), ran.get()), (1, 3));
}

#[test]
fn timers_hooks_and_stop_wake_the_host() {
    let event_loop = EventLoop::new().unwrap();
    let host = ByHand::new(&event_loop);
    assert_eq!((host.burst(false), host.guest.timeout()), (Burst::Idle, None));

    let timer = event_loop.call_later(Duration::from_secs(3600), || {});
    assert_eq!(host.wakes(), 1, "a new deadline");
    assert_eq!(host.burst(false), Burst::Idle);
    let timeout = host.guest.timeout().unwrap();
    assert!(timeout > Duration::from_secs(3500) && timeout <= Duration::from_secs(3600));
    timer.cancel();

    let called = Rc::new(Cell::new(false));
    let call = Rc::clone(&called);
    event_loop.at_turn_end(Rc::new(move || call.set(true)));
    assert_eq!(host.wakes(), 2);
    assert_eq!((host.burst(false), called.get()), (Burst::Idle, true));

    event_loop.stop();
    assert_eq!((host.wakes(), host.burst(false)), (3, Burst::Over));
    assert_eq!(host.burst(false), Burst::Idle, "a stop ends one run");
}

#[test]
fn the_poller_is_readable_for_descriptors_threads_and_timers() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let source = Source::new(&event_loop, ours);
    let read = Rc::new(Cell::new(0));
    let told = Rc::clone(&read);
    let reader = async move {
        let mut buffer = [0; 16];
        let read = poll_fn(|cx| source.poll_io(cx, Direction::Read, |mut io| io.read(&mut buffer)));
        told.set(read.await.unwrap());
    };
    let _task = event_loop.spawn(reader, TaskOptions::new()).unwrap();
    let host = ByHand::new(&event_loop);
    assert_eq!(host.settle(), Burst::Idle);
    assert!(!host.is_readable(Some(Duration::ZERO)));

    theirs.write_all(b"hello").unwrap();
    assert!(host.is_readable(None));
    assert_eq!((host.settle(), read.get()), (Burst::Idle, 5));
    assert!(!host.is_readable(Some(Duration::ZERO)));

    let called = Rc::new(Cell::new(0));
    let handle = event_loop.handle();
    thread::spawn(move || {
        handle.call_soon_threadsafe(|| running_loop().local::<Cell<u32>>().set(7)).unwrap();
    })
    .join()
    .unwrap();
    assert!(host.is_readable(None));
    assert_eq!(host.settle(), Burst::Idle);
    assert_eq!(event_loop.local::<Cell<u32>>().get(), 7);

    let call = Rc::clone(&called);
    let due = event_loop.time() + Duration::from_millis(2);
    event_loop.call_at(due, move || call.set(1));
    assert_eq!(host.settle(), Burst::Idle);
    // On a busy machine the 2 ms may be over already.
    assert!(called.get() == 0 || event_loop.time() >= due, "too early");
    while called.get() == 0 {
        // Without a timerfd, the host has to limit its wait itself.
        let is_precise = cfg!(all(target_os = "linux", not(portable)));
        let timeout = if is_precise { None } else { host.guest.timeout() };
        host.is_readable(timeout);
        assert_eq!(host.settle(), Burst::Idle);
    }
    assert_eq!(host.wakes(), 1, "one wake, for the timer made between bursts");
}

#[test]
fn more_events_than_a_poll_takes_are_all_seen() {
    const PAIRS: usize = 1500;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    if limit.maximum.is_some_and(|maximum| maximum < 3500) {
        return;
    }

    let event_loop = EventLoop::new().unwrap();
    let (read, mut theirs) = (Rc::new(Cell::new(0)), Vec::new());
    for _ in 0..PAIRS {
        let (ours, their) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.push(their);
        let (source, count) = (Source::new(&event_loop, ours), Rc::clone(&read));
        let reader = async move {
            let mut byte = [0];
            poll_fn(|cx| source.poll_io(cx, Direction::Read, |mut io| io.read(&mut byte)))
                .await
                .unwrap();
            count.set(count.get() + 1);
        };
        drop(event_loop.spawn(reader, TaskOptions::new()).unwrap());
    }
    let host = ByHand::new(&event_loop);
    assert_eq!(host.settle(), Burst::Idle);
    theirs.iter_mut().for_each(|their| their.write_all(b"x").unwrap());
    // An edge-triggered host reports the poller as readable once only.
    let mut readable = true;
    while host.burst(readable) == Burst::Busy {
        readable = false;
    }
    assert_eq!(read.get(), PAIRS);
}

#[test]
fn a_burst_ends_after_its_budget_in_the_middle_of_a_turn() {
    let event_loop = EventLoop::new().unwrap();
    let ran = Rc::new(Cell::new(0));
    for _ in 0..100 {
        let count = Rc::clone(&ran);
        event_loop.call_soon(move || {
            count.set(count.get() + 1);
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(200) {}
        });
    }
    let host = ByHand::hasty(&event_loop);
    assert_eq!(host.burst(true), Burst::Busy);
    assert!((1..50).contains(&ran.get()), "{} callbacks of 200 µs", ran.get());
    assert_eq!(event_loop.turns(), 0);
    assert_eq!(host.settle(), Burst::Idle);
    assert_eq!((ran.get(), event_loop.turns()), (100, 1), "the rest of the same turn");

    let all = ByHand::new(&event_loop);
    (0..1000).for_each(|_| drop(event_loop.call_soon(|| ())));
    assert_eq!(all.burst(true), Burst::Idle);
}

#[test]
fn a_task_that_the_host_wakes_does_not_wait_behind_a_long_turn() {
    let event_loop = EventLoop::new().unwrap();
    let (end, steps) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    for _ in 0..20_000 {
        let task = busy(Rc::clone(&end), Rc::clone(&steps));
        drop(event_loop.spawn(task, TaskOptions::new()).unwrap());
    }
    let gate = Rc::new(RefCell::new(None::<Waker>));
    let woken_at = Rc::new(Cell::new(None));
    let (wait, at, count) = (Rc::clone(&gate), Rc::clone(&woken_at), Rc::clone(&steps));
    let waiter = async move {
        let mut polled = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            *wait.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        at.set(Some(count.get()));
    };
    drop(event_loop.spawn(waiter, TaskOptions::new()).unwrap());
    // On a busy machine the budget may be over after one step; the waiter runs first even then.
    let host = ByHand::of(event_loop.guest().budget(Duration::from_micros(20)));
    while gate.borrow().is_none() {
        assert_eq!(host.burst(false), Burst::Busy);
    }
    let before = steps.get();
    let waker = gate.borrow_mut().take().unwrap();
    waker.wake();
    assert_eq!(host.burst(false), Burst::Busy);
    assert_eq!(woken_at.get(), Some(before), "the waiter runs before the rest of the turn");
    assert_eq!(host.wakes(), 0, "no wake: the host makes another burst anyway");
    end.set(true);
    assert_eq!(host.settle(), Burst::Idle);
}

#[test]
fn tasks_of_the_host_do_not_starve_the_others() {
    let event_loop = EventLoop::new().unwrap();
    let (end, steps) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    for _ in 0..100 {
        let task = busy(Rc::clone(&end), Rc::clone(&steps));
        drop(event_loop.spawn(task, TaskOptions::new()).unwrap());
    }
    // A task that uses up the whole burst each time it is polled.
    let (gate, slow) = (Rc::new(RefCell::new(None::<Waker>)), Rc::new(Cell::new(0)));
    let (wait, count, ends) = (Rc::clone(&gate), Rc::clone(&slow), Rc::clone(&end));
    let greedy = poll_fn(move |cx| {
        *wait.borrow_mut() = Some(cx.waker().clone());
        count.set(count.get() + 1);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1) {}
        if ends.get() { Poll::Ready(()) } else { Poll::Pending }
    });
    drop(event_loop.spawn(greedy, TaskOptions::new()).unwrap());
    let host = ByHand::hasty(&event_loop);
    for _ in 0..200 {
        assert_eq!(host.burst(false), Burst::Busy);
        if let Some(waker) = gate.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
    assert!(steps.get() >= 90, "{} steps of others", steps.get());
    assert!(slow.get() > 10, "{} of the greedy task", slow.get());
    end.set(true);
    while host.burst(true) == Burst::Busy {}
}

// L-001
#[test]
fn callbacks_of_the_host_keep_their_order() {
    let event_loop = EventLoop::new().unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let note = |number: usize| {
        let order = Rc::clone(&order);
        event_loop.call_soon(move || {
            order.borrow_mut().push(number);
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(100) {}
        });
    };
    (0..50).for_each(note);
    let host = ByHand::hasty(&event_loop);
    assert_eq!(host.burst(true), Burst::Busy);
    (50..100).for_each(note);
    assert_eq!(host.settle(), Burst::Idle);
    assert_eq!(*order.borrow(), (0..100).collect::<Vec<_>>());
}

#[test]
fn the_loop_is_the_running_one_in_bursts_only() {
    let event_loop = EventLoop::new().unwrap();
    let this = event_loop.loop_ref();
    event_loop.call_soon(move || assert_eq!(running_loop(), this));
    let host = ByHand::new(&event_loop);
    assert_eq!(host.burst(true), Burst::Idle);
    assert!(try_running_loop().is_err());
    assert!(!event_loop.is_running());
    assert_eq!(EventLoop::new().unwrap().run_until_complete(async { 1 }), Ok(1));
}

#[test]
fn a_burst_inside_a_burst_or_a_run_is_refused() {
    let event_loop = EventLoop::new().unwrap();
    let guest = Rc::new(event_loop.guest().budget(NO_LIMIT));
    let (inner, refused) = (Rc::clone(&guest), Rc::new(Cell::new(None)));
    let told = Rc::clone(&refused);
    event_loop.call_soon(move || told.set(Some(inner.burst(Waker::noop(), true))));
    assert_eq!(guest.burst(Waker::noop(), true), Ok(Burst::Idle));
    assert!(matches!(refused.take(), Some(Err(RunError::AlreadyRunning { .. }))));

    let inner = Rc::clone(&guest);
    let in_run = event_loop.run_until_complete(async move { inner.burst(Waker::noop(), true) });
    assert!(matches!(in_run, Ok(Err(RunError::AlreadyRunning { .. }))));

    let other = EventLoop::new().unwrap();
    let in_other = other.run_until_complete(async { guest.burst(Waker::noop(), true) });
    assert!(matches!(in_other, Ok(Err(RunError::AlreadyRunning { .. }))));
    assert_eq!(guest.burst(Waker::noop(), true), Ok(Burst::Idle));
}

#[test]
fn a_run_between_bursts_takes_over_and_wakes_the_host() {
    let event_loop = EventLoop::new().unwrap();
    let host = ByHand::new(&event_loop);
    assert_eq!(host.burst(true), Burst::Idle);
    assert_eq!(event_loop.run_until_complete(async { 6 * 7 }), Ok(42));
    assert_eq!(host.wakes(), 1);
    let ran = Rc::new(Cell::new(false));
    let run = Rc::clone(&ran);
    event_loop.call_soon(move || run.set(true));
    assert_eq!((host.burst(false), ran.get()), (Burst::Idle, true));

    // In the middle of a turn.
    for _ in 0..20 {
        event_loop.call_soon(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(200) {}
        });
    }
    let host = ByHand::hasty(&event_loop);
    assert_eq!(host.burst(false), Burst::Busy);
    assert_eq!(event_loop.run_until_complete(async { 1 }), Ok(1));
    assert_eq!(host.settle(), Burst::Idle);
}

#[test]
fn a_loop_that_is_closed_between_bursts_says_so_and_wakes_the_host() {
    let event_loop = EventLoop::new().unwrap();
    let host = ByHand::new(&event_loop);
    let dropped = Rc::new(());
    let held = Rc::clone(&dropped);
    let waits = async move {
        let _held = held;
        pending::<()>().await;
    };
    drop(event_loop.spawn(waits, TaskOptions::new().hidden()).unwrap());
    assert_eq!(host.settle(), Burst::Idle);
    event_loop.close().unwrap();
    assert_eq!((host.wakes(), Rc::strong_count(&dropped)), (1, 1));
    assert_eq!(host.guest.burst(&host.waker, false), Err(RunError::Closed));
    assert!(host.guest.poller().is_err());
    event_loop.call_soon(|| unreachable!("closed"));
    assert_eq!(host.wakes(), 1);
}

#[test]
fn a_loop_that_is_dropped_inside_a_burst_is_closed_at_its_end() {
    let event_loop = EventLoop::new().unwrap();
    let this = event_loop.loop_ref();
    let host = ByHand::new(&event_loop);
    this.call_soon(move || drop(event_loop));
    let _ = host.guest.burst(&host.waker, true);
    assert!(this.is_closed());
    assert_eq!(host.guest.burst(&host.waker, true), Err(RunError::Closed));
}

#[test]
fn a_guest_that_is_dropped_leaves_its_loop_usable() {
    let event_loop = EventLoop::new().unwrap();
    let ran = Rc::new(Cell::new(0));
    for rest in [true, false] {
        let host = if rest { ByHand::new(&event_loop) } else { ByHand::hasty(&event_loop) };
        if !rest {
            for _ in 0..20 {
                event_loop.call_soon(|| {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(200) {}
                });
            }
        }
        let burst = host.burst(true);
        assert_eq!(burst, if rest { Burst::Idle } else { Burst::Busy });
        drop(host);
        let count = Rc::clone(&ran);
        event_loop.call_soon(move || count.set(count.get() + 1));
        event_loop.run_until_complete(async {}).unwrap();
    }
    assert_eq!(ran.get(), 2);
}

#[test]
fn a_waker_of_the_host_that_panics_is_reported() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let event_loop = EventLoop::new().unwrap();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&reports);
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        told.borrow_mut().push(context.to_string());
    })));
    let (guest, bad) = (event_loop.guest().budget(NO_LIMIT), Waker::from(Arc::new(Bad)));
    assert_eq!(guest.burst(&bad, true), Ok(Burst::Idle));
    let ran = Rc::new(Cell::new(false));
    let run = Rc::clone(&ran);
    event_loop.call_soon(move || run.set(true));
    assert_eq!(guest.burst(&bad, true), Ok(Burst::Idle));
    assert!(ran.get(), "the callback was queued all the same");
}

#[test]
fn a_guest_until_a_task_is_over_with_it() {
    let event_loop = EventLoop::new().unwrap();
    let mut main = event_loop
        .spawn(
            async {
                let event_loop = running_loop();
                let (mut deadline, when) = (None, event_loop.time() + Duration::from_millis(1));
                poll_fn(|cx: &mut Context<'_>| match &deadline {
                    Some(_) if event_loop.time() >= when => Poll::Ready(()),
                    _ => {
                        let waker = asyncio_loop::LoopWaker::from_context(cx);
                        deadline = Some(event_loop.wake_at(when, waker));
                        Poll::Pending
                    }
                })
                .await;
                6 * 7
            },
            TaskOptions::new(),
        )
        .unwrap();
    let host = ByHand::of(event_loop.guest().until(main.task()));
    host.run();
    assert!(matches!(main.take(), Some(Outcome::Value(42))));
    assert_eq!(host.burst(true), Burst::Over);
}

#[test]
fn virtual_time_passes_in_bursts_that_find_nothing_to_run() {
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let this = event_loop.loop_ref();
    let late = event_loop.call_later(Duration::from_secs(7200), || unreachable!("later"));
    event_loop.call_later(Duration::from_secs(3600), move || this.stop());
    let host = ByHand::new(&event_loop);
    host.run();
    assert_eq!(event_loop.time().as_secs_f64(), 3600.0);
    late.cancel();
    assert_eq!(host.burst(false), Burst::Idle, "without a deadline, the host waits");
}

#[test]
fn debug_mode_times_the_steps_of_a_burst() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let ran = Rc::new(Cell::new(0));
    for _ in 0..10 {
        let count = Rc::clone(&ran);
        event_loop.call_soon(move || count.set(count.get() + 1));
    }
    assert_eq!(ByHand::new(&event_loop).settle(), Burst::Idle);
    assert_eq!(ran.get(), 10);
}

/// A host that counts the calls it gets.
#[derive(Default)]
struct Recorded {
    drives: Cell<usize>,
    inside: Cell<usize>,
    enters: Cell<usize>,
    dropped: Rc<Cell<bool>>,
    /// Ends each run after this number of bursts.
    give_up: Cell<Option<usize>>,
}

impl Host for Recorded {
    fn drive(&self, guest: Guest) {
        self.drives.set(self.drives.get() + 1);
        let host = ByHand::of(guest);
        match self.give_up.get() {
            Some(bursts) => (0..bursts).for_each(|_| _ = host.burst(true)),
            None => host.run(),
        }
    }

    fn enter(&self, code: &mut dyn FnMut()) {
        self.enters.set(self.enters.get() + 1);
        self.inside.set(self.inside.get() + 1);
        code();
        self.inside.set(self.inside.get() - 1);
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.dropped.set(true);
    }
}

#[test]
fn a_host_drives_each_run_and_surrounds_it_and_the_close() {
    let host = Rc::new(Recorded::default());
    let dropped = Rc::clone(&host.dropped);
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_host(host.clone()).unwrap();
    let inside = Rc::clone(&host);
    let answer = event_loop.run_until_complete(async {
        assert!(running_loop().set_host(Rc::new(Recorded::default())).is_err());
        inside.inside.get()
    });
    assert_eq!(answer, Ok(1));
    drop(inside);
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!((host.drives.get(), host.enters.get()), (2, 2));

    struct AtDrop(Rc<Recorded>, Rc<Cell<usize>>);
    impl Drop for AtDrop {
        fn drop(&mut self) {
            self.1.set(self.0.inside.get());
        }
    }
    let seen = Rc::new(Cell::new(0));
    let at_drop = AtDrop(Rc::clone(&host), Rc::clone(&seen));
    let waits = async move {
        let _at_drop = at_drop;
        pending::<()>().await;
    };
    drop(event_loop.spawn(waits, TaskOptions::new().hidden()).unwrap());
    drop(event_loop);
    assert_eq!(seen.get(), 1, "destructors of tasks are inside the host");
    drop(host);
    assert!(dropped.get(), "the closed loop has dropped its host");
}

#[test]
fn a_host_that_gives_up_stops_the_run() {
    let event_loop = EventLoop::new().unwrap();
    let host = Recorded::default();
    host.give_up.set(Some(1));
    event_loop.set_host(Rc::new(host)).unwrap();
    assert_eq!(event_loop.run_until_complete(pending::<()>()), Err(RunError::Stopped));
    assert_eq!(event_loop.run_until_complete(async { 1 }), Ok(1));
}

#[test]
fn a_host_that_panics_ends_the_run_and_nothing_else() {
    struct Bad;
    impl Host for Bad {
        fn drive(&self, guest: Guest) {
            guest.burst(Waker::noop(), true).unwrap();
            panic!("on purpose");
        }
    }
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_host(Rc::new(Bad)).unwrap();
    let run = AssertUnwindSafe(|| event_loop.run_until_complete(pending::<()>()));
    catch_unwind(run).unwrap_err();
    assert!(!event_loop.is_running());
    assert_eq!(event_loop.run_until_complete(async { 1 }), Ok(1), "without the host");
    event_loop.set_host(Rc::new(Recorded::default())).unwrap();
    assert_eq!(event_loop.run_until_complete(async { 1 }), Ok(1));
}

#[test]
fn what_the_host_runs_between_bursts_finds_the_running_loop_of_a_run() {
    struct Between(Rc<RefCell<Vec<bool>>>);
    impl Host for Between {
        fn drive(&self, guest: Guest) {
            let host = ByHand::of(guest);
            while host.burst(true) != Burst::Over {
                self.0.borrow_mut().push(try_running_loop().is_ok());
                drop(running_loop().call_soon(|| running_loop().stop()));
                assert!(running_loop().close().is_err());
            }
        }
    }
    let seen = Rc::new(RefCell::new(Vec::new()));
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_host(Rc::new(Between(Rc::clone(&seen)))).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(*seen.borrow(), [true]);
}
