//! How late timers are, and what they cost: each contender in a process of its own, in turn, on one
//! core.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin lateness
//! ```
//!
//! Three tables. *One*: the lateness of a 100 µs sleep on an idle loop, a thousand times. *Many*:
//! 100,000 tasks that each sleep a random time within a second; their lateness, and the CPU time of
//! the whole. *Interval*: 10,000 ticks of an interval of a millisecond, how late they are, and how
//! late the last one is, which is the drift.

use std::cell::RefCell;
use std::error::Error;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::Runner;
use asyncio::event_loop::{EventLoop, TimerPrecision};
use asyncio_benches::contest::median;
use asyncio_benches::process::{SERVER_CORE, pin_to, warn_if_busy};
use asyncio_benches::runtime::{Asyncio, Monoio, Runtime, Smol, Tokio};
#[cfg(feature = "peers")]
use asyncio_benches::runtime::{Compio, Glommio};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 5;
const SLEEPS: usize = 1000;
const TASKS: usize = 100_000;

/// A contender's two experiments.
struct Contender {
    name: &'static str,
    one: fn() -> Vec<Duration>,
    many: fn() -> Vec<Duration>,
}

const CONTENDERS: &[Contender] = &[
    Contender { name: "floor", one: one_by_hand, many: many_by_hand },
    contender::<Asyncio>(),
    contender::<Coarse>(),
    contender::<Tokio>(),
    contender::<Smol>(),
    contender::<Monoio>(),
    #[cfg(feature = "peers")]
    contender::<Compio>(),
    #[cfg(feature = "peers")]
    contender::<Glommio>(),
];

/// asyncio with coarse timers.
struct Coarse;

impl Runtime for Coarse {
    const NAME: &'static str = "asyncio, coarse";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let coarse = EventLoop::builder().timer_precision(TimerPrecision::Coarse);
        Runner::builder().loop_factory(|| coarse.build()).run(main)
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        Asyncio::spawn(task)
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        Asyncio::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Asyncio::sleep(duration)
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        Asyncio::oneshot()
    }
}

const fn contender<R: Runtime>() -> Contender {
    Contender { name: R::NAME, one: one::<R>, many: many::<R> }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["interval", name] => measure_interval(name),
        [name, experiment] => measure(name, experiment),
        _ => {
            warn_if_busy();
            println!("\n| a 100 µs sleep | median lateness µs | p99 µs | CPU µs each |");
            table("one", SLEEPS as f64 / 1000.0)?;
            println!(
                "\n| 100,000 random sleeps in a second | median lateness µs | p99 µs | CPU ms |"
            );
            table("many", 1.0)?;
            interval_table()
        }
    }
}

/// A contender's process: three numbers on one line.
fn measure(name: &str, experiment: &str) -> Outcome<()> {
    pin_to(SERVER_CORE);
    let contender = CONTENDERS.iter().find(|each| each.name == name).ok_or("no such contender")?;
    let before = cpu_milliseconds();
    let mut late = if experiment == "one" { (contender.one)() } else { (contender.many)() };
    let cpu = cpu_milliseconds() - before;
    late.sort();
    let at = |share: usize| late[late.len() * share / 100].as_secs_f64() * 1e6;
    println!("{} {} {cpu}", at(50), at(99));
    Ok(())
}

fn table(experiment: &str, scale: f64) -> Outcome<()> {
    println!("|---|---|---|---|");
    let mut figures = vec![[const { Vec::new() }; 3]; CONTENDERS.len()];
    for _ in 0..ROUNDS {
        for (contender, figures) in CONTENDERS.iter().zip(&mut figures) {
            let program = std::env::current_exe()?;
            let output = Command::new(program).args([contender.name, experiment]).output()?;
            let line = String::from_utf8(output.stdout)?;
            for (number, figures) in line.split_whitespace().zip(figures) {
                figures.push(number.parse::<f64>()?);
            }
        }
    }
    for (contender, figures) in CONTENDERS.iter().zip(figures) {
        let [late, worst, cpu] = figures.map(median);
        println!("| {} | {late:.0} | {worst:.0} | {:.1} |", contender.name, cpu / scale);
    }
    Ok(())
}

/// A contender's process: the lateness of ticks in the mean, the median, and that of the last, in
/// µs.
fn measure_interval(name: &str) -> Outcome<()> {
    pin_to(SERVER_CORE);
    let late = match name {
        "floor" => interval_by_hand()?,
        "asyncio" => interval_of_asyncio(),
        _ => interval_of_tokio(),
    };
    let (mean, last) = (late.iter().sum::<f64>() / late.len() as f64, late[late.len() - 1]);
    println!("{mean} {} {last}", median(late));
    Ok(())
}

fn interval_table() -> Outcome<()> {
    println!("\n| an interval of 1 ms over 10 s | mean lateness µs | median µs | of the last µs |");
    println!("|---|---|---|---|");
    for name in ["floor", "asyncio", "tokio"] {
        let program = std::env::current_exe()?;
        let output = Command::new(program).args(["interval", name]).output()?;
        let line = String::from_utf8(output.stdout)?;
        let figures: Vec<f64> =
            line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        println!("| {name} | {:.0} | {:.0} | {:.0} |", figures[0], figures[1], figures[2]);
    }
    Ok(())
}

const TICKS: u32 = 10_000;
const PERIOD: Duration = Duration::from_millis(1);

/// A thread that reads from a timerfd, one deadline after the other.
fn interval_by_hand() -> Outcome<Vec<f64>> {
    let timer = TimerFd::new(timerfd::ClockId::CLOCK_MONOTONIC, TimerFlags::empty())?;
    let (start, begin) = (Instant::now(), clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    let mut late = Vec::with_capacity(TICKS as usize);
    for number in 1..=TICKS {
        let due = TimeSpec::from_duration(Duration::from(begin) + PERIOD * number);
        timer.set(Expiration::OneShot(due), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        timer.wait()?;
        late.push(lateness(start + PERIOD * number).as_secs_f64() * 1e6);
    }
    Ok(late)
}

/// Microseconds after the moment of each tick.
fn interval_of_asyncio() -> Vec<f64> {
    asyncio::run(async {
        let start = Instant::now();
        let mut ticks = asyncio::interval(PERIOD);
        ticks.tick().await;
        let mut late = Vec::with_capacity(TICKS as usize);
        for number in 1..=TICKS {
            ticks.tick().await;
            late.push(lateness(start + PERIOD * number).as_secs_f64() * 1e6);
        }
        late
    })
}

fn interval_of_tokio() -> Vec<f64> {
    Tokio::block_on(async {
        let start = Instant::now();
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.tick().await;
        let mut late = Vec::with_capacity(TICKS as usize);
        for number in 1..=TICKS {
            ticks.tick().await;
            late.push(lateness(start + PERIOD * number).as_secs_f64() * 1e6);
        }
        late
    })
}

/// One task that sleeps 100 µs again and again.
fn one<R: Runtime>() -> Vec<Duration> {
    R::block_on(async {
        let mut late = Vec::with_capacity(SLEEPS);
        for _ in 0..SLEEPS {
            let due = Instant::now() + Duration::from_micros(100);
            R::sleep(due - Instant::now()).await;
            late.push(lateness(due));
        }
        late
    })
}

/// Tasks that each sleep until a moment of their own.
fn many<R: Runtime>() -> Vec<Duration> {
    R::block_on(async {
        let late = Rc::new(RefCell::new(Vec::with_capacity(TASKS)));
        let mut tasks = Vec::with_capacity(TASKS);
        for duration in random_durations() {
            let late = Rc::clone(&late);
            tasks.push(R::spawn(async move {
                let due = Instant::now() + duration;
                R::sleep(duration).await;
                late.borrow_mut().push(lateness(due));
            }));
        }
        for task in tasks {
            task.await;
        }
        late.take()
    })
}

fn one_by_hand() -> Vec<Duration> {
    let sleep = |_| {
        let due = Instant::now() + Duration::from_micros(100);
        std::thread::sleep(due - Instant::now());
        lateness(due)
    };
    (0..SLEEPS).map(sleep).collect()
}

/// The thread's own sleep, from one deadline to the next.
fn many_by_hand() -> Vec<Duration> {
    let start = Instant::now();
    let mut deadlines: Vec<Instant> = random_durations().map(|duration| start + duration).collect();
    deadlines.sort();
    let wait = |due: Instant| {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        lateness(due)
    };
    deadlines.into_iter().map(wait).collect()
}

/// How late it is, which is an error if it is early.
fn lateness(due: Instant) -> Duration {
    let now = Instant::now();
    assert!(now >= due, "a timer fired {:?} early", due - now);
    now - due
}

/// The same pseudo-random durations below a second for everyone.
fn random_durations() -> impl Iterator<Item = Duration> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..TASKS).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Duration::from_nanos(state % 1_000_000_000)
    })
}

/// CPU time of this process so far, all threads, kernel and user.
fn cpu_milliseconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock of the process");
    time.tv_sec() as f64 * 1e3 + time.tv_nsec() as f64 / 1e6
}
