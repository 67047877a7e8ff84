//! Random programs whose callbacks, tasks, timers, hooks, wakers, jobs, destructors, context values
//! and exception handlers panic at random. Each panic is reported once, and everything that does
//! not panic is served to the end.
//!
//! ASYNCIO_PROGRAMS sets another number of programs, ASYNCIO_SEED another first one, and
//! ASYNCIO_SHOW shows where each panic comes from.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use asyncio_loop::{
    Context, ErrorContext, EventLoop, Executor, Job, LoopRef, LoopWaker, TaskOptions, ThreadFuture,
    ThreadPromise, context_var,
};

/// The default; some twenty times as many take minutes.
const PROGRAMS: u64 = 5_000;

thread_local! {
    /// The numbers of the panics in this program, in order.
    static FIRED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// The text of all reports.
    static REPORTED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A logger that keeps the reports of the default exception handler.
struct Records;

impl log::Log for Records {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        REPORTED.with_borrow_mut(|reported| *reported += &format!("{}\n", record.args()));
    }

    fn flush(&self) {}
}

/// Panics with a number of its own, unless the thread is panicking already.
fn fire() {
    static LAST: AtomicU32 = AtomicU32::new(0);
    if !std::thread::panicking() {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        FIRED.with_borrow_mut(|fired| fired.push(number));
        panic!("bomb {number};");
    }
}

/// Panics when it is dropped, if it is armed.
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 {
            fire();
        }
    }
}

/// A foreign waker.
struct Alarm {
    fires: bool,
    rings: AtomicU32,
    _bomb: Bomb,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        if self.fires {
            fire();
        }
    }
}

/// Runs jobs at once.
struct Inline;

impl Executor for Inline {
    fn execute(&self, job: Job) {
        job.run();
    }
}

#[derive(Clone)]
struct Value {
    _bomb: Arc<Bomb>,
}

context_var! { static VALUE: Option<Value> = None; }

/// Random numbers (xorshift64*).
struct Random(Cell<u64>);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
    }

    fn below(&self, limit: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn bomb(&self) -> Bomb {
        Bomb(self.one_in(4))
    }
}

/// Counts functions and tasks that were run to their end, whether or not they panicked.
type Served = Rc<Cell<u32>>;

struct Program {
    random: Random,
    event_loop: EventLoop,
    served: Served,
    expected: u32,
    futures: Vec<ThreadFuture<()>>,
    alarms: Vec<Arc<Alarm>>,
    sockets: Vec<(UnixStream, UnixStream)>,
}

impl Program {
    fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
        let (futures, alarms, sockets) = (Vec::new(), Vec::new(), Vec::new());
        let served = Served::default();
        Self { random, event_loop, served, expected: 0, futures, alarms, sockets }
    }

    /// A function that counts as served, and may panic when it is called or dropped.
    fn function(&mut self) -> impl FnOnce() + use<> {
        self.expected += 1;
        let (fires, bomb, served) =
            (self.random.one_in(4), self.random.bomb(), self.served.clone());
        move || {
            served.set(served.get() + 1);
            if fires {
                fire();
            }
            drop(bomb);
        }
    }

    fn set_handler(&self) {
        let random = Random::new(self.random.below(u64::MAX));
        let bomb = self.random.bomb();
        let handler = move |_: &LoopRef, context: &ErrorContext| {
            let _ = &bomb;
            if random.one_in(6) {
                fire();
            }
            REPORTED.with_borrow_mut(|reported| *reported += &format!("{context}\n"));
        };
        self.event_loop.set_exception_handler(Some(Rc::new(handler)));
    }

    /// Adds a random element to the program.
    fn step(&mut self) {
        let delay = Duration::from_millis(self.random.below(5));
        match self.random.below(11) {
            0 => {
                let function = self.function();
                self.event_loop.call_soon(function);
            }
            1 => {
                let function = self.function();
                self.event_loop.call_later(delay, function);
            }
            2 => {
                // A cancelled timer: only its destructor runs.
                let bomb = self.random.bomb();
                let handle = self.event_loop.call_later(delay, move || drop(bomb));
                self.event_loop.call_soon(move || handle.cancel());
            }
            3 => self.task(delay),
            4 => {
                let (function, fires) = (Cell::new(Some(self.function())), self.random.one_in(4));
                let bomb = self.random.bomb();
                self.event_loop.at_turn_end(Rc::new(move || {
                    let _ = &bomb;
                    function.take().unwrap()();
                    if fires {
                        fire();
                    }
                }));
            }
            5 => {
                let (context, function) = (Context::new(), self.function());
                let value = Value { _bomb: Arc::new(self.random.bomb()) };
                context.run(|| drop(VALUE.set(Some(value))));
                self.event_loop.call_soon(move || context.run(function));
            }
            6 => self.deadline(delay),
            7 => self.job(),
            8 => self.thread_promise(),
            9 => self.event_loop.call_soon_threadsafe_local(self.random.one_in(4)),
            _ if self.random.one_in(10) => self.reader(),
            _ => self.set_handler_later(),
        }
    }

    fn set_handler_later(&mut self) {
        let random = Random::new(self.random.below(u64::MAX));
        let this = self.event_loop.loop_ref();
        self.event_loop.call_soon(move || {
            // Replacing the handler may drop the previous one, whose destructor may panic here.
            if random.one_in(2) {
                this.set_exception_handler(None);
            }
        });
    }

    /// A task that waits a few times, and may panic at any point.
    fn task(&mut self, delay: Duration) {
        self.expected += 1;
        let (end, bomb) = (self.random.below(6), self.random.bomb());
        let mut output = Some(self.random.bomb());
        let (served, this) = (self.served.clone(), self.event_loop.loop_ref());
        let mut polls = 0;
        let mut timer = None;
        let future = poll_fn(move |cx| {
            let _ = &bomb;
            polls += 1;
            if polls <= end {
                let when = this.time() + delay;
                timer = Some(this.wake_at(when, LoopWaker::from_context(cx)));
                return Poll::Pending;
            }
            drop(timer.take());
            served.set(served.get() + 1);
            if end == 5 {
                fire();
            }
            Poll::Ready(output.take())
        });
        let task = self.event_loop.spawn(future, TaskOptions::new()).unwrap();
        drop(task);
    }

    /// A foreign waker that waits for a timer.
    fn deadline(&mut self, delay: Duration) {
        let (fires, bomb) = (self.random.one_in(3), self.random.bomb());
        let alarm = Arc::new(Alarm { fires, rings: AtomicU32::new(0), _bomb: bomb });
        let waker = LoopWaker::from_waker(&Waker::from(alarm.clone()));
        let deadline = self.event_loop.wake_at(self.event_loop.time() + delay, waker);
        self.event_loop.call_later(Duration::from_millis(10), move || drop(deadline));
        self.alarms.push(alarm);
    }

    fn job(&mut self) {
        self.expected += 1;
        let (fires, bomb) = (self.random.one_in(4), Mutex::new(self.random.bomb()));
        let ran = Arc::new(AtomicU32::new(0));
        let (count, served) = (ran.clone(), self.served.clone());
        let this = self.event_loop.loop_ref();
        let task = async move {
            let job = move || {
                count.fetch_add(1, Ordering::Relaxed);
                let _bomb = bomb;
                if fires {
                    fire();
                }
            };
            let result = this.run_in_executor(Some(&Inline), job).await;
            // The panic of a job is its result.
            if let Err(error) = result {
                REPORTED.with_borrow_mut(|reported| *reported += &format!("{error}\n"));
            }
            served.set(served.get() + ran.load(Ordering::Relaxed));
        };
        drop(self.event_loop.spawn(task, TaskOptions::new()).unwrap());
    }

    /// A future of another thread with a waker, and callbacks that may panic.
    fn thread_promise(&mut self) {
        let (promise, mut future) = ThreadPromise::new();
        let (fires, bomb) = (self.random.one_in(3), self.random.bomb());
        let alarm = Arc::new(Alarm { fires, rings: AtomicU32::new(0), _bomb: bomb });
        let waker = Waker::from(alarm.clone());
        let cx = &mut std::task::Context::from_waker(&waker);
        assert!(std::pin::Pin::new(&mut future).poll(cx).is_pending());
        let served = Arc::new(AtomicU32::new(0));
        for _ in 0..2 {
            let (fires, bomb) = (self.random.one_in(3), Mutex::new(self.random.bomb()));
            let served = served.clone();
            future.add_done_callback(move |_| {
                let _bomb = bomb;
                served.fetch_add(1, Ordering::Relaxed);
                if fires {
                    fire();
                }
            });
        }
        self.expected += 1;
        let count = self.served.clone();
        self.event_loop.call_soon(move || {
            promise.set_result(());
            count.set(count.get() + served.load(Ordering::Relaxed) / 2);
        });
        self.futures.push(future);
        self.alarms.push(alarm);
    }

    /// A reader that is called once, or dropped with the loop.
    fn reader(&mut self) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut &theirs, b"x").unwrap();
        let (bomb, fires) = (self.random.bomb(), self.random.one_in(3));
        let (removes, this) = (self.random.one_in(2), self.event_loop.loop_ref());
        let own = Rc::new(ours.try_clone().unwrap());
        let fd = own.clone();
        let mut called = false;
        let served = self.served.clone();
        self.expected += 1;
        let reader = move || {
            let _ = &bomb;
            if !std::mem::replace(&mut called, true) {
                served.set(served.get() + 1);
                if removes {
                    this.remove_reader(&*fd);
                }
                if fires {
                    fire();
                }
            } else {
                let mut byte = [0];
                let _ = std::io::Read::read(&mut &*fd, &mut byte);
            }
        };
        own.set_nonblocking(true).unwrap();
        self.event_loop.add_reader(&*own, reader).unwrap();
        self.sockets.push((ours, theirs));
    }

    /// Runs the program to its end, and checks what was served and reported.
    fn run(mut self, seed: u64) {
        self.set_handler();
        for _ in 0..3 + self.random.below(12) {
            self.step();
        }
        let this = self.event_loop.loop_ref();
        self.event_loop.call_later(Duration::from_millis(100), move || this.stop());
        self.event_loop.run_forever().unwrap();
        assert_eq!(self.served.get(), self.expected, "program {seed}: served");
        for alarm in self.alarms.drain(..) {
            assert_eq!(alarm.rings.load(Ordering::Relaxed), 1, "program {seed}: woken once");
            // The destructor runs in this test, so its panic is caught here.
            fence(|| drop(alarm));
        }
        fence(|| drop(self.futures.drain(..)));
        fence(|| drop(self.event_loop));
    }
}

/// Calls `f`, and counts its panic as reported.
fn fence(f: impl FnOnce()) {
    if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        let text = payload.downcast_ref::<String>().cloned().unwrap();
        REPORTED.with_borrow_mut(|reported| *reported += &text);
    }
}

trait CallSoonThreadsafe {
    fn call_soon_threadsafe_local(&self, fires: bool);
}

impl CallSoonThreadsafe for EventLoop {
    /// Calls `call_soon_threadsafe`, as another thread would.
    fn call_soon_threadsafe_local(&self, fires: bool) {
        let bomb = Mutex::new(Bomb(fires));
        let called = self.handle().call_soon_threadsafe(move || drop(bomb));
        assert!(called.is_ok());
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn every_panic_is_reported_once_and_everything_else_is_served() {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let payload = info.payload().downcast_ref::<String>();
            let is_bomb = payload.is_some_and(|text| text.starts_with("bomb "));
            if !is_bomb || std::env::var_os("ASYNCIO_SHOW").is_some() {
                eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
            }
        }));
        log::set_logger(&Records).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    let first = number("ASYNCIO_SEED").unwrap_or(1);
    let mut panics = 0;
    for seed in first..first + number("ASYNCIO_PROGRAMS").unwrap_or(PROGRAMS) {
        Program::new(seed).run(seed);
        let reported = REPORTED.take();
        for number in FIRED.take() {
            panics += 1;
            let times = reported.matches(&format!("bomb {number};")).count();
            assert_eq!(times, 1, "program {seed}: bomb {number} in\n{reported}");
        }
    }
    assert!(panics > 0);
}
