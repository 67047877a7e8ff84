//! A server with a loop for each core: each loop accepts clients by itself, and all loops end
//! gracefully.
//!
//! ```text
//! cargo run --release -p asyncio-examples --example loop_pool
//! cargo run --release -p asyncio-examples --example loop_pool 127.0.0.1:8888
//! ```
//!
//! Without an address it runs its own client; with one it serves until Ctrl-C.

use std::error::Error;
use std::io;
use std::time::Duration;

use asyncio::event_loop::ThreadPromise;
use asyncio::task::LoopPool;
use asyncio::{Bytes, StreamReader, StreamWriter, gather, open_connection, start_server};

/// How long clients may take to finish before they are disconnected.
const GRACE: Duration = Duration::from_secs(5);

async fn upper(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line.to_ascii_uppercase());
        writer.drain().await?;
    }
    writer.close().await
}

/// The main function of each loop.
async fn serve(address: String, listening: ThreadPromise<String>) -> io::Result<()> {
    let server = start_server(address, upper).reuse_port(true).await?;
    listening.set_result(server.local_addr()?.to_string());
    LoopPool::stopping().await;
    server.shutdown(GRACE).await;
    Ok(())
}

async fn ask(address: String, number: usize) -> io::Result<Bytes> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(format!("client {number}\n"));
    let answer = reader.read_line().await?;
    writer.close().await?;
    Ok(answer)
}

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().nth(1);
    let pool = LoopPool::builder().name("server").start()?;
    let mut address = given.clone().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let mut served = Vec::new();
    for number in 0..pool.loop_count() {
        // The first loop may choose the port; the others share it.
        let (listening, listens) = ThreadPromise::new();
        served.push(pool.submit_to(number, move || serve(address, listening)));
        address = listens.result(None)?;
    }
    println!("{} loops serve {address}", pool.loop_count());

    if given.is_some() {
        asyncio::run(asyncio::event_loop::ctrl_c())?;
    } else {
        let clients = (0..8).map(|number| ask(address.clone(), number));
        let answers = asyncio::run(gather(clients.collect::<Vec<_>>()));
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer?, format!("CLIENT {number}\n"));
        }
        println!("8 clients were answered");
    }

    pool.shutdown(GRACE).result(None)?;
    for server in served {
        server.result(None)??;
    }
    Ok(())
}
