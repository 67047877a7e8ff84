//! `open_connection`, `start_server`, `StreamWriter`, over loopback.

use std::io;

use asyncio_net::{open_connection, start_server};
use asyncio_task::run;

#[test]
fn echo() {
    run(async {
        let server = start_server("127.0.0.1:0", async |mut reader, writer| {
            loop {
                let data = reader.read(65_536).await?;
                if data.is_empty() {
                    return writer.close().await;
                }
                writer.write(&data);
                writer.drain().await?;
            }
        })
        .await?;
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        for size in [1, 100, 10_000, 1_000_000, 5_000_000] {
            let sent: Vec<u8> = (0..size).map(|at| at as u8).collect();
            writer.write(&sent);
            assert!(reader.read_exactly(size).await? == sent);
        }
        writer.write_eof();
        assert_eq!(reader.read(1).await?, "");
        writer.close().await?;
        server.close();
        server.wait_closed().await;
        io::Result::Ok(())
    })
    .unwrap();
}
