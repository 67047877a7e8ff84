//! User code that panics in a task or hook that several connections share: the panic is reported
//! once, and affects only its own connection.

mod common;

use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use asyncio_loop::running_loop;
use asyncio_net::{
    ByteSource, ByteStream, JoinedStream, Protocol, Server, ServerAddress, StreamReader,
    StreamWriter, Transport, create_connection, create_server, open_connection, start_server,
    stream_over,
};
use common::{Echo, reports, run, settle, until};
use socket2::SockRef;

/// A protocol that sends all data back. After `boom` its destructor panics; after `swap` it
/// replaces itself with another protocol first.
struct Fragile {
    bad: bool,
}

impl Protocol for Fragile {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.bad |= data != b"hello";
        if data == b"swap" {
            transport.set_protocol(Echo);
        }
        transport.write(data);
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.bad, "in a destructor");
    }
}

/// A client of a server that does not listen.
async fn client(server: &Server) -> io::Result<JoinedStream> {
    let (ours, theirs) = UnixStream::pair()?;
    assert!(server.intake().hand_over(theirs).is_ok());
    JoinedStream::from_std(ours)
}

async fn ask(client: &mut JoinedStream, question: &str) -> io::Result<String> {
    client.writer().write(question);
    let answer = client.reader().read(100).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn case_protocol_drop_panics(how: &str) -> io::Result<()> {
    let reports = reports();
    let server = create_server(ServerAddress::nothing(), || Fragile { bad: false }).await?;
    let mut before = client(&server).await?;
    let mut bad = client(&server).await?;
    assert_eq!(ask(&mut before, "hello").await?, "hello");
    assert_eq!(ask(&mut bad, how).await?, how);
    drop(bad);
    settle().await;
    assert_eq!(ask(&mut before, "hello").await?, "hello");
    let mut after = client(&server).await?;
    assert_eq!(ask(&mut after, "hello").await?, "hello");
    assert_eq!(server.client_count(), 2);
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
    assert!(reports.borrow()[0].contains("in a destructor"), "{reports:?}");
    assert!(reports.borrow()[0].contains("Fragile"), "{reports:?}");
    Ok(())
}

#[test]
fn case_protocol_drop_panics_boom() {
    run(async || case_protocol_drop_panics("boom").await);
}

#[test]
fn case_protocol_drop_panics_swap() {
    run(async || case_protocol_drop_panics("swap").await);
}

/// A protocol that panics in `connection_lost`.
struct BadEnd;

impl Protocol for BadEnd {
    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    fn connection_lost(&mut self, _: &Transport, _: Option<io::Error>) {
        panic!("at the end");
    }
}

#[test]
fn reports_name_the_peer_of_a_connection_that_is_gone() {
    run(async || {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has IPv6.
            if std::net::TcpListener::bind(host).is_err() {
                continue;
            }
            let fails = async |mut reader: StreamReader, _writer: StreamWriter| {
                reader.read(100).await?;
                reader.read(100).await.map(drop)
            };
            let panics = async |_reader: StreamReader, writer: StreamWriter| {
                writer.close().await.unwrap();
                assert!(!writer.is_closing(), "after the end");
            };
            let reset = |client: &TcpStream| {
                SockRef::from(client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            };
            let servers = [
                start_server(host, fails).await?,
                start_server(host, panics).await?,
                create_server(host, || BadEnd).await?,
            ];
            for server in servers {
                let reports = reports();
                let mut client = TcpStream::connect(server.local_addr()?)?;
                let peer = client.local_addr()?.to_string();
                client.write_all(b"hello")?;
                until(|| server.client_count() == 1 || !reports.borrow().is_empty()).await;
                settle().await;
                reset(&client);
                drop(client);
                until(|| !reports.borrow().is_empty()).await;
                assert!(reports.borrow()[0].contains(&peer), "{peer} is not in {reports:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_task_factory_that_panics_costs_one_client() {
    run(async || {
        let reports = reports();
        let server =
            start_server("127.0.0.1:0", async |mut reader: StreamReader, writer: StreamWriter| {
                writer.write(&reader.read(100).await?);
                writer.close().await
            })
            .await?;
        let first = Cell::new(true);
        running_loop().set_task_factory(Some(Rc::new(move |_, _| {
            assert!(!first.replace(false), "no task for you");
        })));
        let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
        assert_eq!(reader.read(1).await?, "");
        assert!(server.is_serving());
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write("hello");
        assert_eq!(reader.read(100).await?, "hello");
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        assert!(reports.borrow()[0].contains("no task for you"), "{reports:?}");
        server.close();
        server.wait_closed().await;
        Ok(())
    });
}

/// A waker of another executor.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

/// Polls once, with a waker that panics.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics))))
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_from_waking() {
    run(async || {
        let reports = reports();
        let server = create_server(ServerAddress::nothing(), || Echo).await?;
        let mut foreign = pin!(server.wait_closed());
        assert!(poll_once(foreign.as_mut()).is_pending());
        let waiting = asyncio_task::create_task({
            let server = server.clone();
            async move { server.wait_closed().await }
        });
        settle().await;
        server.close();
        waiting.await.unwrap();
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        assert!(reports.borrow()[0].contains("in a waker"), "{reports:?}");
        Ok(())
    });
}

#[test]
fn a_waker_that_panics_when_a_writer_may_go_on_ends_nothing() {
    run(async || {
        let reports = reports();
        let (ours, mut theirs) = UnixStream::pair()?;
        let (_reader, writer) = open_connection(ours).await?;
        writer.write(vec![7; 4_000_000]);
        let mut foreign = pin!(writer.drain());
        assert!(poll_once(foreign.as_mut()).is_pending());
        theirs.set_nonblocking(true)?;
        let (mut received, mut buffer) = (0, vec![0; 1 << 20]);
        while received < 4_000_000 {
            match theirs.read(&mut buffer) {
                Ok(count) => received += count,
                Err(_) => settle().await,
            }
        }
        theirs.write_all(b"x")?;
        writer.drain().await?;
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        assert!(reports.borrow()[0].contains("in a waker"), "{reports:?}");
        Ok(())
    });
}

/// A stream that panics in the method of this name, and in its destructor.
struct Faulty(&'static str);

impl Faulty {
    fn enter(&self, method: &str) {
        assert!(self.0 != method, "in {method}");
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.enter("drop");
    }
}

impl ByteSource for Faulty {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        self.enter("poll_read");
        Poll::Pending
    }
}

impl ByteStream for Faulty {
    fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.enter("try_write");
        if self.0 == "poll_write_ready" {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(parts.iter().map(|part| part.len()).sum())
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.enter("poll_write_ready");
        Poll::Ready(Ok(()))
    }

    fn write_eof(&self) -> io::Result<()> {
        self.enter("write_eof");
        Ok(())
    }

    fn close(&self) {
        self.enter("close");
    }
}

#[test]
fn a_stream_that_panics_in_any_method_is_lost_alone() {
    run(async || {
        let reports = reports();
        for method in ["poll_read", "try_write", "poll_write_ready", "write_eof", "close", "drop"] {
            let (mut reader, writer) = stream_over(Faulty(method));
            let (ours, theirs) = UnixStream::pair()?;
            let (_other_reader, other) = open_connection(ours).await?;
            writer.write("x");
            other.write("y");
            settle().await;
            if method == "poll_read" {
                let error = reader.read(1).await.unwrap_err();
                assert_eq!(error.to_string(), "the stream panicked: in poll_read");
            }
            writer.write_eof();
            // The writer's own methods return errors of writing, which are not reported.
            let _ = writer.close().await;
            drop((reader, writer));
            settle().await;
            theirs.set_nonblocking(true)?;
            assert_eq!((&theirs).read(&mut [0; 8])?, 1, "{method}");
            let report = reports.borrow_mut().pop().unwrap_or_else(|| panic!("{method}"));
            assert!(report.contains(&format!("in {method}")), "{report}");
            assert!(report.contains("Faulty"), "{report}");
            assert!(reports.borrow().is_empty(), "{method}: {reports:?}");
        }
        Ok(())
    });
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_ends_nothing_else() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("in the payload");
        }
    }
    struct Throws;
    impl Protocol for Throws {
        fn data_received(&mut self, transport: &Transport, data: &[u8]) {
            if data == b"boom" {
                std::panic::panic_any(Payload);
            }
            transport.write(data);
        }
    }
    run(async || {
        let reports = reports();
        let server = create_server(ServerAddress::nothing(), || Throws).await?;
        let mut good = client(&server).await?;
        let mut bad = client(&server).await?;
        assert_eq!(ask(&mut good, "hello").await?, "hello");
        assert!(ask(&mut bad, "boom").await.map_or(true, |answer| answer.is_empty()));
        assert_eq!(ask(&mut good, "hello").await?, "hello");
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        Ok(())
    });
}

#[test]
fn a_handler_whose_captures_panic_when_they_are_dropped_ends_no_connection() {
    run(async || {
        let reports = reports();
        let fragile = Fragile { bad: true };
        let server = create_server(ServerAddress::nothing(), move || {
            let _captured = &fragile;
            Echo
        })
        .await?;
        let mut last = client(&server).await?;
        assert_eq!(ask(&mut last, "hello").await?, "hello");
        server.close();
        drop(server);
        let (ours, theirs) = UnixStream::pair()?;
        let other = create_connection(ours, || Echo).await?;
        drop(last);
        settle().await;
        other.write("y");
        settle().await;
        theirs.set_nonblocking(true)?;
        assert_eq!((&theirs).read(&mut [0; 8])?, 1);
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        Ok(())
    });
}
