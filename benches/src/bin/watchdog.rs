//! The watchdog: how soon it reports a step that is stuck, and whether it reports one that is not.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin watchdog              # and a minute of a server
//! nice -n 19 target/release/watchdog 3600                            # and an hour
//! ```
//!
//! *Stalls*: tasks block their loop for 200 ms, half of them in a call and half by computing, where
//! 100 ms are allowed. How much later than that the report comes, and whether it names the right
//! task and has a stack. A thread that computes is measured by its processor time.
//!
//! *A busy server*: a process in which one loop serves the clients that another loop has. All steps
//! are short, so each report is a false one, which is printed. Every 20 seconds the process is
//! stopped by a signal for 300 ms. The hard case is a machine with other work, or a low priority:
//! the longest step by the clock says how long a thread had no processor in the middle of one.

use std::error::Error;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use asyncio::event_loop::EventLoop;
use asyncio::inspect::StuckStep;
use asyncio::{
    Lock, LoopThread, StreamReader, StreamWriter, TaskOptions, create_task, open_connection,
    running_loop, sleep, start_server,
};
use rustix::process::{Pid, Signal, kill_process};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LIMIT: Duration = Duration::from_millis(100);
const STALL: Duration = Duration::from_millis(200);
const STALLS: usize = 40;
const CLIENTS: u64 = 32;

fn main() -> Outcome<ExitCode> {
    let mut words = std::env::args().skip(1);
    let first = words.next();
    if first.as_deref() == Some("serve") {
        let seconds: u64 = words.next().ok_or("serve needs a number of seconds")?.parse()?;
        let reports = serve(Duration::from_secs(seconds))?;
        return Ok(if reports == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let seconds: u64 = first.map_or(Ok(60), |word| word.parse())?;
    for (name, kind) in [("in a call", Kind::InCall), ("computing", Kind::Computing)] {
        stalls(name, kind)?;
    }
    serve_and_stop(Duration::from_secs(seconds))
}

/// How a stall is made, and the clock that it goes by.
#[derive(Clone, Copy)]
enum Kind {
    InCall,
    Computing,
}

impl Kind {
    /// The time of a thread of this process.
    fn now(self, thread: Pid) -> Duration {
        match self {
            Self::InCall => {
                static START: LazyLock<Instant> = LazyLock::new(Instant::now);
                START.elapsed()
            }
            Self::Computing => {
                // Documentation/scheduler/sched-stats.rst: time on a processor, in ns.
                let file = format!("/proc/self/task/{thread}/schedstat");
                let text = std::fs::read_to_string(file).unwrap_or_default();
                let time = text.split(' ').next().and_then(|word| word.parse().ok());
                Duration::from_nanos(time.unwrap_or(0))
            }
        }
    }

    fn block(self, thread: Pid) {
        let start = self.now(thread);
        match self {
            Self::InCall => thread::sleep(STALL),
            Self::Computing => {
                while self.now(thread) < start + STALL {
                    black_box(work(100_000));
                }
            }
        }
    }
}

fn stalls(name: &str, kind: Kind) -> Outcome<()> {
    let this = rustix::thread::gettid();
    let event_loop = EventLoop::new()?;
    let (sender, receiver) = channel();
    event_loop.set_watchdog_with(LIMIT, move |step| {
        let _ = sender.send((kind.now(this), step.clone()));
    });
    let mut late = Vec::new();
    let (mut missing, mut wrong) = (0, 0);
    for number in 0..STALLS {
        let task = format!("stall {number}");
        let stall = async move {
            sleep(Duration::from_millis(7)).await;
            let begin = kind.now(this);
            kind.block(this);
            begin
        };
        let begin = event_loop.run_task(stall, TaskOptions::new().name(task.clone()))?;
        match report(&receiver) {
            None => missing += 1,
            Some((at, step)) => {
                late.push(at.saturating_sub(begin + LIMIT));
                let has_stack = !step.stack().is_empty();
                let named = step.step.and_then(|step| step.name);
                wrong += usize::from(named != Some(task) || !has_stack);
            }
        }
    }
    late.sort_unstable();
    let ms = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1e3);
    println!(
        "{STALLS} stalls of {} {name}, {} allowed: reported {} late at the median, {} at most; \
         {missing} missing, {wrong} with another task or no stack",
        ms(STALL),
        ms(LIMIT),
        ms(late.get(late.len() / 2).copied().unwrap_or_default()),
        ms(late.last().copied().unwrap_or_default()),
    );
    Ok(())
}

/// The report of a stall, which may be on its way.
fn report(receiver: &Receiver<(Duration, StuckStep)>) -> Option<(Duration, StuckStep)> {
    let found = receiver.recv_timeout(STALL).ok();
    while receiver.try_recv().is_ok() {}
    found
}

/// Runs the server in a process of its own, which is stopped now and then.
fn serve_and_stop(time: Duration) -> Outcome<ExitCode> {
    let seconds = time.as_secs().to_string();
    let mut server = Command::new(std::env::current_exe()?).args(["serve", &seconds]).spawn()?;
    let process = Pid::from_child(&server);
    let mut stops = 0;
    loop {
        thread::sleep(Duration::from_secs(20));
        if let Some(status) = server.try_wait()? {
            println!("it was stopped {stops} times");
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        kill_process(process, Signal::STOP)?;
        thread::sleep(Duration::from_millis(300));
        kill_process(process, Signal::CONT)?;
        stops += 1;
    }
}

/// Counts the reports while the server works.
fn serve(time: Duration) -> Outcome<u64> {
    let reports = Arc::new(AtomicU64::new(0));
    let requests = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let server = LoopThread::builder().name("server").start()?;
    let clients = LoopThread::builder().name("clients").start()?;
    for thread in [&server, &clients] {
        let reports = Arc::clone(&reports);
        thread.run(async move || {
            running_loop().measure(true);
            running_loop().set_watchdog_with(LIMIT, move |step| {
                reports.fetch_add(1, Ordering::Relaxed);
                println!("a report: {step}");
            });
        })?;
    }
    let port = server.run(async || {
        let lock = Rc::new(Lock::new(0));
        let handle = async move |reader, writer| answer(&lock, reader, writer).await;
        let server = start_server("127.0.0.1:0", handle).await?;
        server.local_addr().map(|address| address.port())
    })??;
    let ends: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (requests, over) = (Arc::clone(&requests), Arc::clone(&over));
            clients.submit(async move || ask(port, number, &requests, &over).await.is_ok())
        })
        .collect();
    thread::sleep(time);
    over.store(true, Ordering::Relaxed);
    let done = ends.iter().filter(|end| matches!(end.result(None), Ok(true))).count();
    let longest = [&server, &clients].map(|thread| thread.handle().statistics().longest_step);
    let (reports, requests) = (reports.load(Ordering::Relaxed), requests.load(Ordering::Relaxed));
    println!(
        "{} s of a busy server: {reports} reports; {requests} requests by {done} clients; the \
         longest step took {:.1} ms by the clock",
        time.as_secs(),
        longest.into_iter().max().unwrap_or_default().as_secs_f64() * 1e3,
    );
    clients.stop();
    server.stop();
    Ok(reports)
}

/// Answers each line with a number.
async fn answer(
    lock: &Lock<u64>,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> std::io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        let number = line.len() as u64 + u64::from(line[0]);
        let result = work(number * 20);
        if number % 16 == 0 {
            // A task that works beside it, and a timer.
            let other = create_task(async move {
                sleep(Duration::from_millis(1)).await;
                work(number)
            });
            let _ = other.await;
        }
        let mut total = lock.acquire().await;
        *total = total.wrapping_add(result);
        writer.write(format!("{total}\n"));
        drop(total);
        writer.drain().await?;
    }
    Ok(())
}

async fn ask(port: u16, number: u64, requests: &AtomicU64, over: &AtomicBool) -> Outcome<()> {
    let (mut reader, writer) = open_connection(("127.0.0.1", port)).await?;
    let mut round = number;
    while !over.load(Ordering::Relaxed) {
        round += 1;
        writer.write(format!("{}\n", round.wrapping_mul(7919) % 1_000_003));
        reader.next_line().await?.ok_or("the server has gone")?;
        requests.fetch_add(1, Ordering::Relaxed);
        if round % 64 == 0 {
            sleep(Duration::from_millis(round % 7)).await;
        }
    }
    Ok(())
}

/// Computes for some microseconds.
fn work(rounds: u64) -> u64 {
    (0..rounds).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ (byte & 0xff)).wrapping_mul(0x0100_0000_01b3)
    })
}
