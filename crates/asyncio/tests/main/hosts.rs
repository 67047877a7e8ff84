//! The example of docs/TESTING.md with a simulated network.

use asyncio::testing::Network;
use std::io;
use std::time::Duration;

/// A server that answers each line with the number of lines received since its start.
async fn counter() -> io::Result<()> {
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let server = asyncio::start_server(":7000", async move |mut reader, writer| {
        while reader.next_line().await?.is_some() {
            count.set(count.get() + 1);
            writer.write(format!("{}\n", count.get()));
            writer.drain().await?;
        }
        writer.close().await
    });
    server.await?.serve_forever().await
}

/// Asks the counter for a number, and retries when the connection breaks or the answer is late.
async fn ask() -> io::Result<String> {
    loop {
        let attempt = async {
            let (mut reader, writer) = asyncio::open_connection("counter:7000").await?;
            writer.write("next\n");
            let answer = reader.read_line().await?;
            writer.close().await?;
            io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        match asyncio::timeout(Duration::from_secs(3), attempt).await {
            Ok(Ok(answer)) if !answer.is_empty() => return Ok(answer),
            _ => asyncio::sleep(Duration::from_secs(1)).await,
        }
    }
}

#[asyncio::testing::test(seeds = 100)]
async fn a_client_outlives_partitions_and_restarts() -> io::Result<()> {
    let net = Network::new();
    let counter = net.host("counter", counter);
    net.link("test", "counter").latency(Duration::from_millis(20));
    assert_eq!(ask().await?, "1\n");

    net.partition(["test"], ["counter"]);
    let waiting = asyncio::create_task(ask());
    asyncio::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_done());
    net.heal();
    assert_eq!(waiting.await.unwrap()?, "2\n");

    counter.restart();
    assert_eq!(ask().await?, "1\n", "the restarted counter begins at zero");
    Ok(())
}
