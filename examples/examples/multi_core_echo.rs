//! An echo server on several cores: one loop accepts clients, and passes each to one of several
//! other loops, each on a thread of its own.
//!
//! ```text
//! cargo run --release -p asyncio-examples --example multi_core_echo
//! cargo run --release -p asyncio-examples --example multi_core_echo 127.0.0.1:8888
//! cargo run --release -p asyncio-examples --example multi_core_echo 127.0.0.1:8888 4
//! ```
//!
//! Without an address it runs its own client; with one it serves until Ctrl-C. The number is the
//! number of threads.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::time::Duration;

use asyncio::event_loop::{ThreadFuture, ThreadPromise};
use asyncio::net::{Intake, ServerAddress, create_acceptor, round_robin};
use asyncio::{
    LoopThread, RunError, Runner, Server, StreamReader, StreamWriter, gather, open_connection,
    start_server,
};

/// How long clients may take to finish before they are disconnected.
const GRACE: Duration = Duration::from_secs(5);

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    writeln!(writer, "{} speaking", thread_name());
    loop {
        let data = reader.fill_buf().await?;
        if data.is_empty() {
            return writer.close().await;
        }
        let count = data.len();
        writer.write(data);
        reader.consume(count);
        writer.drain().await?;
    }
}

fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// A loop that serves the clients that it receives.
struct Worker {
    _thread: LoopThread,
    stop: ThreadPromise<()>,
    done: ThreadFuture<io::Result<()>>,
}

impl Worker {
    fn start(number: usize) -> Result<(Self, Intake), Box<dyn Error>> {
        let thread = LoopThread::builder().name(format!("worker {number}")).start()?;
        let (ready, intake) = ThreadPromise::new();
        let (stop, stopped) = ThreadPromise::new();
        let done = thread.submit(move || serve(ready, stopped));
        let intake = intake.result(None)?;
        Ok((Self { _thread: thread, stop, done }, intake))
    }

    /// Waits for its clients, up to a limit.
    fn stop(self) -> Result<(), Box<dyn Error>> {
        self.stop.set_result(());
        Ok(self.done.result(None)??)
    }
}

/// The main function of each worker's loop.
async fn serve(ready: ThreadPromise<Intake>, stop: ThreadFuture<()>) -> io::Result<()> {
    let server = start_server(ServerAddress::nothing(), echo).await?;
    ready.set_result(server.intake());
    // The worker stops when it is told to, or when the sender is dropped.
    let _ = stop.await;
    server.shutdown(GRACE).await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let threads = match arguments.next() {
        Some(number) => number.parse()?,
        None => std::thread::available_parallelism().map_or(1, NonZero::get),
    };
    let workers = (1..=threads).map(Worker::start).collect::<Result<Vec<_>, _>>()?;
    let (workers, intakes): (Vec<_>, Vec<_>) = workers.into_iter().unzip();

    let accepting = Runner::new().run(async {
        let listen_on = address.as_deref().unwrap_or("127.0.0.1:0");
        let acceptor = create_acceptor(listen_on, round_robin(intakes)).await?;
        println!("{threads} threads serve {}", acceptor.local_addr()?);
        match address {
            Some(_) => acceptor.serve_forever().await,
            None => show(&acceptor, threads).await,
        }
    });
    // The server accepts no more. Now end the remaining clients.
    workers.into_iter().try_for_each(Worker::stop)?;
    match accepting {
        Err(RunError::Interrupted) => Ok(()),
        accepting => Ok(accepting??),
    }
}

/// Three clients for each thread, concurrently.
async fn show(acceptor: &Server, threads: usize) -> io::Result<()> {
    let address = acceptor.local_addr()?;
    let clients = (0..3 * threads).map(|number| asyncio::create_task(talk(address, number)));
    let mut names = BTreeSet::new();
    for name in gather(clients).await {
        names.insert(name.expect("a result")?);
    }
    println!("answers came from {names:?}");
    assert_eq!(names.len(), threads);
    Ok(())
}

async fn talk(address: SocketAddr, number: usize) -> io::Result<String> {
    let (mut reader, writer) = open_connection(address).await?;
    let greeting = reader.read_line().await?;
    let message = format!("hello from client {number}\n");
    writer.write(&message);
    assert_eq!(reader.read_line().await?, message);
    writer.close().await?;
    let name = String::from_utf8_lossy(&greeting).into_owned();
    Ok(name.trim_end_matches(" speaking\n").to_owned())
}
