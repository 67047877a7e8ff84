//! `Protocol`, `BufferedProtocol` and `Transport`, over loopback.

mod common;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    Address, BufferedProtocol, ConnectedSocket, Protocol, Transport, connect_accepted_socket,
    create_buffered_connection, create_buffered_server, create_connection, create_server,
};
use asyncio_task::create_task;
use common::{Echo, Log, Recorder, bytes, reports, run, settle, turn, until, wait_for};
use rustix::event::PollFlags;
use socket2::SockRef;

/// A recorder's connection, and its blocking peer.
async fn pair() -> io::Result<(Recorder, Transport, TcpStream)> {
    pair_with(Recorder::default()).await
}

async fn pair_with(recorder: Recorder) -> io::Result<(Recorder, Transport, TcpStream)> {
    let (ours, theirs) = sockets()?;
    let transport = create_connection(ours, || recorder.clone()).await?;
    Ok((recorder, transport, theirs))
}

fn sockets() -> io::Result<(TcpStream, TcpStream)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    theirs.set_read_timeout(Some(Duration::from_secs(300)))?;
    Ok((ours, theirs))
}

/// Reads this many bytes in a thread, while the loop runs.
fn read_exact(socket: &TcpStream, length: usize) -> impl Future<Output = Vec<u8>> + use<> {
    let mut socket = socket.try_clone().unwrap();
    let read = asyncio_loop::running_loop().run_in_executor(None, move || {
        let mut bytes = vec![0; length];
        socket.read_exact(&mut bytes).unwrap();
        bytes
    });
    async { read.await.unwrap() }
}

fn read_to_end(socket: &TcpStream) -> impl Future<Output = io::Result<Vec<u8>>> + use<> {
    let mut socket = socket.try_clone().unwrap();
    let read = asyncio_loop::running_loop().run_in_executor(None, move || {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).map(|_| bytes)
    });
    async { read.await.unwrap() }
}

fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

// T-001
#[test]
fn the_protocol_hears_of_the_connection_first() {
    run(async || {
        let (ours, mut theirs) = sockets()?;
        theirs.write_all(b"hello")?;
        let recorder = Recorder::default();
        create_connection(ours, || recorder.clone()).await?;
        assert_eq!(recorder.log.lines(), ["made"]);
        recorder.log.until("data 5").await;
        Ok(())
    });
}

// T-002
#[test]
fn reading_may_be_paused_from_the_start() {
    struct Paused(Recorder);
    impl Protocol for Paused {
        fn connection_made(&mut self, transport: &Transport) {
            transport.pause_reading();
        }
        fn data_received(&mut self, transport: &Transport, data: &[u8]) {
            self.0.data_received(transport, data);
        }
    }
    run(async || {
        let (ours, mut theirs) = sockets()?;
        theirs.write_all(b"hello")?;
        let recorder = Recorder::default();
        let transport = create_connection(ours, || Paused(recorder.clone())).await?;
        settle().await;
        assert_eq!(recorder.log.lines(), [""; 0]);
        assert!(!transport.is_reading());
        transport.resume_reading();
        recorder.log.until("data 5").await;
        Ok(())
    });
}

// T-004 T-022
#[test]
fn connection_lost_comes_in_a_later_turn_and_once() {
    run(async || {
        for abort in [false, true] {
            let (recorder, transport, mut theirs) = pair().await?;
            if abort {
                transport.abort()
            } else {
                transport.close()
            }
            assert!(transport.is_closing());
            assert_eq!(recorder.log.lines(), ["made"]);
            turn().await;
            turn().await;
            assert_eq!(recorder.log.lines(), ["made", "lost"]);
            transport.close();
            transport.abort();
            settle().await;
            assert_eq!(recorder.log.lines(), ["made", "lost"]);
            assert_eq!(theirs.read(&mut [0])?, 0);
        }
        Ok(())
    });
}

// T-004
#[test]
fn closing_inside_a_callback_ends_the_connection_after_it() {
    struct CloseAtOnce(Log);
    impl Protocol for CloseAtOnce {
        fn data_received(&mut self, transport: &Transport, data: &[u8]) {
            self.0.add("data");
            transport.write(data);
            transport.close();
            self.0.add("closed");
        }
        fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
            assert!(error.is_none());
            self.0.add("lost");
        }
    }
    run(async || {
        let (ours, mut theirs) = sockets()?;
        let log = Log::default();
        create_connection(ours, || CloseAtOnce(log.clone())).await?;
        theirs.write_all(b"hello")?;
        log.until("lost").await;
        assert_eq!(log.lines(), ["data", "closed", "lost"]);
        assert_eq!(read_to_end(&theirs).await?, b"hello");
        Ok(())
    });
}

// T-004
#[test]
fn one_connection_of_a_server_may_close_another() {
    struct ClosesAll(Log, Rc<RefCell<Vec<Transport>>>);
    impl Protocol for ClosesAll {
        fn connection_made(&mut self, transport: &Transport) {
            self.1.borrow_mut().push(transport.clone());
            self.0.add("made");
        }
        fn data_received(&mut self, _: &Transport, _: &[u8]) {
            let log = self.0.clone();
            asyncio_loop::running_loop().call_soon(move || log.add("next turn"));
            self.1.borrow().iter().for_each(Transport::close);
        }
        fn connection_lost(&mut self, _: &Transport, _: Option<io::Error>) {
            self.0.add("lost");
        }
    }
    run(async || {
        let (log, transports) = (Log::default(), Rc::new(RefCell::new(Vec::new())));
        let server = create_server("127.0.0.1:0", {
            let (log, transports) = (log.clone(), Rc::clone(&transports));
            move || ClosesAll(log.clone(), transports.clone())
        })
        .await?;
        let clients: Vec<_> =
            (0..5).map(|_| TcpStream::connect(server.local_addr().unwrap()).unwrap()).collect();
        log.until_count(5).await;
        (&clients[2]).write_all(b"x")?;
        log.until_count(11).await;
        assert_eq!(log.lines()[5..], ["next turn", "lost", "lost", "lost", "lost", "lost"]);
        Ok(())
    });
}

#[test]
fn many_short_connections_leave_nothing_behind() {
    run(async || {
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let address = server.local_addr()?;
        for round in 0..40 {
            let mut clients = Vec::new();
            for _ in 0..round {
                let recorder = Recorder::default();
                clients.push(create_connection(address, || recorder.clone()).await?);
                clients.last().unwrap().write(b"x");
            }
            until(|| server.client_count() == round).await;
            // Closes the clients in another order than that of their connections.
            while !clients.is_empty() {
                let index = (clients.len() * 7919) % clients.len();
                clients.swap_remove(index).close();
            }
            until(|| server.client_count() == 0).await;
        }
        server.close();
        server.wait_closed().await;
        Ok(())
    });
}

// T-005
#[test]
fn the_end_of_the_stream_closes_unless_the_protocol_keeps_it() {
    run(async || {
        let (recorder, transport, theirs) = pair().await?;
        theirs.shutdown(Shutdown::Write)?;
        recorder.log.until("lost").await;
        assert_eq!(recorder.log.lines(), ["made", "eof", "lost"]);
        assert!(transport.is_closing());

        let keeps = Recorder { keep_after_eof: true, ..Recorder::default() };
        let (recorder, transport, theirs) = pair_with(keeps).await?;
        theirs.shutdown(Shutdown::Write)?;
        recorder.log.until("eof").await;
        settle().await;
        assert_eq!(recorder.log.lines(), ["made", "eof"]);
        assert!(!transport.is_closing() && !transport.is_reading());
        transport.write(bytes(1_000_000));
        assert!(read_exact(&theirs, 1_000_000).await == bytes(1_000_000));
        transport.close();
        recorder.log.until("lost").await;
        Ok(())
    });
}

// T-006
#[test]
fn a_method_that_panics_ends_its_connection_and_is_reported() {
    struct Panics(Log, &'static str);
    impl Protocol for Panics {
        fn data_received(&mut self, _: &Transport, _: &[u8]) {
            assert!(self.1 != "data", "in data_received");
        }
        fn eof_received(&mut self, _: &Transport) -> bool {
            assert!(self.1 != "eof", "in eof_received");
            false
        }
        fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
            self.0.add(format!("lost: {}", error.expect("it panicked")));
        }
    }
    run(async || {
        let reports = reports();
        for method in ["data", "eof"] {
            let (ours, mut theirs) = sockets()?;
            let log = Log::default();
            create_connection(ours, || Panics(log.clone(), method)).await?;
            theirs.write_all(b"x")?;
            theirs.shutdown(Shutdown::Write)?;
            log.until(&format!("lost: the protocol panicked: in {method}_received")).await;
            let report = reports.borrow_mut().pop().unwrap();
            assert!(report.contains(&format!("in {method}_received")), "{report}");
            assert!(report.contains("Panics") && report.contains("127.0.0.1"), "{report}");
        }
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

// T-008
#[test]
fn the_protocol_can_be_exchanged() {
    struct Upgrades(Recorder);
    impl Protocol for Upgrades {
        fn data_received(&mut self, transport: &Transport, data: &[u8]) {
            assert_eq!(data, b"upgrade");
            transport.set_protocol(self.0.clone());
            transport.write(b"ok");
        }
    }
    run(async || {
        let (ours, mut theirs) = sockets()?;
        let recorder = Recorder::default();
        let transport = create_connection(ours, || Upgrades(recorder.clone())).await?;
        theirs.write_all(b"upgrade")?;
        assert_eq!(read_exact(&theirs, 2).await, b"ok");
        theirs.write_all(b"hello")?;
        recorder.log.until("data 5").await;

        let own = OwnBuffer::new(3);
        transport.set_buffered_protocol(own.clone());
        theirs.write_all(b"buffered")?;
        own.log.until("8 bytes").await;

        transport.set_protocol(recorder.clone());
        theirs.write_all(b"again")?;
        recorder.log.until("data 10").await;
        drop(theirs);
        recorder.log.until("lost").await;
        Ok(())
    });
}

// T-008
#[test]
fn what_is_there_when_the_protocol_is_exchanged_is_for_the_new_one() {
    struct Upgrades([u8; 4], Recorder);
    impl BufferedProtocol for Upgrades {
        fn get_buffer(&mut self, _: usize) -> &mut [u8] {
            &mut self.0
        }
        fn buffer_updated(&mut self, transport: &Transport, count: usize) {
            assert_eq!(self.0[..count], *b"head");
            transport.set_protocol(self.1.clone());
        }
    }
    run(async || {
        let (ours, mut theirs) = sockets()?;
        theirs.write_all(b"headbody")?;
        drop(theirs);
        let recorder = Recorder::default();
        create_buffered_connection(ours, || Upgrades([0; 4], recorder.clone())).await?;
        recorder.log.until("lost").await;
        assert_eq!(*recorder.data.borrow(), b"body");
        assert_eq!(recorder.log.lines(), ["data 4", "eof", "lost"]);
        Ok(())
    });
}

// T-009
#[test]
fn addresses_that_nobody_asked_for_before_the_end_are_known_after_it() {
    run(async || {
        let recorder = Recorder::default();
        let accepted = recorder.clone();
        let server = create_server("127.0.0.1:0", move || accepted.clone()).await?;
        let client = create_connection(server.local_addr()?, Recorder::default).await?;
        recorder.log.until("made").await;
        client.abort();
        recorder.log.until("lost").await;
        turn().await;
        let transport = recorder.transport();
        assert!(transport.with_socket(|_| ()).is_none() && client.with_socket(|_| ()).is_none());
        assert_eq!(transport.local_addr()?, server.local_addr()?);
        assert_eq!(transport.local_addr()?, client.peer_addr()?);
        assert_eq!(transport.peer_addr()?, client.local_addr()?);

        let (ours, theirs) = sockets()?;
        let peer = theirs.local_addr()?;
        let transport = connect_accepted_socket(ours, Recorder::default).await?;
        reset(theirs);
        assert_eq!(transport.peer_addr()?, peer, "also after the connection has ended");
        Ok(())
    });
}

// T-009
#[test]
fn addresses_outlive_the_connection() {
    run(async || {
        let (ours, theirs) = sockets()?;
        let (local, peer) = (ours.local_addr()?, theirs.local_addr()?);
        let recorder = Recorder::default();
        let transport = create_connection(ours, || recorder.clone()).await?;
        for _ in 0..2 {
            assert_eq!(transport.local_addr()?, local);
            assert_eq!(transport.peer_addr()?, peer);
            assert_eq!(transport.peer_address(), Address::Inet(peer));
            let is_open = recorder.log.lines().len() == 1;
            assert_eq!(transport.with_socket(|_| ()).is_some(), is_open);
            transport.close();
            recorder.log.until("lost").await;
        }
        Ok(())
    });
}

// T-010
#[test]
fn small_writes_are_not_held_back_by_the_system() {
    run(async || {
        let recorder = Recorder::default();
        let accepted = recorder.clone();
        let server = create_server("127.0.0.1:0", move || accepted.clone()).await?;
        let client = create_connection(server.local_addr()?, Recorder::default).await?;
        recorder.log.until("made").await;
        for transport in [client, recorder.transport()] {
            let no_delay = transport.with_socket(|socket| socket.tcp_nodelay());
            assert!(no_delay.unwrap()?);
        }
        Ok(())
    });
}

/// A protocol with a receive buffer of its own.
#[derive(Clone)]
struct OwnBuffer {
    buffer: Vec<u8>,
    data: Rc<RefCell<Vec<u8>>>,
    log: Log,
}

impl OwnBuffer {
    fn new(length: usize) -> Self {
        Self { buffer: vec![0; length], data: Rc::default(), log: Log::default() }
    }
}

impl BufferedProtocol for OwnBuffer {
    fn get_buffer(&mut self, size_hint: usize) -> &mut [u8] {
        assert!(size_hint > 0);
        &mut self.buffer
    }

    fn buffer_updated(&mut self, _: &Transport, count: usize) {
        self.data.borrow_mut().extend_from_slice(&self.buffer[..count]);
        self.log.add(format!("{} bytes", self.data.borrow().len()));
    }

    fn eof_received(&mut self, _: &Transport) -> bool {
        self.log.add("eof");
        false
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
        self.log.add(if error.is_some() { "failed" } else { "lost" });
    }
}

// T-011
#[test]
fn a_protocol_may_bring_its_buffer() {
    run(async || {
        let (ours, mut theirs) = sockets()?;
        let protocol = OwnBuffer::new(100);
        create_buffered_connection(ours, || protocol.clone()).await?;
        let sent = bytes(9 * 1024);
        for piece in sent.chunks(700) {
            theirs.write_all(piece)?;
            turn().await;
        }
        drop(theirs);
        protocol.log.until("lost").await;
        assert!(*protocol.data.borrow() == sent);
        let lines = protocol.log.lines();
        assert_eq!(lines[lines.len() - 2..], ["eof", "lost"]);
        Ok(())
    });
}

#[test]
fn a_server_s_protocols_may_bring_their_buffers() {
    run(async || {
        let protocol = OwnBuffer::new(7);
        let made = protocol.clone();
        let server = create_buffered_server("127.0.0.1:0", move || made.clone()).await?;
        let mut client = TcpStream::connect(server.local_addr()?)?;
        client.write_all(&bytes(1000))?;
        drop(client);
        protocol.log.until("lost").await;
        assert!(*protocol.data.borrow() == bytes(1000));
        Ok(())
    });
}

#[test]
fn reading_goes_on_however_the_bytes_fall_into_the_buffer() {
    run(async || {
        // With some lengths, a short read and the protocol's yield to other tasks fall together.
        for length in 1..100 {
            let (ours, mut theirs) = sockets()?;
            let protocol = OwnBuffer::new(10);
            create_buffered_connection(ours, || protocol.clone()).await?;
            theirs.write_all(&bytes(length))?;
            protocol.log.until(&format!("{length} bytes")).await;
            settle().await;
            theirs.write_all(b"x")?;
            protocol.log.until(&format!("{} bytes", length + 1)).await;
        }
        Ok(())
    });
}

// T-012
#[test]
fn an_empty_buffer_is_a_fatal_error() {
    run(async || {
        let reports = reports();
        let (ours, mut theirs) = sockets()?;
        let protocol = OwnBuffer::new(0);
        create_buffered_connection(ours, || protocol.clone()).await?;
        theirs.write_all(b"x")?;
        protocol.log.until("failed").await;
        assert_eq!(protocol.log.lines(), ["failed"]);
        assert_eq!(reports.borrow().len(), 1);
        Ok(())
    });
}

// T-014 T-015
#[test]
fn writes_keep_their_order_whatever_their_size() {
    run(async || {
        let (_, transport, theirs) = pair().await?;
        let mut sent = Vec::new();
        let mut buffer = Vec::new();
        for round in 0..400_usize {
            buffer.clear();
            buffer.resize(round * 7919 % 9000, round as u8);
            sent.extend_from_slice(&buffer);
            match round % 3 {
                0 => transport.write(&buffer),
                1 => transport.write_lines(&[
                    &buffer[..buffer.len() / 2],
                    &[],
                    &buffer[buffer.len() / 2..],
                ]),
                _ => transport.write_bytes(buffer.clone()),
            }
        }
        assert!(transport.write_buffer_size() <= sent.len());
        assert!(read_exact(&theirs, sent.len()).await == sent);
        until(|| transport.write_buffer_size() == 0).await;
        Ok(())
    });
}

// T-016 T-017
#[test]
fn write_lines_keeps_what_was_not_sent_and_obeys_flow_control() {
    run(async || {
        let (recorder, transport, theirs) = pair().await?;
        let line = vec![7; 100_000];
        let lines = vec![&line[..]; 100];
        transport.write_lines(&lines);
        assert_eq!(recorder.log.lines(), ["made", "pause"]);
        assert!(read_exact(&theirs, 10_000_000).await == vec![7; 10_000_000]);
        recorder.log.until("resume").await;
        Ok(())
    });
}

// T-018
#[test]
fn writing_after_write_eof_panics() {
    run(async || {
        let (_, transport, theirs) = pair().await?;
        transport.write(b"last");
        transport.write_eof();
        transport.write_eof();
        let writes: [&dyn Fn(); 3] =
            [&|| transport.write(b"x"), &|| transport.write_lines(&[b"x"]), &|| {
                transport.write_bytes("x")
            }];
        for write in writes {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
        }
        assert_eq!(read_to_end(&theirs).await?, b"last");
        Ok(())
    });
}

// T-019 T-021
#[test]
fn close_sends_what_was_written_and_reads_no_more() {
    run(async || {
        let (recorder, transport, theirs) = pair().await?;
        let sent = bytes(8_000_000);
        transport.write(&sent);
        transport.close();
        transport.write(b"ignored");
        assert!(!transport.is_reading());
        settle().await;
        assert_eq!(recorder.log.lines(), ["made", "pause"]);
        assert!(read_exact(&theirs, sent.len()).await == sent);
        recorder.log.until("lost").await;
        for _ in 0..9 {
            transport.write(b"ignored");
        }

        let (recorder, transport, mut theirs) = pair().await?;
        transport.write(&sent);
        theirs.write_all(b"nobody listens")?;
        transport.close();
        let _ = read_to_end(&theirs).await;
        recorder.log.until_count(3).await;
        assert!(!recorder.log.lines().iter().any(|line| line.starts_with("data")));
        Ok(())
    });
}

// T-024
#[test]
fn a_write_that_fails_ends_the_connection_with_its_error() {
    run(async || {
        let (recorder, transport, theirs) = pair().await?;
        transport.pause_reading();
        transport.write(bytes(8_000_000));
        assert!(transport.write_buffer_size() > 0);
        reset(theirs);
        recorder.log.until_count(3).await;
        let lines = recorder.log.lines();
        assert_eq!(lines[..2], ["made", "pause"]);
        assert!(
            ["lost ConnectionReset", "lost BrokenPipe"].contains(&lines[2].as_str()),
            "{lines:?}"
        );
        assert_eq!(transport.write_buffer_size(), 0);
        Ok(())
    });
}

#[test]
fn a_peer_that_resets_ends_the_connection_with_an_error() {
    run(async || {
        let reports = reports();
        let (recorder, _, theirs) = pair().await?;
        reset(theirs);
        recorder.log.until("lost ConnectionReset").await;
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

// T-025
#[test]
fn pause_writing_is_called_inside_the_write_that_is_too_much() {
    run(async || {
        let (recorder, transport, theirs) = pair().await?;
        // The socket's own buffer takes many bytes before the transport's buffer grows.
        while recorder.log.lines().len() == 1 {
            let before = transport.write_buffer_size();
            transport.write(vec![1; 50_000]);
            let paused = transport.write_buffer_size() > 64 * 1024;
            assert_eq!(recorder.log.lines().len() == 2, paused, "{before}");
        }
        transport.write(vec![1; 50_000]);
        assert_eq!(recorder.log.lines(), ["made", "pause"]);
        let reading = create_task(read_to_end(&theirs));
        recorder.log.until("resume").await;
        assert!(transport.write_buffer_size() <= 16 * 1024);
        transport.close();
        reading.await.unwrap()?;
        assert_eq!(recorder.log.lines()[..3], ["made", "pause", "resume"]);
        Ok(())
    });
}

#[test]
fn pause_writing_waits_for_the_callback_that_writes() {
    struct Floods(Log);
    impl Protocol for Floods {
        fn data_received(&mut self, transport: &Transport, _: &[u8]) {
            transport.write(vec![0; 20_000_000]);
            self.0.add("written");
        }
        fn pause_writing(&mut self, _: &Transport) {
            self.0.add("pause");
        }
    }
    run(async || {
        let (ours, mut theirs) = sockets()?;
        let log = Log::default();
        let transport = create_connection(ours, || Floods(log.clone())).await?;
        theirs.write_all(b"x")?;
        log.until("pause").await;
        assert_eq!(log.lines(), ["written", "pause"]);
        transport.abort();
        Ok(())
    });
}

#[test]
fn what_resume_writing_writes_leaves_before_the_end() {
    /// A protocol whose `resume_writing` writes more than the socket takes, and closes.
    struct WritesTheRest(Log, bool);
    impl Protocol for WritesTheRest {
        fn connection_made(&mut self, transport: &Transport) {
            transport.write(bytes(8_000_000));
        }
        fn data_received(&mut self, _: &Transport, _: &[u8]) {}
        fn resume_writing(&mut self, transport: &Transport) {
            if self.0.lines().is_empty() {
                self.0.add("resume");
                transport.write(bytes(8_000_000));
                if self.1 { transport.close() } else { transport.write_eof() }
            }
        }
    }
    run(async || {
        for close in [false, true] {
            let (ours, theirs) = sockets()?;
            let log = Log::default();
            create_connection(ours, || WritesTheRest(log.clone(), close)).await?;
            let expected = [bytes(8_000_000), bytes(8_000_000)].concat();
            assert!(read_to_end(&theirs).await? == expected, "{close}");
            assert_eq!(log.lines(), ["resume"]);
        }
        Ok(())
    });
}

// T-027
#[test]
fn limits_have_defaults_that_fit_each_other() {
    run(async || {
        let (_, transport, _theirs) = pair().await?;
        assert_eq!(transport.write_buffer_limits(), (16 * 1024, 64 * 1024));
        transport.set_write_buffer_limits(Some(1000), None);
        assert_eq!(transport.write_buffer_limits(), (250, 1000));
        transport.set_write_buffer_limits(None, Some(60));
        assert_eq!(transport.write_buffer_limits(), (60, 240));
        transport.set_write_buffer_limits(Some(0), None);
        assert_eq!(transport.write_buffer_limits(), (0, 0));
        let wrong = || transport.set_write_buffer_limits(Some(1), Some(2));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).is_err());
        Ok(())
    });
}

// T-028
#[test]
fn lower_limits_pause_at_once() {
    run(async || {
        let (recorder, transport, theirs) = pair().await?;
        transport.set_write_buffer_limits(Some(100_000_000), None);
        transport.write(bytes(10_000_000));
        assert!(transport.write_buffer_size() > 0);
        assert_eq!(recorder.log.lines(), ["made"]);
        transport.set_write_buffer_limits(Some(1), None);
        assert_eq!(recorder.log.lines(), ["made", "pause"]);
        transport.set_write_buffer_limits(None, Some(50_000_000));
        assert_eq!(recorder.log.lines(), ["made", "pause", "resume"]);
        drop(theirs);
        Ok(())
    });
}

// T-029
#[test]
fn paused_reading_delivers_nothing_not_even_the_end() {
    run(async || {
        let (recorder, transport, mut theirs) = pair().await?;
        settle().await;
        transport.pause_reading();
        transport.pause_reading();
        assert!(!transport.is_reading());
        theirs.write_all(b"hello")?;
        drop(theirs);
        settle().await;
        assert_eq!(recorder.log.lines(), ["made"]);
        transport.resume_reading();
        transport.resume_reading();
        assert!(transport.is_reading());
        recorder.log.until("lost").await;
        assert_eq!(recorder.log.lines(), ["made", "data 5", "eof", "lost"]);
        assert!(!transport.is_reading());
        Ok(())
    });
}

// T-029
#[test]
fn reading_paused_by_the_data_goes_on_when_nothing_has_come_meanwhile() {
    struct PausesAtOnce(Recorder);
    impl Protocol for PausesAtOnce {
        fn data_received(&mut self, transport: &Transport, data: &[u8]) {
            transport.pause_reading();
            self.0.data_received(transport, data);
        }
    }
    run(async || {
        let (ours, mut theirs) = sockets()?;
        let recorder = Recorder::default();
        let transport = create_connection(ours, || PausesAtOnce(recorder.clone())).await?;
        for round in 1..5 {
            theirs.write_all(b"x")?;
            recorder.log.until(&format!("data {round}")).await;
            transport.resume_reading();
            settle().await;
        }
        Ok(())
    });
}

// T-037 T-038
#[test]
fn connected_sockets_are_taken_over() {
    run(async || {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
        let recorder = Recorder::default();
        let transport = connect_accepted_socket(ours, || recorder.clone()).await?;
        theirs.write_all(b"hello")?;
        recorder.log.until("data 5").await;
        transport.write(b"answer");
        turn().await;
        let mut answer = [0; 6];
        theirs.read_exact(&mut answer)?;
        assert_eq!(&answer, b"answer");

        let (ours, mut theirs) = sockets()?;
        let recorder = Recorder::default();
        connect_accepted_socket(ConnectedSocket::from(ours), || recorder.clone()).await?;
        theirs.write_all(b"hello")?;
        recorder.log.until("data 5").await;
        Ok(())
    });
}

#[test]
fn what_is_written_in_one_turn_leaves_together() {
    run(async || {
        let (_, transport, theirs) = pair().await?;
        theirs.set_nonblocking(true)?;
        for _ in 0..10 {
            transport.write(b"one of many ");
        }
        assert_eq!((&theirs).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(transport.write_buffer_size(), 120);
        turn().await;
        assert_eq!(transport.write_buffer_size(), 0);
        wait_for(&theirs, PollFlags::IN);
        let mut buffer = [0; 200];
        assert_eq!((&theirs).read(&mut buffer)?, 120);
        Ok(())
    });
}

#[test]
fn many_connections_that_write_in_one_turn_need_not_wait_for_its_end() {
    run(async || {
        let mut connections = Vec::new();
        for _ in 0..20 {
            connections.push(pair().await?);
        }
        for (_, transport, _) in &connections {
            transport.write(b"x");
        }
        let left = |(_, transport, _): &&(Recorder, Transport, TcpStream)| {
            transport.write_buffer_size() == 0
        };
        assert_eq!(connections.iter().filter(left).count(), 16);
        turn().await;
        assert_eq!(connections.iter().filter(left).count(), 20);
        Ok(())
    });
}

#[test]
fn a_slow_reader_costs_no_more_memory_than_the_mark_and_one_write() {
    run(async || {
        const WRITE: usize = 100_000;
        let (recorder, transport, theirs) = pair().await?;
        let writing = {
            let (recorder, transport) = (recorder.clone(), transport.clone());
            create_task(async move {
                let mut most = 0;
                for _ in 0..200 {
                    let lines = recorder.log.lines();
                    let paused = |line: &&String| *line == "pause" || *line == "resume";
                    if lines.iter().rev().find(paused).is_some_and(|line| line == "pause") {
                        recorder.log.take();
                        recorder.log.until("resume").await;
                    }
                    transport.write(vec![3; WRITE]);
                    most = most.max(transport.write_buffer_size());
                }
                transport.write_eof();
                most
            })
        };
        until(|| transport.write_buffer_size() > 64 * 1024).await;
        assert_eq!(read_to_end(&theirs).await?.len(), 200 * WRITE);
        assert!(writing.await.unwrap() <= 64 * 1024 + WRITE);
        Ok(())
    });
}

#[test]
fn a_protocol_that_holds_its_transport_does_not_hold_the_socket_beyond_the_loop() {
    let others = Rc::new(RefCell::new(Vec::new()));
    run(async || {
        for _ in 0..20 {
            let (_, _, theirs) = pair().await?;
            others.borrow_mut().push(theirs);
        }
        let server = create_server("127.0.0.1:0", Recorder::default).await?;
        let theirs = TcpStream::connect(server.local_addr()?)?;
        theirs.set_read_timeout(Some(Duration::from_secs(300)))?;
        others.borrow_mut().push(theirs);
        until(|| server.client_count() == 1).await;
        Ok(())
    });
    for mut other in others.take() {
        assert_eq!(other.read(&mut [0]).unwrap(), 0, "closed with the loop");
    }
}

#[test]
fn a_transport_can_be_kept_after_its_loop() {
    let kept = Rc::new(RefCell::new(None));
    run(async || {
        let (_, transport, theirs) = pair().await?;
        kept.replace(Some((transport, theirs)));
        Ok(())
    });
    let (transport, _theirs) = kept.take().unwrap();
    transport.write(b"nobody sends this");
    transport.close();
    assert!(format!("{transport:?}").contains("Transport"));
}
