//! Servers on two cores under a paced load: how long a small request takes, alone and beside a
//! connection each of whose requests keeps a core busy for a millisecond.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin cores
//! ```
//!
//! Ours is a `LoopPool` of two loops, which get the connections by turns and keep them; tokio's is
//! its multi-thread scheduler with two workers, which take tasks from each other.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_benches::contest::median;
use asyncio_benches::process::{ServerProcess, warn_if_busy};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Threads and loops.
const CORES: usize = 2;
/// What a heavy request costs the server.
const HEAVY: Duration = Duration::from_millis(1);
/// Connections that ask for little, each from a thread of its own, so that none waits for another.
const CONNECTIONS: u32 = 64;
/// From a request to the next one of the connection, at least.
const PAUSE: Duration = Duration::from_millis(8);
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);

type Serve = fn() -> Outcome<()>;

const SERVERS: [(&str, Serve); 2] = [("asyncio", asyncio::serve), ("tokio", tokio::serve)];

fn main() -> Outcome<()> {
    if let Some(name) = std::env::args().nth(1) {
        let server = SERVERS.iter().find(|server| server.0 == name).ok_or("no such server")?;
        return (server.1)();
    }
    warn_if_busy();
    println!("| beside | server | p50 µs | p99 µs | p99.9 µs | CPU µs per request |");
    println!("|---|---|---|---|---|---|");
    for beside in ["nothing", "a heavy connection"] {
        let mut figures = SERVERS.map(|_| [const { Vec::new() }; 4]);
        for _ in 0..ROUNDS {
            for ((name, _), figures) in SERVERS.iter().zip(&mut figures) {
                let measured = measure(name, beside != "nothing")?;
                figures.iter_mut().zip(measured).for_each(|(all, one)| all.push(one));
            }
        }
        for ((name, _), figures) in SERVERS.iter().zip(figures) {
            let [p50, p99, p999, cpu] = figures.map(median);
            println!("| {beside} | {name} | {p50:.0} | {p99:.0} | {p999:.0} | {cpu:.1} |");
        }
    }
    Ok(())
}

/// Latencies of the small requests in microseconds (median, 99th and 99.9th percentile), and the
/// server's CPU time for each.
fn measure(name: &str, heavy: bool) -> Outcome<[f64; 4]> {
    let server = ServerProcess::start(&[name])?;
    let address = server.address();
    let before = server.cpu_time()?;
    let begin = Instant::now();
    let end = begin + ROUND;
    let mut took = thread::scope(|scope| {
        let beside = heavy.then(|| scope.spawn(move || ask_heavily(address, end)));
        let asking: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let first = begin + PAUSE / CONNECTIONS * number;
                scope.spawn(move || ask_now_and_then(address, first, end))
            })
            .collect();
        let mut took = Vec::new();
        for thread in asking {
            took.extend(thread.join().expect("a thread of the load")?);
        }
        beside.map_or(Ok(()), |thread| thread.join().expect("the heavy connection"))?;
        io::Result::Ok(took)
    })?;
    let cpu = (server.cpu_time()? - before).as_secs_f64() * 1e6 / took.len() as f64;
    took.sort();
    let at = |share: usize| took[took.len() * share / 1000].as_secs_f64() * 1e6;
    Ok([at(500), at(990), at(999), cpu])
}

/// Asks at `first`, and again [`PAUSE`] after each request.
fn ask_now_and_then(
    address: SocketAddr,
    first: Instant,
    end: Instant,
) -> io::Result<Vec<Duration>> {
    let mut stream = connect(address)?;
    let (mut took, mut due) = (Vec::new(), first);
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = Instant::now();
        ask(&mut stream, b"little\n")?;
        took.push(start.elapsed());
        due = start + PAUSE;
    }
    Ok(took)
}

/// One heavy request after the other.
fn ask_heavily(address: SocketAddr, end: Instant) -> io::Result<()> {
    let mut stream = connect(address)?;
    while Instant::now() < end {
        ask(&mut stream, b"heavy\n")?;
    }
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks, and takes the answer, which is small and comes at once.
fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    match stream.read(&mut [0; 64])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Computes for as long as a request takes that begins so.
fn work(request: &[u8]) {
    if request.first() == Some(&b'h') {
        let end = Instant::now() + HEAVY;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    }
}

mod asyncio {
    use super::*;
    use ::asyncio::event_loop::ThreadPromise;
    use ::asyncio::net::{Intake, ServerAddress, create_acceptor, round_robin};
    use ::asyncio::task::LoopPool;
    use ::asyncio::{StreamReader, StreamWriter, start_server};

    /// The first loop accepts, and hands connections to all by turns.
    pub(super) fn serve() -> Outcome<()> {
        let pool = LoopPool::start(CORES)?;
        let mut intakes = Vec::new();
        for number in 0..CORES {
            let (ready, intake) = ThreadPromise::new();
            drop(pool.submit_to(number, move || serve_handed_over(ready)));
            intakes.push(intake.result(None)?);
        }
        pool.submit_to(0, move || accept(intakes)).result(None)??;
        Ok(())
    }

    async fn serve_handed_over(ready: ThreadPromise<Intake>) -> io::Result<()> {
        let server = start_server(ServerAddress::nothing(), echo).await?;
        ready.set_result(server.intake());
        server.serve_forever().await
    }

    async fn accept(intakes: Vec<Intake>) -> io::Result<()> {
        let acceptor = create_acceptor("127.0.0.1:0", round_robin(intakes)).await?;
        println!("{}", acceptor.local_addr()?.port());
        acceptor.serve_forever().await
    }

    async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
        loop {
            let data = reader.read(64).await?;
            if data.is_empty() {
                return Ok(());
            }
            work(&data);
            writer.write(&data);
            writer.drain().await?;
        }
    }
}

mod tokio {
    use super::*;
    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
    use ::tokio::net::{TcpListener, TcpStream};
    use ::tokio::runtime::Builder;

    pub(super) fn serve() -> Outcome<()> {
        let runtime = Builder::new_multi_thread().worker_threads(CORES).enable_all().build()?;
        // A task, as the others are: the thread of `block_on` is none of the workers.
        runtime.block_on(runtime.spawn(accept()))??;
        Ok(())
    }

    async fn accept() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            ::tokio::spawn(echo(stream));
        }
    }

    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = [0; 64];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                length => {
                    work(&buffer[..length]);
                    stream.write_all(&buffer[..length]).await?;
                }
            }
        }
    }
}
