//! A synchronous program with a loop in a thread of its own: it starts a server on that loop, talks
//! to the server through the same loop, and stops it.
//!
//! ```text
//! cargo run -p asyncio-examples --example loop_thread
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use asyncio::{LoopThread, open_connection, sleep, start_server};

async fn serve() -> std::io::Result<SocketAddr> {
    let server = start_server("127.0.0.1:0", async |mut reader, writer| {
        while let Some(line) = reader.next_line().await? {
            writer.write(line.to_ascii_uppercase());
            writer.drain().await?;
        }
        writer.close().await
    })
    .await?;
    let address = server.local_addr()?;
    // It serves for as long as the loop runs.
    drop(asyncio::create_task(async move { server.serve_forever().await }));
    Ok(address)
}

async fn shout(address: SocketAddr, text: String) -> std::io::Result<String> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(&text);
    writer.write(b"\n");
    let line = reader.read_line().await?;
    writer.close().await?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    let event_loop = LoopThread::start()?;
    let address = event_loop.run(serve)??;

    // One after another, or many at a time.
    println!("{}", event_loop.run(move || shout(address, "hello".into()))??);
    let words = ["all", "at", "the", "same", "time"];
    let answers = words.map(|word| event_loop.submit(move || shout(address, word.into())));
    for (word, answer) in words.iter().zip(&answers) {
        let answer = answer.result(Some(Duration::from_secs(10)))??;
        println!("{answer}");
        assert_eq!(answer, word.to_uppercase());
    }

    // The program can stop waiting for a slow future, and cancel it.
    let slow = event_loop.submit(|| sleep(Duration::from_secs(1000)));
    println!("{}", slow.result(Some(Duration::from_millis(10))).expect_err("it takes longer"));
    assert!(slow.cancel());

    event_loop.stop();
    Ok(())
}
