//! `nc` and `socat`: by pipes, and as a relay.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use asyncio_net::{
    StreamReader, StreamWriter, create_server, create_unix_server, open_connection,
    open_unix_connection, start_server,
};
use asyncio_task::gather;

use crate::common::{Echo, TempDir, bytes, run, turn};
use crate::program::{Program, is_missing};

const LENGTH: usize = 4 * 1024 * 1024;

/// Runs a client with a file as its input, and checks that the client outputs the same bytes.
async fn send_and_get_back(client: &mut Command, dir: &TempDir) -> io::Result<()> {
    let (input, output) = (dir.path("input"), dir.path("output"));
    std::fs::write(&input, bytes(LENGTH))?;
    client.stdin(File::open(input)?).stdout(File::create(&output)?);
    Program::start(client).finish().await?;
    assert!(std::fs::read(output)? == bytes(LENGTH));
    Ok(())
}

/// Connects to a program that is about to listen. No other program uses its path.
async fn connect_soon<T>(connect: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match connect().await {
            // The program has bound its path and does not listen yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => turn().await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => turn().await,
            result => return result,
        }
    }
}

/// Sends a lot of data, ends the sending half, and receives all of it back.
async fn echo((mut reader, writer): (StreamReader, StreamWriter)) -> io::Result<()> {
    let send = async {
        for chunk in bytes(LENGTH).chunks(100_000) {
            writer.write(chunk);
            writer.drain().await?;
        }
        writer.write_eof();
        io::Result::Ok(())
    };
    let (received, sent) = gather((reader.read_to_end(), send)).await;
    sent?;
    assert!(received? == bytes(LENGTH));
    writer.close().await
}

#[test]
fn nc_is_a_client() {
    if is_missing("nc", "-N") {
        return;
    }
    run(async || {
        let dir = TempDir::new();
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let port = server.local_addr()?.port().to_string();
        // With `-N`, nc shuts down its sending half when its input ends.
        send_and_get_back(Command::new("nc").args(["-N", "127.0.0.1", &port]), &dir).await?;
        let path = dir.path("socket");
        let _server = create_unix_server(&path, || Echo).await?;
        send_and_get_back(Command::new("nc").args(["-N", "-U"]).arg(&path), &dir).await
    });
}

#[test]
fn nc_is_a_server() {
    if is_missing("nc", "-N") {
        return;
    }
    run(async || {
        let dir = TempDir::new();
        let (input, output) = (dir.path("input"), dir.path("output"));
        std::fs::write(&input, bytes(LENGTH))?;
        let nc = |listen: &[&str], place: &Path| {
            let mut command = Command::new("nc");
            command.args(["-N", "-v"]).args(listen).arg(place);
            command.stdin(File::open(&input).unwrap()).stdout(File::create(&output).unwrap());
            Program::start(command.stderr(Stdio::piped()))
        };
        let path = dir.path("socket");
        for unix in [false, true] {
            let (peer, (mut reader, writer)) = if unix {
                let peer = nc(&["-l", "-U"], &path);
                (peer, connect_soon(async || open_unix_connection(&path).await).await?)
            } else {
                let mut peer = nc(&["-n", "-l", "127.0.0.1"], Path::new("0"));
                let address = format!("127.0.0.1:{}", peer.port());
                (peer, open_connection(address).await?)
            };
            writer.write(bytes(LENGTH));
            // A listening nc exits when the peer ends its half, so everything has to be read
            // before.
            assert!(reader.read_to_end().await? == bytes(LENGTH));
            writer.close().await?;
            peer.finish().await?;
            assert!(std::fs::read(&output)? == bytes(LENGTH));
        }
        Ok(())
    });
}

#[test]
fn socat_is_a_client() {
    if is_missing("socat", "-t") {
        return;
    }
    run(async || {
        let dir = TempDir::new();
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let target = format!("TCP:{}", server.local_addr()?);
        // `-t60`: socat waits for the answer for up to 60 seconds after its input has ended.
        send_and_get_back(Command::new("socat").args(["-t60", "-", &target]), &dir).await
    });
}

#[test]
fn socat_is_in_between() {
    if is_missing("socat", "-t") {
        return;
    }
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let server = start_server("127.0.0.1:0", async |mut reader, writer| {
            loop {
                let data = reader.read(100_000).await?;
                if data.is_empty() {
                    return writer.close().await;
                }
                writer.write_bytes(data);
                writer.drain().await?;
            }
        })
        .await?;
        let target = format!("TCP:{}", server.local_addr()?);
        let listen = format!("UNIX-LISTEN:{}", path.display());
        let mut command = Command::new("socat");
        command.args(["-t60", &listen, &target]).stdin(Stdio::null());
        let relay = Program::start(&mut command);
        echo(connect_soon(async || open_unix_connection(&path).await).await?).await?;
        relay.finish().await?;
        Ok(())
    });
}

#[test]
fn socat_and_cat_are_a_server() {
    if is_missing("socat", "-t") {
        return;
    }
    run(async || {
        let mut command = Command::new("socat");
        // With `-d -d`, socat reports the port on which it listens.
        command.args(["-d", "-d", "-t60", "TCP-LISTEN:0,bind=127.0.0.1", "EXEC:cat"]);
        let mut peer = Program::start(command.stdin(Stdio::null()).stderr(Stdio::piped()));
        echo(open_connection(format!("127.0.0.1:{}", peer.port())).await?).await?;
        peer.finish().await?;
        Ok(())
    });
}
