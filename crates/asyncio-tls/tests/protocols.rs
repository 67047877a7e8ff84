//! Protocols over TLS.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_net::{
    BufferedProtocol, ByteSource, ByteStream, ClientAddress, MemoryStream, Protocol, Transport,
    connect_accepted_socket, create_buffered_server, create_connection, create_server,
    create_unix_connection, create_unix_server, memory_pair, open_connection, open_unix_connection,
    start_server, start_unix_server, stream_over, transport_over,
};
use asyncio_task::{create_task, run, sleep, try_gather};
use asyncio_tls::{TlsClient, TlsInfo, accept_transport_tls, start_transport_tls};
use common::{Authority, echo_lines, greet, reports, run_in_virtual_time, until};

/// A protocol that logs its calls, and sends received data back if `echoes` is set.
#[derive(Clone, Default)]
struct Noting {
    calls: Rc<RefCell<Vec<String>>>,
    received: Rc<RefCell<Vec<u8>>>,
    transport: Rc<RefCell<Option<Transport>>>,
    echoes: bool,
}

impl Noting {
    fn echoing() -> Self {
        Self { echoes: true, ..Self::default() }
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }

    fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    fn is_lost(&self) -> bool {
        self.calls.borrow().last().is_some_and(|call| call.starts_with("lost"))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received.borrow()).into_owned()
    }

    fn transport(&self) -> Transport {
        self.transport.borrow().clone().expect("it was made")
    }
}

impl Protocol for Noting {
    fn connection_made(&mut self, transport: &Transport) {
        self.transport.replace(Some(transport.clone()));
        let tls = transport.extra::<TlsInfo>().map_or("plain", |info| info.version());
        self.note(format!("made {tls}"));
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.received.borrow_mut().extend(data);
        if self.echoes {
            transport.write(data);
        }
    }

    fn eof_received(&mut self, _: &Transport) -> bool {
        self.note("eof");
        false
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
        self.note(format!("lost {:?}", error.map(|error| error.kind())));
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.note("pause");
    }

    fn resume_writing(&mut self, _: &Transport) {
        self.note("resume");
    }
}

// E-005
#[test]
fn a_protocol_is_made_after_the_handshake() {
    let authority = Authority::new();
    run(async {
        let served = Noting::echoing();
        let factory = served.clone();
        let server = create_server("127.0.0.1:0", move || factory.clone()).tls(&authority.server());
        let server = server.await?;
        let address = ("localhost", server.local_addr()?.port());
        let client = Noting::default();
        let made = Rc::new(Cell::new(false));
        let connecting = create_connection(address, || {
            made.set(true);
            client.clone()
        });
        let transport = connecting.tls(&authority.client()).await?;
        assert!(made.get());
        assert_eq!(client.calls(), ["made TLSv1.3"]);
        transport.write("hello");
        until(|| client.text() == "hello").await;
        assert_eq!(served.calls(), ["made TLSv1.3"]);
        transport.close();
        until(|| client.is_lost() && served.is_lost()).await;
        assert_eq!(client.calls(), ["made TLSv1.3", "lost None"]);
        assert_eq!(served.calls(), ["made TLSv1.3", "eof", "lost None"]);
        server.shutdown(Duration::from_secs(60)).await;
        io::Result::Ok(())
    })
    .unwrap();
}

// E-006, E-007, E-009
#[test]
fn a_handshake_that_fails_calls_no_protocol() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    run(async {
        let reports = reports();
        let made = Rc::new(Cell::new(0));
        let counted = made.clone();
        let server = create_server("127.0.0.1:0", move || {
            counted.set(counted.get() + 1);
            Noting::echoing()
        });
        let server = server.tls(&authority.server()).await?;
        let address = ("localhost", server.local_addr()?.port());
        let misled = authority.client().with_server_name("other.example")?;
        for client in [strangers.client(), misled] {
            let unmade = || -> Noting { panic!("no protocol") };
            let error = create_connection(address, unmade).tls(&client).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.get_ref().unwrap().is::<asyncio_tls::rustls::Error>());
        }
        // Plain text, and a peer that goes at once.
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(reader.read_to_end().await?.first(), Some(&21), "an alert");
        drop(open_connection(server.local_addr()?).await?);
        until(|| server.client_count() == 0).await;
        assert_eq!(made.get(), 0);

        let (mut reader, writer) = open_connection(address).tls(&authority.client()).await?;
        greet(&mut reader, &writer).await?;
        assert_eq!(made.get(), 1);
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn unix_and_accepted_sockets_have_it_too() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    run(async {
        let named = authority.client().with_server_name("localhost")?;
        let server = create_unix_server(&path, Noting::echoing).tls(&authority.server()).await?;
        let client = Noting::default();
        let transport = create_unix_connection(&path, || client.clone()).tls(&named).await?;
        transport.write("by path");
        until(|| client.text() == "by path").await;
        server.close_clients();
        until(|| client.is_lost()).await;

        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let accepting = connect_accepted_socket(ours, Noting::echoing).tls(&authority.server());
        let opening = open_connection(theirs).tls(&named);
        let (_transport, (mut reader, writer)) =
            try_gather((accepting.into_future(), opening.into_future())).await?;
        greet(&mut reader, &writer).await
    })
    .unwrap();
}

/// A stream in memory between the two sides of TLS, which the test can read, write and block.
#[derive(Clone)]
struct Wire {
    stream: Rc<MemoryStream>,
    /// While this is set, writes are refused.
    is_blocked: Rc<Cell<bool>>,
}

impl Wire {
    fn pair(capacity: usize) -> (Self, Self) {
        let (ours, theirs) = memory_pair(capacity);
        let wire = |stream| Self { stream: Rc::new(stream), is_blocked: Rc::default() };
        (wire(ours), wire(theirs))
    }
}

impl ByteSource for Wire {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_read(cx, buffer)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }
}

impl ByteStream for Wire {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_blocked.get() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.stream.try_write(slices)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_blocked.get() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.stream.poll_write_ready(cx)
    }

    fn write_eof(&self) -> io::Result<()> {
        self.stream.write_eof()
    }

    fn close(&self) {
        self.stream.close();
    }
}

/// Connects two protocols by TLS over these wires. Returns their transports.
async fn protocols(
    authority: &Authority,
    (client, server): (Noting, Noting),
    wires: (Wire, Wire),
) -> io::Result<(Transport, Transport)> {
    let tls = authority.client().with_server_name("localhost")?;
    let connecting = create_connection(ClientAddress::over(wires.0), || client).tls(&tls);
    let plain = transport_over(wires.1, server.clone())?;
    let tls = authority.server();
    let accepted = accept_transport_tls(&plain, &tls);
    try_gather((connecting.into_future(), accepted)).await
}

// E-014
#[test]
fn flow_control_counts_bytes_before_and_after_encryption() {
    let authority = Authority::new();
    run(async {
        let (client, server) = (Noting::default(), Noting::default());
        let (ours, theirs) = Wire::pair(1_000_000);
        let blocked = ours.is_blocked.clone();
        let (transport, _) =
            protocols(&authority, (client.clone(), server.clone()), (ours, theirs)).await?;
        transport.set_write_buffer_limits(Some(100_000), Some(10_000));
        blocked.set(true);
        // The session takes the first write, and the write queue takes the next one.
        transport.write(vec![1; 50_000]);
        assert!(transport.write_buffer_size() >= 50_000);
        transport.write([2; 40_000]);
        assert!((90_000..100_000).contains(&transport.write_buffer_size()));
        assert_eq!(client.calls(), ["made TLSv1.3"]);
        transport.write([3; 20_000]);
        assert_eq!(client.calls(), ["made TLSv1.3", "pause"]);
        blocked.set(false);
        until(|| client.calls().len() == 3).await;
        assert_eq!(client.calls()[2], "resume");
        until(|| server.received.borrow().len() == 110_000).await;
        assert_eq!(transport.write_buffer_size(), 0);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-016
#[test]
fn one_direction_cannot_be_ended() {
    let authority = Authority::new();
    run(async {
        let (client, server) = (Noting::default(), Noting::default());
        let protocols = protocols(&authority, (client, server), Wire::pair(10_000));
        let (transport, _) = protocols.await?;
        assert!(!transport.can_write_eof());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            transport.write_eof();
        }));
        assert!(panicked.is_err());
        // The connection goes on after the panic.
        transport.write("more");
        io::Result::Ok(())
    })
    .unwrap();
}

// E-018
#[test]
fn a_buffered_protocol_works_and_can_be_exchanged() {
    /// A protocol that receives four bytes at a time, and hands over to another protocol after the
    /// word `next`.
    struct Words([u8; 4], usize, Noting);
    impl BufferedProtocol for Words {
        fn get_buffer(&mut self, _: usize) -> &mut [u8] {
            &mut self.0[self.1..]
        }
        fn buffer_updated(&mut self, transport: &Transport, count: usize) {
            self.1 += count;
            if self.1 == 4 {
                self.1 = 0;
                transport.write(self.0);
                if self.0 == *b"next" {
                    transport.set_protocol(self.2.clone());
                }
            }
        }
    }
    let authority = Authority::new();
    run(async {
        let next = Noting::default();
        let given = next.clone();
        let factory = move || Words([0; 4], 0, given.clone());
        let server = create_buffered_server("127.0.0.1:0", factory).tls(&authority.server());
        let server = server.await?;
        let address = ("localhost", server.local_addr()?.port());
        let (mut reader, writer) = open_connection(address).tls(&authority.client()).await?;
        writer.write("one.two.nextthree");
        assert_eq!(reader.read_exactly(12).await?, "one.two.next");
        until(|| next.text() == "three").await;
        writer.write("more");
        until(|| next.text() == "threemore").await;
        writer.close().await?;
        until(|| next.is_lost()).await;
        assert_eq!(next.calls(), ["eof", "lost None"]);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-013
#[test]
fn garbage_in_the_stream_ends_the_connection_with_an_error_of_tls() {
    let authority = Authority::new();
    run(async {
        let (client, server) = (Noting::default(), Noting::default());
        let (ours, theirs) = Wire::pair(100_000);
        let tap = ours.stream.clone();
        let (transport, _) =
            protocols(&authority, (client.clone(), server.clone()), (ours, theirs)).await?;
        transport.write("good");
        until(|| server.text() == "good").await;
        tap.try_write(&[IoSlice::new(b"\x17\x03\x03\x00\x20 this is no record of this session")])?;
        until(|| server.is_lost() && client.is_lost()).await;
        assert_eq!(server.calls().last().unwrap(), "lost Some(InvalidData)");
        // The other side gets an alert, which names the fault.
        assert_eq!(client.calls().last().unwrap(), "lost Some(InvalidData)");
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn an_end_without_a_closing_alert_is_an_error() {
    let authority = Authority::new();
    run(async {
        let (client, server) = (Noting::default(), Noting::default());
        let protocols = protocols(&authority, (client, server.clone()), Wire::pair(100_000));
        let (transport, _) = protocols.await?;
        transport.abort();
        until(|| server.is_lost()).await;
        assert_eq!(server.calls(), ["made plain", "lost Some(UnexpectedEof)"]);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-019
#[test]
fn closing_waits_for_the_closing_alert_of_the_peer_and_not_for_ever() {
    let authority = Authority::new();
    run_in_virtual_time(async || {
        for (limit, builder) in [
            (30, TlsClient::builder()),
            (4, TlsClient::builder().shutdown_timeout(Duration::from_secs(4))),
        ] {
            let tls = builder.roots_pem(authority.pem().as_bytes())?.server_name("localhost")?;
            let (ours, theirs) = memory_pair(100_000);
            let client = Noting::default();
            let given = client.clone();
            let connecting = create_connection(ClientAddress::over(ours), move || given);
            let connecting = create_task(connecting.tls(&tls.build()?).into_future());
            let (mut reader, mut writer) = stream_over(theirs);
            asyncio_tls::accept_tls(&mut reader, &mut writer, &authority.server()).await?;
            let transport = connecting.await.unwrap()?;
            transport.write("last words");
            transport.close();
            transport.write("ignored");
            assert_eq!(reader.read_to_end().await?, "last words");
            // The peer does not answer the closing alert.
            let before = asyncio_loop::running_loop().time();
            sleep(Duration::from_secs(limit - 1)).await;
            assert!(!client.is_lost());
            while !client.is_lost() {
                sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(client.calls(), ["made TLSv1.3", "lost Some(TimedOut)"]);
            let took = asyncio_loop::running_loop().time() - before;
            assert!(took < Duration::from_secs(limit + 1), "{took:?}");
        }

        // A peer that uses streams, and answers the closing alert.
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let _server = start_unix_server(&path, echo_lines).tls(&authority.server()).await?;
        let before = asyncio_loop::running_loop().time();
        let client = authority.client().with_server_name("localhost")?;
        let (mut reader, writer) = open_unix_connection(&path).tls(&client).await?;
        greet(&mut reader, &writer).await?;
        writer.close().await?;
        assert!(asyncio_loop::running_loop().time() - before < Duration::from_secs(4));
        Ok(())
    });
}

#[test]
fn both_sides_may_close_at_once() {
    let authority = Authority::new();
    run_in_virtual_time(async || {
        let (client, server) = (Noting::default(), Noting::default());
        let protocols = protocols(&authority, (client.clone(), server.clone()), Wire::pair(9999));
        let (one, other) = protocols.await?;
        one.write("one");
        other.write("other");
        one.close();
        other.close();
        until(|| client.is_lost() && server.is_lost()).await;
        assert_eq!(client.calls(), ["made TLSv1.3", "lost None"]);
        assert_eq!(server.calls(), ["made plain", "lost None"]);
        Ok(())
    });
}

// E-020
#[test]
fn megabytes_that_were_written_before_closing_all_arrive() {
    let authority = Authority::new();
    run(async {
        let much: Vec<u8> = (0..4_000_000_u32).map(|n| (n / 7) as u8).collect();
        let (client, server) = (Noting::default(), Noting::default());
        let (ours, theirs) = Wire::pair(20_000);
        let blocked = ours.is_blocked.clone();
        let (transport, _) =
            protocols(&authority, (client.clone(), server.clone()), (ours, theirs)).await?;
        blocked.set(true);
        transport.write(&much);
        transport.close();
        blocked.set(false);
        until(|| client.is_lost() && server.is_lost()).await;
        assert!(*server.received.borrow() == much);
        assert_eq!(client.calls().last().unwrap(), "lost None");
        assert_eq!(server.calls().last().unwrap(), "lost None");
        io::Result::Ok(())
    })
    .unwrap();
}

// E-021
#[test]
fn what_is_queued_when_the_closing_alert_of_the_peer_comes_is_still_sent() {
    let authority = Authority::new();
    run(async {
        let much: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 7) as u8).collect();
        let (client, server) = (Noting::default(), Noting::default());
        let (ours, theirs) = Wire::pair(20_000);
        let blocked = ours.is_blocked.clone();
        let tls = authority.client().with_server_name("localhost")?;
        let connecting = create_connection(ClientAddress::over(ours), || client.clone()).tls(&tls);
        let plain = transport_over(theirs, server.clone())?;
        let server_tls = authority.server();
        let accepted = accept_transport_tls(&plain, &server_tls);
        let (transport, peer) = try_gather((connecting.into_future(), accepted)).await?;
        blocked.set(true);
        transport.write(&much);
        // The peer sends text and its closing alert, and still reads.
        peer.write("enough");
        peer.close();
        until(|| client.calls().contains(&"eof".to_owned())).await;
        assert_eq!(client.text(), "enough");
        assert!(transport.write_buffer_size() >= much.len());
        blocked.set(false);
        until(|| client.is_lost()).await;
        assert_eq!(transport.write_buffer_size(), 0);
        // The peer has closed, so it drops what it receives.
        let calls = ["made TLSv1.3", "pause", "eof", "resume", "lost None"];
        assert_eq!(client.calls(), calls);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-023
#[test]
fn after_close_writes_are_ignored_and_so_is_what_comes() {
    let authority = Authority::new();
    run(async {
        let (client, server) = (Noting::default(), Noting::default());
        let protocols = protocols(&authority, (client.clone(), server.clone()), Wire::pair(9999));
        let (transport, peer) = protocols.await?;
        transport.write("before");
        transport.close();
        transport.write("after");
        peer.write("late");
        until(|| client.is_lost() && server.is_lost()).await;
        assert_eq!((client.text(), server.text()), (String::new(), "before".to_owned()));
        assert_eq!(client.calls(), ["made TLSv1.3", "lost None"]);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-024, E-025
#[test]
fn the_same_protocols_go_on_over_tls() {
    let authority = Authority::new();
    run(async {
        let (client, served) = (Noting::default(), Noting::echoing());
        let factory = served.clone();
        let server = create_server("127.0.0.1:0", move || factory.clone()).await?;
        let plain = create_connection(server.local_addr()?, || client.clone()).await?;
        plain.write("plain ");
        until(|| client.text() == "plain ").await;
        let (tls, server_tls) = (authority.client(), authority.server());
        let accepted = served.transport();
        let (ours, theirs) = try_gather((
            start_transport_tls(&plain, &tls, "localhost"),
            accept_transport_tls(&accepted, &server_tls),
        ))
        .await?;
        ours.write("and secret");
        until(|| client.text() == "plain and secret").await;
        assert_eq!(served.text(), "plain and secret");
        assert_eq!(client.calls(), ["made plain"], "`connection_made` is not called again");
        assert_eq!(ours.extra::<TlsInfo>().unwrap().version(), "TLSv1.3");
        assert_eq!(theirs.extra::<TlsInfo>().unwrap().server_name(), Some("localhost"));
        assert_eq!(theirs.peer_addr()?, ours.local_addr()?);
        ours.close();
        until(|| client.is_lost() && served.is_lost()).await;
        assert_eq!(served.calls(), ["made plain", "eof", "lost None"]);
        server.shutdown(Duration::from_secs(60)).await;
        io::Result::Ok(())
    })
    .unwrap();
}

// E-025
#[test]
fn plain_text_that_comes_early_does_not_reach_the_protocol() {
    let authority = Authority::new();
    run(async {
        let served = Noting::default();
        let factory = served.clone();
        let server = create_server("127.0.0.1:0", move || factory.clone()).await?;
        let (_reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write("STARTTLS\r\n");
        until(|| served.text() == "STARTTLS\r\n").await;
        let transport = served.transport();
        let tls = authority.server();
        let accepting = create_task(async move { accept_transport_tls(&transport, &tls).await });
        // An attacker injects a command, which must not be taken for one of the TLS session.
        writer.write("RCPT TO:<victim@example.org>\r\n");
        let error = accepting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        until(|| served.is_lost()).await;
        assert_eq!(served.text(), "STARTTLS\r\n");
        io::Result::Ok(())
    })
    .unwrap();
}

// E-026
#[test]
fn a_start_that_is_given_up_closes_the_connection() {
    let authority = Authority::new();
    run(async {
        let reports = reports();
        let greeted = Rc::new(Cell::new(0));
        let noted = greeted.clone();
        let silent = start_server("127.0.0.1:0", async move |mut reader, _writer| {
            reader.read_exactly(1).await?;
            noted.set(noted.get() + 1);
            reader.read_to_end().await
        })
        .await?;
        let client = Noting::default();
        let transport = create_connection(silent.local_addr()?, || client.clone()).await?;
        let starting = create_task({
            let (transport, tls) = (transport.clone(), authority.client());
            async move { start_transport_tls(&transport, &tls, "localhost").await }
        });
        until(|| greeted.get() == 1).await;
        starting.cancel();
        assert!(starting.await.is_err());
        until(|| silent.client_count() == 0 && client.is_lost()).await;
        assert_eq!(client.calls(), ["made plain", "lost None"]);
        assert!(transport.is_closing());

        // For streams, a timeout around `start_tls`.
        let (mut reader, mut writer) = open_connection(silent.local_addr()?).await?;
        let tls = authority.client();
        let starting = asyncio_tls::start_tls(&mut reader, &mut writer, &tls, "localhost");
        assert!(asyncio_task::timeout(Duration::from_millis(10), starting).await.is_err());
        until(|| silent.client_count() == 0).await;
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-027
#[test]
fn tls_starts_inside_tls() {
    let authority = Authority::new();
    run(async {
        let reports = reports();
        let (client, served) = (Noting::default(), Noting::echoing());
        let factory = served.clone();
        let server = create_server("127.0.0.1:0", move || factory.clone()).tls(&authority.server());
        let server = server.await?;
        let address = ("localhost", server.local_addr()?.port());
        let tls = authority.client();
        let outer = create_connection(address, || client.clone()).tls(&tls).await?;
        until(|| served.transport.borrow().is_some()).await;
        let (accepted, server_tls) = (served.transport(), authority.server());
        let (inner, _) = try_gather((
            start_transport_tls(&outer, &tls, "localhost"),
            accept_transport_tls(&accepted, &server_tls),
        ))
        .await?;
        inner.write("deep");
        until(|| client.text() == "deep").await;
        // Closing the outer transport ends both sessions.
        outer.close();
        until(|| client.is_lost() && served.is_lost()).await;
        server.shutdown(Duration::from_secs(60)).await;
        assert_eq!(server.client_count(), 0);
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_shutdown_ends_clients_that_do_not_answer_the_closing_alert_within_its_grace() {
    let authority = Authority::new();
    run_in_virtual_time(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let server = create_unix_server(&path, Noting::echoing).tls(&authority.server()).await?;
        let client = authority.client().with_server_name("localhost")?;
        let (mut reader, writer) = open_unix_connection(&path).tls(&client).await?;
        greet(&mut reader, &writer).await?;
        server.close_clients();
        let before = asyncio_loop::running_loop().time();
        server.shutdown(Duration::from_secs(3)).await;
        assert_eq!(asyncio_loop::running_loop().time() - before, Duration::from_secs(3));
        assert_eq!(server.client_count(), 0);
        Ok(())
    });
}
