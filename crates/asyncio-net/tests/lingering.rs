//! Closing a connection does not destroy sent bytes while the other side still sends.

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_net::{
    JoinedStream, Protocol, Server, StreamReader, StreamWriter, Transport, create_server,
    open_connection, start_server,
};
use asyncio_task::{sleep, timeout};
use common::{delivered, open_sockets, run, run_in_virtual_time, settle, turn, until};
use socket2::SockRef;

const ANSWER: usize = 200_000;

/// Held by each test that counts the sockets of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects, and sends a request and more than the server reads.
fn client(address: SocketAddr, request: &[u8]) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect(address)?;
    client.write_all(request)?;
    client.set_nonblocking(true)?;
    Ok(client)
}

/// Reads until the end of the stream, or an error, while the loop runs.
async fn read_all(client: &mut impl Read) -> (usize, Option<ErrorKind>) {
    let (mut count, mut buffer) = (0, vec![0; 16 * 1024]);
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return (count, None),
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => turn().await,
            Err(error) => return (count, Some(error.kind())),
        }
    }
}

/// A server that answers the first line and then calls `close`.
async fn by_streams(
    close: impl AsyncFn(StreamReader, StreamWriter) + 'static,
) -> io::Result<Server> {
    let answer = async move |mut reader: StreamReader, writer: StreamWriter| {
        reader.read_line().await?;
        // Waits until all that the client sent has arrived.
        settle().await;
        writer.write_bytes(vec![8; ANSWER]);
        close(reader, writer).await;
        io::Result::Ok(())
    };
    start_server("127.0.0.1:0", answer).await
}

/// A protocol that answers once, while it does not read.
struct Answers;

impl Protocol for Answers {
    fn data_received(&mut self, transport: &Transport, _: &[u8]) {
        let transport = transport.clone();
        transport.pause_reading();
        running_loop().call_later(Duration::from_millis(30), move || {
            transport.write(vec![8; ANSWER]);
            transport.close();
        });
    }
}

async fn servers() -> io::Result<Vec<(&'static str, Server)>> {
    Ok(vec![
        ("close", by_streams(async |_reader, writer| writer.close().await.unwrap()).await?),
        ("drop", by_streams(async |reader, writer| drop((writer, reader))).await?),
        ("flush first", by_streams(async |_reader, writer| writer.flush().await.unwrap()).await?),
        (
            "end first",
            by_streams(async |_reader, writer| {
                writer.write_eof();
                writer.flush().await.unwrap();
            })
            .await?,
        ),
        ("protocol", create_server("127.0.0.1:0", || Answers).await?),
    ])
}

// early_answer
#[test]
fn an_answer_arrives_although_the_request_was_not_read() {
    let _alone = alone();
    run(async || {
        for (name, server) in servers().await? {
            for (first, later) in [(100, 0), (20_000, 0), (100, 20_000), (100_000, 100_000)] {
                let mut request = vec![b'z'; first];
                request[10] = b'\n';
                let mut client = client(server.local_addr()?, &request)?;
                // With a long body the server's answer waits in its queue for a while.
                let mut answer = [0; 1000];
                let mut got = 0;
                while got == 0 {
                    turn().await;
                    got = client.read(&mut answer).unwrap_or(0);
                }
                for piece in vec![b'z'; later].chunks(5000) {
                    client.write_all(piece)?;
                    turn().await;
                }
                let (count, error) = read_all(&mut client).await;
                assert_eq!((got + count, error), (ANSWER, None), "{name}, {first}, {later}");
            }
            server.shutdown(Duration::from_secs(60)).await;
        }
        Ok(())
    });
}

/// Servers that read the whole request, answer, and close in different ways.
async fn all_read() -> io::Result<Vec<(&'static str, Server)>> {
    let by_streams = async |close: fn(&StreamWriter)| {
        let answer = async move |mut reader: StreamReader, writer: StreamWriter| {
            reader.read_line().await?;
            writer.write_bytes(vec![8; ANSWER]);
            close(&writer);
            io::Result::Ok(())
        };
        start_server("127.0.0.1:0", answer).await
    };
    let stays = async |mut reader: StreamReader, writer: StreamWriter| {
        reader.read_line().await?;
        writer.write_bytes(vec![8; ANSWER]);
        std::future::pending::<io::Result<()>>().await
    };
    Ok(vec![
        ("close", by_streams(|writer| drop(writer.close())).await?),
        ("return", by_streams(|_| ()).await?),
        ("end first", by_streams(StreamWriter::write_eof).await?),
        ("close_clients", start_server("127.0.0.1:0", stays).await?),
        ("shutdown", by_streams(|writer| drop(writer.close())).await?),
        ("protocol", create_server("127.0.0.1:0", || Answers).await?),
    ])
}

// early_answer
#[test]
fn an_answer_arrives_although_the_other_side_goes_on_sending_after_the_close() {
    let _alone = alone();
    run(async || {
        for (name, server) in all_read().await? {
            let mut client = client(server.local_addr()?, b"request\n")?;
            until(|| client.peek(&mut [0]).is_ok()).await;
            let grace = Duration::from_secs(60);
            match name {
                "close_clients" => server.close_clients(),
                "shutdown" => server.shutdown(grace).await,
                _ => {}
            }
            if name != "close_clients" {
                let (mut count, mut buffer) = (0, vec![0; ANSWER]);
                while count < ANSWER - 1 && name != "shutdown" {
                    count += client.read(&mut buffer[..ANSWER - 1 - count]).unwrap_or(0);
                    turn().await;
                }
                until(|| server.client_count() == 0).await;
                for _ in 0..3 {
                    client.write_all(b"later")?;
                    settle().await;
                }
                let rest = read_all(&mut client).await;
                assert_eq!((count + rest.0, rest.1), (ANSWER, None), "{name}");
            } else {
                client.write_all(b"later")?;
                settle().await;
                assert_eq!(read_all(&mut client).await, (ANSWER, None), "{name}");
            }
            drop(client);
            // In the case `close_clients` a handler still runs, so the server must not wait for it.
            let grace = if name == "close_clients" { Duration::ZERO } else { 2 * grace };
            timeout(Duration::from_secs(60), server.shutdown(grace)).await.unwrap();
        }
        Ok(())
    });
}

// early_answer
#[test]
fn a_client_that_closes_first_gets_the_answer_of_a_server_that_sends_on() {
    let _alone = alone();
    run(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let (_reader, writer) = open_connection(listener.local_addr()?).await?;
        let (mut server, _) = listener.accept()?;
        server.set_nonblocking(true)?;
        writer.write(b"good bye");
        writer.close().await?;
        for _ in 0..3 {
            server.write_all(b"later")?;
            settle().await;
        }
        assert_eq!(read_all(&mut server).await, (8, None));
        Ok(())
    });
}

#[test]
fn nobody_waits_for_a_client_that_is_quiet_and_it_is_given_up_after_five_seconds() {
    let _alone = alone();
    run_in_virtual_time(async || {
        let others = open_sockets();
        let server = start_server("127.0.0.1:0", async |mut reader: StreamReader, writer| {
            reader.read_line().await?;
            writer.write(b"answer");
            io::Result::Ok(())
        })
        .await?;
        let mut clients = Vec::new();
        for _ in 0..300 {
            clients.push(client(server.local_addr()?, b"request\n")?);
            until(|| clients[clients.len() - 1].peek(&mut [0]).is_ok()).await;
        }
        until(|| server.client_count() == 0).await;
        let start = running_loop().time();
        server.shutdown(Duration::from_secs(60)).await;
        assert_eq!(running_loop().time(), start, "no client has sent anything");
        let kept = open_sockets() - clients.len() - others;
        assert_eq!(kept, 256, "the limit of kept sockets");
        sleep(Duration::from_millis(4900)).await;
        assert_eq!(open_sockets(), clients.len() + kept + others);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(open_sockets(), clients.len() + others);
        for client in &mut clients {
            assert_eq!(read_all(client).await, (6, None));
        }
        Ok(())
    });
}

// early_answer
#[test]
fn close_clients_does_not_destroy_what_was_sent() {
    let _alone = alone();
    run(async || {
        let server = start_server("127.0.0.1:0", async |mut reader: StreamReader, writer| {
            reader.read_line().await?;
            writer.write_bytes(vec![8; ANSWER]);
            std::future::pending::<io::Result<()>>().await
        })
        .await?;
        let mut client = client(server.local_addr()?, b"request\nbody")?;
        until(|| client.peek(&mut [0]).is_ok()).await;
        client.write_all(b"more")?;
        server.close_clients();
        assert_eq!(read_all(&mut client).await, (ANSWER, None));
        server.abort_clients();
        Ok(())
    });
}

// early_answer
#[test]
fn a_unix_socket_ends_regularly_although_not_everything_was_read() {
    let _alone = alone();
    run(async || {
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(b"unread")?;
        theirs.set_nonblocking(true)?;
        let (_reader, writer) = JoinedStream::from_std(ours)?.split();
        writer.write(b"answer");
        writer.close().await?;
        theirs.write_all(b"later")?;
        assert_eq!(read_all(&mut theirs).await, (6, None));
        Ok(())
    });
}

#[test]
fn abort_stays_a_reset() {
    let _alone = alone();
    run(async || {
        let server = by_streams(async |_reader, writer| {
            // Waits until the client has the first bytes and has sent more.
            settle().await;
            writer.transport().abort();
        })
        .await?;
        let mut client = client(server.local_addr()?, b"request\n")?;
        until(|| client.peek(&mut [0]).is_ok()).await;
        client.write_all(b"body")?;
        assert_eq!(read_all(&mut client).await.1, Some(ErrorKind::ConnectionReset));
        Ok(())
    });
}

/// Makes a connection that the server has closed with an unread request. Returns the client, and
/// the number of open sockets without that connection.
async fn lingering(server: &Server) -> io::Result<(TcpStream, usize)> {
    let client = client(server.local_addr()?, b"request\nbody")?;
    let before = open_sockets();
    until(|| server.client_count() == 1).await;
    assert_eq!(open_sockets(), before + 1);
    until(|| server.client_count() == 0).await;
    assert_eq!(open_sockets(), before + 1, "the socket lingers");
    Ok((client, before))
}

async fn answers() -> io::Result<Server> {
    start_server("127.0.0.1:0", async |mut reader: StreamReader, writer: StreamWriter| {
        // With a small receive buffer the system distinguishes read from unread bytes.
        writer.transport().with_socket(|socket| {
            socket.set_recv_buffer_size(100_000).unwrap();
        });
        reader.read_line().await?;
        sleep(Duration::from_millis(1)).await;
        writer.write(b"answer");
        io::Result::Ok(())
    })
    .await
}

#[test]
fn a_client_that_falls_silent_is_waited_for_for_five_seconds() {
    let _alone = alone();
    run_in_virtual_time(async || {
        let server = answers().await?;
        let (mut client, gone) = lingering(&server).await?;
        sleep(Duration::from_millis(4900)).await;
        assert_eq!(open_sockets(), gone + 1);
        client.write_all(b"still here")?;
        settle().await;
        sleep(Duration::from_millis(4900)).await;
        assert_eq!(open_sockets(), gone + 1);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(open_sockets(), gone);
        Ok(())
    });
}

#[test]
fn a_client_that_never_ends_is_cut_off_after_thirty_seconds() {
    let _alone = alone();
    run_in_virtual_time(async || {
        let server = answers().await?;
        let (mut client, gone) = lingering(&server).await?;
        for _ in 0..9 {
            sleep(Duration::from_secs(3)).await;
            client.write_all(b"more and more")?;
            settle().await;
        }
        sleep(Duration::from_millis(2900)).await;
        assert_eq!(open_sockets(), gone + 1);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(open_sockets(), gone);
        assert_eq!(read_all(&mut client).await, (6, None));
        Ok(())
    });
}

#[test]
fn a_client_that_floods_is_cut_off_after_64_mebibytes() {
    let _alone = alone();
    run(async || {
        let server = answers().await?;
        let (mut client, gone) = lingering(&server).await?;
        let flood = vec![0; 1024 * 1024];
        let mut sent = 0;
        while open_sockets() > gone {
            sent += client.write(&flood).unwrap_or(0);
            turn().await;
        }
        assert!(sent > 60 * 1024 * 1024, "{sent}");
        assert!(sent < 80 * 1024 * 1024, "{sent}");
        Ok(())
    });
}

#[test]
fn shutdown_gives_clients_that_still_send_its_grace_and_no_more() {
    let _alone = alone();
    run_in_virtual_time(async || {
        for (grace, expected) in [(2, 2), (60, 5)] {
            let server = answers().await?;
            let (mut client, gone) = lingering(&server).await?;
            let start = running_loop().time();
            server.shutdown(Duration::from_secs(grace)).await;
            let took = (running_loop().time() - start).as_secs_f64();
            assert!((took - expected as f64).abs() < 0.1, "{took}");
            assert_eq!(open_sockets(), gone - 1, "the listener is closed, too");
            assert_eq!(read_all(&mut client).await, (6, None));
        }
        let server = answers().await?;
        let (client, _) = lingering(&server).await?;
        drop(client);
        timeout(Duration::from_secs(1), server.shutdown(Duration::from_secs(60))).await.unwrap();
        Ok(())
    });
}

#[test]
fn a_loop_that_ends_waits_for_nobody_and_resets_nobody_who_is_silent() {
    let _alone = alone();
    let mut client = None;
    let mut gone = 0;
    run_in_virtual_time(async || {
        let server = answers().await?;
        let lingering = lingering(&server).await?;
        (client, gone) = (Some(lingering.0), lingering.1);
        client.as_mut().unwrap().write_all(b"the last")?;
        delivered();
        Ok(())
    });
    let mut client = client.unwrap();
    client.set_nonblocking(false).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn a_connection_without_unread_bytes_is_closed_at_once() {
    let _alone = alone();
    run(async || {
        for request in ["request\n", "request\nbody"] {
            let (ours, mut theirs) = UnixStream::pair()?;
            theirs.write_all(request.as_bytes())?;
            let before = open_sockets();
            let (mut reader, writer) = JoinedStream::from_std(ours)?.split();
            assert_eq!(reader.read_line().await?, "request\n");
            if request.ends_with("body") {
                assert_eq!(reader.read(10).await?, "body");
                SockRef::from(&theirs).shutdown(std::net::Shutdown::Write)?;
                assert_eq!(reader.read(10).await?, "");
            }
            writer.close().await?;
            assert_eq!(open_sockets(), before - 1);
        }
        Ok(())
    });
}
