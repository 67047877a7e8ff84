//! Faulty peers and addresses.

mod common;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use asyncio_net::{
    Address, DatagramProtocol, DatagramTransport, ReadError, StreamReader, StreamWriter,
    create_datagram_endpoint, create_server, open_connection, sock_connect, start_server,
};
use asyncio_task::{create_task, gather, timeout};
use common::{Echo, Log, Recorder, bytes, reports, run, run_in_virtual_time, silent_address};
use socket2::SockRef;

/// A stream, and its blocking peer.
async fn pair() -> io::Result<(StreamReader, StreamWriter, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    let (reader, writer) = open_connection(ours).await?;
    Ok((reader, writer, theirs))
}

fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_reset_in_the_middle_of_a_read_loses_nothing_that_came() {
    run(async || {
        let (mut reader, writer, mut theirs) = pair().await?;
        theirs.write_all(b"half of ")?;
        assert_eq!(reader.fill_buf().await?, b"half of ");
        let reading = create_task(async move {
            let error = reader.read_exactly(100).await.unwrap_err();
            (error, reader)
        });
        common::turn().await;
        reset(theirs);
        let (error, reader) = reading.await.unwrap();
        let ReadError::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(reader.buffered(), b"half of ");
        drop(writer);
        Ok(())
    });
}

#[test]
fn a_reset_in_the_middle_of_a_write_ends_it() {
    run(async || {
        let (mut reader, writer, mut theirs) = pair().await?;
        while writer.transport().write_buffer_size() == 0 {
            writer.write(bytes(100_000));
        }
        theirs.read_exact(&mut [0; 100_000])?;
        reset(theirs);
        let error = writer.close().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(writer.transport().write_buffer_size(), 0);
        // S-037
        let error = reader.read(1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_connection_that_is_reset_before_it_is_accepted_harms_nobody() {
    run(async || {
        let reports = reports();
        let recorder = Recorder::default();
        let by_protocol = create_server("127.0.0.1:0", {
            let recorder = recorder.clone();
            move || recorder.clone()
        })
        .start_serving(false)
        .await?;
        let log = Log::default();
        let by_streams = start_server("127.0.0.1:0", {
            let log = log.clone();
            async move |mut reader: StreamReader, writer: StreamWriter| {
                let data = reader.read(100).await;
                log.add(match &data {
                    Ok(data) => format!("{data:?}"),
                    Err(error) => error.kind().to_string(),
                });
                writer.write_bytes(data.unwrap_or_default());
            }
        })
        .start_serving(false)
        .await?;
        for server in [&by_protocol, &by_streams] {
            reset(TcpStream::connect(server.local_addr()?)?);
            let mut sends_first = TcpStream::connect(server.local_addr()?)?;
            sends_first.write_all(b"hello")?;
            reset(sends_first);
            server.start_serving();
        }
        recorder.log.until_count(5).await;
        let lines = recorder.log.lines();
        assert_eq!(lines.iter().filter(|line| *line == "lost ConnectionReset").count(), 2);
        assert!(lines.iter().any(|line| line == "data 5"), "{lines:?}");
        log.until_count(2).await;
        assert_eq!(log.take(), ["connection reset", r#"b"hello""#]);
        let (mut reader, writer) = open_connection(by_streams.local_addr()?).await?;
        writer.write(b"the next one");
        assert_eq!(reader.read_to_end().await?, "the next one");
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}

/// Sends and receives in pieces of a given size, with buffers as small as the system allows.
async fn echo_in_pieces(address: SocketAddr, length: usize, piece: usize) -> io::Result<()> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.transport().with_socket(|socket| {
        socket.set_send_buffer_size(1)?;
        socket.set_recv_buffer_size(1)
    });
    let send = async {
        for piece in bytes(length).chunks(piece) {
            writer.write(piece);
            writer.drain().await?;
        }
        writer.write_eof();
        io::Result::Ok(())
    };
    let receive = async {
        let mut received = Vec::new();
        loop {
            let data = reader.read(piece).await?;
            if data.is_empty() {
                return io::Result::Ok(received);
            }
            received.extend_from_slice(&data);
        }
    };
    let (sent, received) = gather((send, receive)).await;
    sent?;
    assert!(received? == bytes(length));
    writer.close().await
}

#[test]
fn one_byte_at_a_time_through_the_smallest_buffers() {
    run(async || {
        let by_protocol = create_server("127.0.0.1:0", || Echo).await?;
        let by_streams = start_server("127.0.0.1:0", async |mut reader, writer| {
            loop {
                let data = reader.read(1).await?;
                if data.is_empty() {
                    return writer.close().await;
                }
                writer.write(&data);
                writer.drain().await?;
            }
        })
        .await?;
        for server in [by_protocol, by_streams] {
            echo_in_pieces(server.local_addr()?, 5000, 1).await?;
            echo_in_pieces(server.local_addr()?, 20_000, 791).await?;
            server.close();
            server.wait_closed().await;
        }
        Ok(())
    });
}

#[test]
fn an_address_that_does_not_answer_is_given_up_after_a_while() {
    run_in_virtual_time(async || {
        let (_listener, _clients, silent) = silent_address();
        let start = asyncio_loop::running_loop().time();
        let connecting = timeout(Duration::from_secs(30), open_connection(silent).into_future());
        assert!(connecting.await.is_err());
        let connecting = timeout(
            Duration::from_secs(30),
            open_connection(vec![silent; 3])
                .happy_eyeballs_delay(Duration::from_millis(250))
                .into_future(),
        );
        assert!(connecting.await.is_err());
        let took = asyncio_loop::running_loop().time() - start;
        assert_eq!(took, Duration::from_secs(60));
        Ok(())
    });
}

struct NoDatagrams;

impl DatagramProtocol for NoDatagrams {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
}

#[test]
fn a_name_that_cannot_be_resolved_is_an_error_wherever_it_stands() {
    run(async || {
        // A label of a name has at most 63 characters, so no name server is asked.
        let name = format!("{}.example", "x".repeat(64));
        let name = name.as_str();
        let check = |error: io::Error| assert!(error.to_string().contains(name), "{error}");
        check(open_connection((name, 80)).await.unwrap_err());
        check(create_server((name, 0), || Echo).await.unwrap_err());
        let connecting = open_connection("127.0.0.1:1").local_addr((name, 0));
        check(connecting.await.unwrap_err());
        check(create_datagram_endpoint(|| NoDatagrams).remote_addr((name, 1)).await.unwrap_err());
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        check(sock_connect(&socket, (name, 80)).await.unwrap_err());
        Ok(())
    });
}
