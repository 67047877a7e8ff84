//! Servers and clients over real sockets.

use std::io;

use asyncio::{StreamReader, StreamWriter};

/// Sends what comes, line by line.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(&line);
        writer.drain().await?;
    }
    writer.close().await
}

#[asyncio::testing::test]
async fn many_clients_talk_to_an_echo_server() -> io::Result<()> {
    let server = asyncio::start_server("127.0.0.1:0", echo).await?;
    let address = server.local_addr()?;
    let clients = [1, 2, 3].map(|number| {
        asyncio::create_task(async move {
            let (mut reader, writer) = asyncio::open_connection(address).await?;
            for message in 0..10 {
                let line = format!("{number} says {message}\n");
                writer.write(line.as_bytes());
                assert_eq!(reader.read_line().await?, line);
            }
            writer.write_eof();
            assert_eq!(reader.read_line().await?, "", "the server hangs up too");
            writer.close().await
        })
    });
    for client in clients {
        client.await.unwrap()?;
    }
    server.close();
    server.wait_closed().await;
    Ok(())
}

#[asyncio::testing::test]
async fn a_server_serves_until_its_task_is_cancelled() -> io::Result<()> {
    // The server has an IP address of its own, so that no other test gets its port after it has
    // closed.
    let host = if cfg!(target_os = "linux") { "127.0.0.2:0" } else { "127.0.0.1:0" };
    let server = asyncio::start_server(host, async |mut reader, writer| {
        let name = reader.read_line().await?;
        writer.write(format!("hello {}\n", String::from_utf8_lossy(name.trim_ascii())).as_bytes());
        writer.close().await
    })
    .await?;
    let address = server.local_addr()?;
    let serving = asyncio::create_task(async move { server.serve_forever().await });

    let (mut reader, writer) = asyncio::open_connection(address).await?;
    writer.write(b"ada\n");
    assert_eq!(reader.read_to_end().await?, "hello ada\n");

    serving.cancel();
    assert!(serving.await.unwrap_err().is_cancelled());
    let refused = asyncio::open_connection(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    Ok(())
}

struct Shout;

impl asyncio::Protocol for Shout {
    fn data_received(&mut self, transport: &asyncio::Transport, data: &[u8]) {
        transport.write(data.to_ascii_uppercase());
    }
}

#[asyncio::testing::test]
async fn a_protocol_is_called_back_with_what_came() -> io::Result<()> {
    let server = asyncio::create_server("127.0.0.1:0", || Shout).await?;
    let (mut reader, writer) = asyncio::open_connection(server.local_addr()?).await?;
    writer.write(b"quiet\n");
    assert_eq!(reader.read_line().await?, "QUIET\n");
    Ok(())
}
