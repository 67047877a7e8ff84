//! The demo: an echo server and a thousand clients on one loop in one thread, over real TCP
//! connections. It prints what it measured, and ends by itself.
//!
//! ```text
//! cargo run --release -p asyncio-examples --example demo
//! cargo run --release -p asyncio-examples --example demo 5000 10      connections, seconds
//! ```

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::{Event, StreamReader, StreamWriter, Task};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The message that each client sends and gets back.
const MESSAGE: [u8; 1024] = [b'.'; 1024];
/// How many file descriptors are needed besides the connections.
const OTHER_DESCRIPTORS: usize = 50;

#[asyncio::main]
async fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let wanted = numbers.next().unwrap_or(1000);
    let seconds = Duration::from_secs(numbers.next().unwrap_or(4) as u64);
    let connections = wanted.min(descriptors()? / 2 - OTHER_DESCRIPTORS);

    let server = asyncio::start_server("127.0.0.1:0", echo).await?;
    println!("An echo server on {}, one thread for it and its clients.", server.local_addr()?);

    let before = resident_memory();
    let load = Rc::new(Load::default());
    let clients = connect(server.local_addr()?, connections, &load).await?;
    println!("{connections} clients connected, and each was answered once.");
    let memory = match (before, resident_memory()) {
        (Some(before), Some(after)) => format!("{} bytes", (after - before) / connections as u64),
        _ => "unknown".to_owned(),
    };

    load.start.set();
    let full_speed = load.measure("full speed", seconds / 2).await;
    load.pause.set(Some(Duration::from_millis(100)));
    let easy = load.measure("with pauses", seconds / 2).await;
    let tasks = asyncio::all_tasks().len();

    load.over.set(true);
    for client in clients {
        client.await.expect("a client that ends")?;
    }
    server.close();
    server.wait_closed().await;

    println!("\n{:<18}{:>12}{:>12}{:>12}{:>12}", "", "requests/s", "p50", "p99", "longest");
    println!("{full_speed}\n{easy}");
    println!("\ntasks alive        {tasks}");
    println!("a connection       {memory} of memory: both ends, their tasks and streams");
    println!("closed             {} task left: this one", asyncio::all_tasks().len());
    Ok(())
}

/// Serves one client.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.fill_buf().await?;
        if data.is_empty() {
            return writer.close().await;
        }
        writer.write(data);
        let length = data.len();
        reader.consume(length);
        writer.drain().await?;
    }
}

/// The state that the clients and the measuring task share.
#[derive(Default)]
struct Load {
    start: Event,
    over: Cell<bool>,
    /// The approximate pause of a client after an answer.
    pause: Cell<Option<Duration>>,
    latencies: RefCell<Vec<Duration>>,
}

/// Connects clients and has each send its first message.
async fn connect(
    server: SocketAddr,
    connections: usize,
    load: &Rc<Load>,
) -> io::Result<Vec<Task<io::Result<()>>>> {
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let (mut reader, writer) = asyncio::open_connection(server).await?;
        ask(&mut reader, &writer).await?;
        // Their pauses differ, so that they do not all send at the same moment.
        let rest = 0.5 + number as f64 / connections as f64;
        clients.push(asyncio::create_task(client(reader, writer, rest, Rc::clone(load))));
    }
    Ok(clients)
}

async fn client(
    mut reader: StreamReader,
    writer: StreamWriter,
    rest: f64,
    load: Rc<Load>,
) -> io::Result<()> {
    load.start.wait().await;
    while !load.over.get() {
        let sent = Instant::now();
        ask(&mut reader, &writer).await?;
        load.latencies.borrow_mut().push(sent.elapsed());
        if let Some(pause) = load.pause.get() {
            asyncio::sleep(pause.mul_f64(rest)).await;
        }
    }
    writer.close().await
}

/// Sends a message and waits for it to come back.
async fn ask(reader: &mut StreamReader, writer: &StreamWriter) -> io::Result<()> {
    writer.write(MESSAGE);
    let answer = reader.read_exactly(MESSAGE.len()).await?;
    assert_eq!(answer, MESSAGE[..]);
    Ok(())
}

impl Load {
    /// Counts messages for this long, and shows the progress.
    async fn measure(&self, name: &str, duration: Duration) -> String {
        // Messages that were in transit at the start are not counted.
        asyncio::sleep(duration / 20).await;
        self.latencies.borrow_mut().clear();
        let start = Instant::now();
        while start.elapsed() < duration {
            asyncio::sleep(Duration::from_millis(50)).await;
            show(
                name,
                start.elapsed().as_secs_f64() / duration.as_secs_f64(),
                self.latencies.borrow().len(),
            );
        }
        let took = start.elapsed();
        clear_line();
        let mut latencies = self.latencies.take();
        latencies.sort();
        let rate = latencies.len() as f64 / took.as_secs_f64();
        let at = |percent: usize| {
            let index = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
            let latency = latencies.get(index).copied().unwrap_or_default();
            format!("{:.2} ms", latency.as_secs_f64() * 1e3)
        };
        format!("{name:<18}{rate:>12.0}{:>12}{:>12}{:>12}", at(50), at(99), at(100))
    }
}

/// Draws the progress if the output is a terminal.
fn show(name: &str, share: f64, requests: usize) {
    if io::stdout().is_terminal() {
        let done = (share.min(1.0) * 40.0) as usize;
        print!("\r{name:<18}[{:<40}] {requests:>9} requests", "#".repeat(done));
        // Errors of the progress output are ignored.
        let _ = io::stdout().flush();
    }
}

fn clear_line() {
    if io::stdout().is_terminal() {
        print!("\r{:<90}\r", "");
    }
}

/// Raises the limit of file descriptors to the system's maximum.
fn descriptors() -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.map_or(usize::MAX, |maximum| maximum as usize))
}

/// The resident memory of this process in bytes, if the system reports it.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
