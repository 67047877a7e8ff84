//! A socket's round trip while tasks keep the loop busy: the server is a process of its own, on one
//! core, this process is its client on another.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin busy
//! ```
//!
//! Each of a number of tasks only yields. The client sends a byte, waits for the answer, and pauses
//! for up to 100 µs. The floor is a server that only looks at its one socket: it shows the time of
//! the client and of the system.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_benches::contest::median;
use asyncio_benches::process::{LOAD_CORE, SERVER_CORE, ServerProcess, pin_to, warn_if_busy};
use asyncio_benches::runtime::{Asyncio, Runtime, Tokio};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 3;
const ROUND_TRIPS: usize = 2000;
/// Serves while a number of tasks yield.
type Serve = fn(usize) -> Outcome<()>;

const SERVERS: &[(&str, Serve)] = &[("floor", floor), ("asyncio", asyncio), ("tokio", tokio)];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, tasks] = arguments.as_slice() {
        pin_to(SERVER_CORE);
        let server = SERVERS.iter().find(|server| server.0 == name).ok_or("no such server")?;
        return (server.1)(tasks.parse()?);
    }
    warn_if_busy();
    pin_to(LOAD_CORE);
    println!("| tasks that yield | server | median µs | p99 µs |\n|---|---|---|---|");
    for tasks in [0, 1, 100, 1000] {
        let mut figures = vec![(Vec::new(), Vec::new()); SERVERS.len()];
        for _ in 0..ROUNDS {
            for ((name, _), figures) in SERVERS.iter().zip(&mut figures) {
                let (middle, late) = measure(name, tasks)?;
                figures.0.push(middle);
                figures.1.push(late);
            }
        }
        for ((name, _), (middle, late)) in SERVERS.iter().zip(figures) {
            println!("| {tasks} | {name} | {:.0} | {:.0} |", median(middle), median(late));
        }
    }
    Ok(())
}

/// Median and 99th percentile, in microseconds.
fn measure(name: &str, tasks: usize) -> Outcome<(f64, f64)> {
    let server = ServerProcess::start(&[name, &tasks.to_string()])?;
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_nodelay(true)?;
    let mut took = Vec::with_capacity(ROUND_TRIPS);
    for number in 0..ROUND_TRIPS {
        let start = Instant::now();
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        took.push(start.elapsed());
        thread::sleep(Duration::from_micros(number as u64 * 37 % 100));
    }
    took.sort();
    let at = |share: usize| took[took.len() * share / 100].as_secs_f64() * 1e6;
    Ok((at(50), at(99)))
}

/// Tasks that only yield.
fn spin<R: Runtime>(tasks: usize) {
    for _ in 0..tasks {
        drop(R::spawn(async {
            loop {
                R::yield_now().await;
            }
        }));
    }
}

fn floor(_: usize) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => stream.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(error) => return Err(error.into()),
        }
    }
}

fn asyncio(tasks: usize) -> Outcome<()> {
    use asyncio::{StreamReader, StreamWriter, start_server};

    async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
        loop {
            let data = reader.read(64).await?;
            if data.is_empty() {
                return writer.close().await;
            }
            writer.write(&data);
            writer.drain().await?;
        }
    }

    Asyncio::block_on(async move {
        let server = start_server("127.0.0.1:0", echo).await?;
        println!("{}", server.local_addr()?.port());
        spin::<Asyncio>(tasks);
        Ok(server.serve_forever().await?)
    })
}

fn tokio(tasks: usize) -> Outcome<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    Tokio::block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        spin::<Tokio>(tasks);
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; 64];
        while let count @ 1.. = stream.read(&mut buffer).await? {
            stream.write_all(&buffer[..count]).await?;
        }
        Ok(())
    })
}
