//! A loop inside a runtime of tokio, beside the loop alone and tokio alone.
//!
//! ```text
//! cd benches/http
//! cargo run --release --bin guest_bench -- [--rounds N] [ROW…]
//! ```
//!
//! The rows are `yield`, `echo`, `tokio-echo`, `tokio-spawn` and `late`. The figures are
//! nanoseconds of the thread's CPU time for an operation, but those of `late` are by the clock. Two
//! contenders take turns, round after round.

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use asyncio::tokio_runtime;
use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Nanoseconds for an operation.
type Contender = fn() -> Outcome<f64>;

struct Row {
    name: &'static str,
    what: &'static str,
    guest: Contender,
    beside: &'static str,
    other: Contender,
}

const ROWS: [Row; 4] = [
    Row {
        name: "yield",
        what: "our `yield_now`",
        guest: || tokio_runtime::run(yields()),
        beside: "alone",
        other: || asyncio::run(yields()),
    },
    Row {
        name: "echo",
        what: "our echo, 64 bytes, 100 connections",
        guest: || tokio_runtime::run(echoes()),
        beside: "alone",
        other: || asyncio::run(echoes()),
    },
    Row {
        name: "tokio-echo",
        what: "echo on tokio's `TcpStream`, 64 bytes",
        guest: || tokio_runtime::run(echoes_of_tokio(|served| drop(asyncio::create_task(served)))),
        beside: "tokio",
        other: || by_tokio(echoes_of_tokio(|served| drop(tokio::task::spawn_local(served)))),
    },
    Row {
        name: "tokio-spawn",
        what: "`tokio::spawn(…).await`",
        guest: || tokio_runtime::run(spawns()),
        beside: "tokio",
        other: || by_tokio(spawns()),
    },
];

fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let (mut rounds, mut names) = (9, Vec::new());
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--rounds" => rounds = arguments.next().unwrap_or_default().parse()?,
            _ => names.push(argument),
        }
    }
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    println!("| ns | guest | beside | guest ÷ beside |\n|---|---|---|---|");
    for row in ROWS.iter().filter(|row| is_wanted(row.name)) {
        let (mut guests, mut others, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (guest, other) = ((row.guest)()?, (row.other)()?);
            guests.push(guest);
            others.push(other);
            ratios.push(guest / other);
        }
        let (guest, other, ratio) = (median(guests), median(others), median(ratios));
        println!("| {} | {guest:.0} | {other:.0} ({}) | {ratio:.2} |", row.what, row.beside);
    }
    if is_wanted("late") {
        println!("\n| tasks of 1 µs beside it | waited for | median µs | p99 µs | most µs |");
        println!("|---|---|---|---|---|");
        for tasks in [0, 20_000] {
            println!("{}", tokio_runtime::run(lateness(tasks))?);
        }
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The CPU time of this thread.
fn cpu_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Does `operation` some times to warm up, and then `count` times.
async fn measured(count: u32, mut operation: impl AsyncFnMut() -> io::Result<()>) -> Outcome<f64> {
    for _ in 0..count / 10 {
        operation().await?;
    }
    let before = cpu_time()?;
    for _ in 0..count {
        operation().await?;
    }
    Ok((cpu_time()? - before).as_nanos() as f64 / f64::from(count))
}

/// The future is a task of tokio on one thread, as the loop is.
fn by_tokio<T: 'static>(future: impl Future<Output = Outcome<T>> + 'static) -> Outcome<T> {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(runtime.spawn_local(future))?
}

async fn yields() -> Outcome<f64> {
    measured(1_000_000, async || {
        asyncio::yield_now().await;
        Ok(())
    })
    .await
}

async fn spawns() -> Outcome<f64> {
    measured(50_000, async || tokio::spawn(async {}).await.map_err(io::Error::other)).await
}

async fn echoes() -> Outcome<f64> {
    const CONNECTIONS: u32 = 100;

    let server = asyncio::start_server("127.0.0.1:0", async |mut reader, writer| {
        loop {
            let data = reader.read(64).await?;
            if data.is_empty() {
                return writer.close().await;
            }
            writer.write(&data);
        }
    })
    .await?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(asyncio::open_connection(server.local_addr()?).await?);
    }
    let round_trips = measured(50, async || {
        let asking = clients.iter_mut().map(|(reader, writer)| async move {
            writer.write([7; 64]);
            reader.read_exactly(64).await
        });
        for answered in asyncio::gather(asking).await {
            answered.map_err(io::Error::other)?;
        }
        Ok(())
    });
    let nanos = pin!(round_trips).await? / f64::from(CONNECTIONS);
    for (_, writer) in &clients {
        writer.close().await?;
    }
    Ok(nanos)
}

type Served = std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>>;

async fn echoes_of_tokio(spawn: fn(Served)) -> Outcome<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    spawn(Box::pin(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; 64];
        while stream.read_exact(&mut buffer).await.is_ok() {
            stream.write_all(&buffer).await?;
        }
        Ok(())
    }));
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    measured(4000, async || {
        stream.write_all(&[7; 64]).await?;
        stream.read_exact(&mut [0; 64]).await?;
        Ok(())
    })
    .await
}

/// How late a task of ours goes on that a task of tokio wakes, beside others that are always busy.
async fn lateness(tasks: usize) -> Outcome<String> {
    let busy: Vec<_> = (0..tasks)
        .map(|_| {
            asyncio::create_task(async {
                loop {
                    let end = Instant::now() + Duration::from_micros(1);
                    while Instant::now() < end {
                        black_box(());
                    }
                    asyncio::yield_now().await;
                }
            })
        })
        .collect();
    let mut late = Vec::new();
    for _ in 0..300 {
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = sender.send(Instant::now());
        });
        late.push(receiver.await?.elapsed());
    }
    late.sort();
    for task in busy {
        task.cancel();
    }
    let micros = |share: usize| late[(late.len() - 1) * share / 100].as_secs_f64() * 1e6;
    let (middle, most, last) = (micros(50), micros(99), micros(100));
    Ok(format!("| {tasks} | a task of tokio | {middle:.1} | {most:.1} | {last:.1} |"))
}
