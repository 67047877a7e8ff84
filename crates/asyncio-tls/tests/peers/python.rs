//! Python's asyncio with its `ssl`.

use std::io;

use asyncio_net::{open_connection, start_server};
use asyncio_task::run;
use asyncio_tls::{accept_tls, start_tls};

use super::common::echo_lines;
use super::program::{Files, Program};

/// Sends a megabyte there and back, and closes. With `plain`, TLS begins after a line.
const CLIENT: &str = r#"
import asyncio, ssl, sys
async def main(port, roots, plain):
    context = ssl.create_default_context(cafile=roots)
    if plain:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        transport = await asyncio.get_running_loop().start_tls(
            writer.transport, writer.transport.get_protocol(), context, server_hostname="localhost")
        writer._transport = transport
    else:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost")
    line = b"x" * 50_000 + b"\n"
    for _ in range(20):
        writer.write(line)
        assert await reader.readline() == line
    print(writer.get_extra_info("cipher")[1])
    writer.close()
    await writer.wait_closed()
    print("closed")
asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3] == "plain"))
"#;

/// Sends lines back, on a port that it prints.
const SERVER: &str = r#"
import asyncio, ssl, sys
async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()
    await writer.wait_closed()
async def main(chain, key):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main(sys.argv[1], sys.argv[2]))
"#;

#[test]
fn its_client_talks_to_our_server() {
    let files = Files::new();
    run(async {
        let tls = files.authority.server();
        let ready = start_server("127.0.0.1:0", echo_lines).tls(&tls).await?;
        let later = start_server("127.0.0.1:0", async move |mut reader, mut writer| {
            assert_eq!(reader.read_line().await?, "STARTTLS\n");
            writer.write("go\n");
            accept_tls(&mut reader, &mut writer, &tls).await?;
            echo_lines(reader, writer).await
        })
        .await?;
        for (server, how) in [(ready, "tls"), (later, "plain")] {
            let port = server.local_addr()?.port().to_string();
            let args = ["-c", CLIENT, &port, &files.roots(), how];
            let Some(python) = Program::start("python3", &args) else { return Ok(()) };
            let (succeeded, text) = python.finish().await;
            assert!(succeeded && text.ends_with("closed\n"), "{how}: {text}");
            assert!(text.contains("TLSv1.3"), "{text}");
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn our_client_talks_to_its_server() {
    let files = Files::new();
    let (chain, key) = files.sign("localhost");
    let Some(mut python) = Program::start("python3", &["-c", SERVER, &chain, &key]) else { return };
    let port: u16 = python.wait_for("port ").parse().unwrap();
    run(async {
        let tls = files.authority.client();
        for starts_late in [false, true] {
            let (mut reader, writer) = if starts_late {
                let (mut reader, mut writer) = open_connection(("127.0.0.1", port)).await?;
                start_tls(&mut reader, &mut writer, &tls, "localhost").await?;
                (reader, writer)
            } else {
                open_connection(("localhost", port)).tls(&tls).await?
            };
            let line = "x".repeat(60_000) + "\n";
            for _ in 0..20 {
                writer.write(&line);
                assert!(reader.read_line().await? == line);
            }
            writer.close().await?;
        }
        io::Result::Ok(())
    })
    .unwrap();
}
