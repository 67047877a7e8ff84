//! The monitor: what `ps` of 100,000 tasks costs, how long the loop stands still for it, and what
//! eight clients cost that ask at once.
//!
//! ```text
//! cargo run --release -p asyncio-benches --features monitor --bin ps
//! ```
//!
//! Times by the clock mean little on a busy machine, so there is processor time as well: that of
//! the loop's thread, and that of the whole process without the clients. A pause is the time
//! between two turns of a task that does nothing but yield.

use std::cell::Cell;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::monitor::{self, Options};
use asyncio::{TaskOptions, create_task, gather, running_loop, sleep, to_thread, yield_now};
use nix::time::{ClockId, clock_gettime};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const TASKS: usize = 100_000;
const ROUNDS: usize = 9;
const CLIENTS: usize = 8;

fn main() -> Outcome<()> {
    asyncio::run(async {
        let options = Options::new().address("127.0.0.1:0");
        let monitor = monitor::start(&running_loop(), options)?;
        let address = monitor.local_addr().ok_or("no address")?;
        for number in 0..TASKS {
            let task = async { sleep(Duration::from_secs(3600)).await };
            // Every tenth has a name of its own.
            let options = match number % 10 {
                0 => TaskOptions::new().name(format!("job {number}")),
                _ => TaskOptions::new(),
            };
            drop(asyncio::task::create_task_with(task, options));
        }
        yield_now().await;
        for clients in [1, CLIENTS] {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push(ask(address, clients).await?);
            }
            report(clients, &rounds);
        }
        pauses(address).await
    })
}

/// What a round has cost.
#[derive(Clone, Copy)]
struct Cost {
    clock: Duration,
    process: Duration,
    event_loop: Duration,
    bytes: usize,
}

/// Makes a number of clients ask concurrently.
async fn ask(address: SocketAddr, clients: usize) -> Outcome<Cost> {
    let (start, process, thread) = (Instant::now(), of_process(), of_thread());
    let asks = (0..clients).map(|_| to_thread(move || client(address)));
    let mut bytes = 0;
    let mut of_clients = Duration::ZERO;
    for answer in gather(asks).await {
        let (length, time) = answer??;
        bytes = length;
        of_clients += time;
    }
    Ok(Cost {
        clock: start.elapsed(),
        process: (of_process() - process).saturating_sub(of_clients),
        event_loop: of_thread() - thread,
        bytes,
    })
}

/// The length of an answer, and the processor time that the client has used.
fn client(address: SocketAddr) -> Outcome<(usize, Duration)> {
    let before = of_thread();
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(b"ps\nquit\n")?;
    socket.shutdown(Shutdown::Write)?;
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        match socket.read(&mut buffer)? {
            0 => return Ok((length, of_thread() - before)),
            some => length += some,
        }
    }
}

fn report(clients: usize, rounds: &[Cost]) {
    let middle = |time: fn(&Cost) -> Duration| {
        let mut times: Vec<Duration> = rounds.iter().map(time).collect();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    println!(
        "ps of {TASKS} tasks, {clients} at once: {} KiB each; medians of {ROUNDS} rounds: {:.0} ms \
         by the clock, {:.0} ms of processor time, {:.0} ms of it on the loop's thread",
        rounds[0].bytes / 1024,
        middle(|cost| cost.clock),
        middle(|cost| cost.process),
        middle(|cost| cost.event_loop),
    );
}

/// How long the loop stands still, while a task yields all the time.
async fn pauses(address: SocketAddr) -> Outcome<()> {
    let over = Rc::new(Cell::new(false));
    let ends = Rc::clone(&over);
    let ticker = create_task(async move {
        let (mut clock, mut processor) = (Duration::ZERO, Duration::ZERO);
        let (mut now, mut used) = (Instant::now(), of_thread());
        while !ends.get() {
            yield_now().await;
            let (before, used_before) = (now, used);
            (now, used) = (Instant::now(), of_thread());
            clock = clock.max(now - before);
            processor = processor.max(used - used_before);
        }
        (clock, processor)
    });
    for _ in 0..ROUNDS {
        to_thread(move || client(address)).await??;
    }
    over.set(true);
    let (clock, processor) = ticker.await?;
    println!(
        "the loop's longest pause in {ROUNDS} rounds: {:.1} ms of processor time, {:.1} ms by the \
         clock",
        processor.as_secs_f64() * 1e3,
        clock.as_secs_f64() * 1e3,
    );
    Ok(())
}

fn of_process() -> Duration {
    time_of(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn of_thread() -> Duration {
    time_of(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn time_of(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("every Linux has it").into()
}
