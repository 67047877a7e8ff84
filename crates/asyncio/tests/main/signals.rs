//! A service that is told to end, and shuts down gracefully.

use std::io;
use std::time::Duration;

use asyncio::event_loop::raise_signal;
use asyncio::{Signal, Signals, create_task, open_connection, start_server};

#[asyncio::testing::test]
async fn a_service_that_is_told_to_end_answers_who_is_there() -> io::Result<()> {
    let mut ends = Signals::new([Signal::TERM, Signal::INT])?;
    let server = start_server("127.0.0.1:0", async |mut reader, writer| {
        writer.write(&reader.read_line().await?);
        writer.close().await
    })
    .await?;
    let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    while server.client_count() == 0 {
        asyncio::yield_now().await;
    }
    let service = create_task(async move {
        let signal = ends.next().await;
        server.shutdown(Duration::from_secs(60)).await;
        signal
    });
    raise_signal(Signal::TERM)?;
    asyncio::yield_now().await;
    writer.write("last words\n");
    assert_eq!(reader.read_line().await?, "last words\n");
    assert_eq!(service.await?, Signal::TERM);
    Ok(())
}
