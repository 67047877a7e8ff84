//! A server with blocking work: each request queries a database that may be called from one thread
//! only and blocks that thread. Meanwhile the loop serves other clients.
//!
//! ```text
//! cargo run -p asyncio-examples --example blocking_database
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use asyncio::{create_task, open_connection, start_server, sync_to_async};

thread_local! {
    /// Stands for a database connection that must not leave its thread.
    static DATABASE: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts visits. It blocks, as database drivers do.
fn visit(name: String) -> u64 {
    std::thread::sleep(Duration::from_millis(2));
    DATABASE.with_borrow_mut(|visits| {
        let count = visits.entry(name).or_insert(0);
        *count += 1;
        *count
    })
}

async fn ask(address: std::net::SocketAddr, name: &str) -> io::Result<String> {
    let (mut reader, writer) = open_connection(address).await?;
    writeln!(writer, "{name}");
    let answer = reader.read_line().await?;
    writer.close().await?;
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let server = start_server("127.0.0.1:0", async |mut reader, writer| {
        while let Some(line) = reader.next_line().await? {
            let name = String::from_utf8_lossy(&line).trim_end().to_owned();
            // Thread-sensitive: all calls run on the same thread, one after another.
            let count = sync_to_async(move || visit(name)).await?;
            writeln!(writer, "visit {count}");
            writer.drain().await?;
        }
        writer.close().await
    })
    .await?;
    let address = server.local_addr()?;

    let names = ["ada", "grace", "ada", "ada", "grace"];
    let clients = names.map(|name| create_task(async move { (name, ask(address, name).await) }));
    let mut answers = Vec::new();
    for client in clients {
        let (name, answer) = client.await.expect("an answer");
        println!("{name}: {}", answer.as_ref().expect("a connection"));
        answers.push((name, answer?));
    }
    answers.sort();
    assert_eq!(answers[2], ("ada", "visit 3".to_owned()));
    server.close();
    Ok(())
}
