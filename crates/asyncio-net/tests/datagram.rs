//! Datagram endpoints.

mod common;

use std::cell::RefCell;
use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    Address, CreateDatagramEndpoint, DatagramProtocol, DatagramTransport, Family,
    create_datagram_endpoint,
};
use common::{Log, TempDir, bytes, deaf_socket, pipe, reports, run, settle, turn};
use socket2::SockRef;

const LOOPBACK: &str = "127.0.0.1:0";

/// A protocol that logs its calls, and answers questions.
#[derive(Clone, Default)]
struct Recorder {
    log: Log,
    data: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl DatagramProtocol for Recorder {
    fn connection_made(&mut self, _: &DatagramTransport) {
        self.log.add("made");
    }

    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], sender: &Address) {
        self.data.borrow_mut().push(data.to_vec());
        self.log.add(format!("{} bytes", data.len()));
        if data.ends_with(b"?") {
            transport.send_to(b"answer", sender.clone());
        }
    }

    fn error_received(&mut self, _: &DatagramTransport, error: io::Error) {
        self.log.add(format!("error {:?}", error.kind()));
    }

    fn connection_lost(&mut self, _: &DatagramTransport, error: Option<io::Error>) {
        self.log.add(if error.is_some() { "failed" } else { "lost" });
    }

    fn pause_writing(&mut self, _: &DatagramTransport) {
        self.log.add("pause");
    }

    fn resume_writing(&mut self, _: &DatagramTransport) {
        self.log.add("resume");
    }
}

type New = CreateDatagramEndpoint<'static>;

async fn refused(with: impl FnOnce(New) -> New) -> io::Error {
    with(create_datagram_endpoint(Recorder::default)).await.unwrap_err()
}

async fn endpoint(with: impl FnOnce(New) -> New) -> io::Result<(Recorder, DatagramTransport)> {
    let recorder = Recorder::default();
    let protocol = recorder.clone();
    let transport = with(create_datagram_endpoint(|| protocol)).await?;
    Ok((recorder, transport))
}

fn bound(new: CreateDatagramEndpoint<'_>) -> CreateDatagramEndpoint<'_> {
    new.local_addr(LOOPBACK)
}

/// A blocking socket for the test itself.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    socket
}

// D-001
#[test]
fn questions_and_answers() {
    run(async || {
        let (server, server_transport) = endpoint(bound).await?;
        let address = server_transport.local_addr().unwrap();
        let (client, transport) = endpoint(|new| new.remote_addr(address)).await?;
        assert_eq!(transport.peer_addr()?, address);
        transport.send(b"really?");
        client.log.until("6 bytes").await;
        assert_eq!(*server.data.borrow(), [b"really?"]);
        assert_eq!(*client.data.borrow(), [b"answer"]);
        assert_eq!(server.log.lines(), ["made", "7 bytes"]);
        Ok(())
    });
}

// D-002
#[test]
fn an_address_or_a_family_is_needed() {
    run(async || {
        let error = refused(|new| new).await;
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let (_, transport) = endpoint(|new| new.family(Family::Inet)).await?;
        let peer = socket();
        transport.send_to(b"hello", peer.local_addr()?);
        assert_eq!(peer.recv(&mut [0; 9])?, 5);
        Ok(())
    });
}

// D-003
#[test]
fn addresses_need_a_family_in_common() {
    run(async || {
        assert_eq!(
            refused(|new| bound(new).remote_addr("[::1]:9")).await.kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(
            refused(|new| bound(new).family(Family::Inet6)).await.kind(),
            io::ErrorKind::InvalidInput
        );
        Ok(())
    });
}

// D-004
#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    run(async || {
        let socket = socket();
        let taken = socket.local_addr()?;
        let error = refused(|new| new.local_addr(taken)).await;
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()));
        Ok(())
    });
}

// D-005
#[test]
fn socket_options_are_set_as_asked() {
    run(async || {
        for asked in [false, true] {
            let (_, transport) =
                endpoint(|new| bound(new).reuse_port(asked).allow_broadcast(asked)).await?;
            transport.with_socket(|socket| {
                assert_eq!(socket.reuse_port().unwrap(), asked);
                assert_eq!(socket.broadcast().unwrap(), asked);
                assert!(!socket.reuse_address().unwrap());
            });
        }
        Ok(())
    });
}

// D-007
#[test]
fn unix_sockets_work_by_path() {
    run(async || {
        let dir = TempDir::new();
        let (path, client_path) = (dir.path("server"), dir.path("client"));
        drop(UnixDatagram::bind(&path)?);
        let (server, _server_transport) = endpoint(|new| new.local_addr(&path)).await?;
        let (client, transport) =
            endpoint(|new| new.local_addr(&client_path).remote_addr(&path)).await?;
        assert_eq!(transport.peer_address(), Address::Unix(path));
        transport.send(b"really?");
        client.log.until("6 bytes").await;
        assert_eq!(*server.data.borrow(), [b"really?"]);

        let missing = dir.path("missing");
        assert_eq!(refused(|new| new.remote_addr(missing)).await.kind(), io::ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn the_file_of_a_unix_socket_is_removed_unless_told_otherwise() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let (recorder, transport) = endpoint(|new| new.local_addr(&path)).await?;
        assert!(path.exists());
        transport.close();
        recorder.log.until("lost").await;
        turn().await;
        assert!(!path.exists());

        let (recorder, transport) =
            endpoint(|new| new.local_addr(&path).cleanup_socket(false)).await?;
        transport.close();
        recorder.log.until("lost").await;
        turn().await;
        assert!(path.exists());
        Ok(())
    });
}

// D-008
#[test]
fn an_empty_datagram_is_a_datagram() {
    run(async || {
        let (server, server_transport) = endpoint(bound).await?;
        let address = server_transport.local_addr().unwrap();
        let (_, transport) = endpoint(|new| new.remote_addr(address)).await?;
        transport.send(b"");
        server.log.until("0 bytes").await;
        let peer = socket();
        server_transport.send_to(b"", peer.local_addr()?);
        assert_eq!(peer.recv(&mut [0; 9])?, 0);
        Ok(())
    });
}

// D-009 D-015 D-016
#[test]
fn what_the_socket_does_not_take_is_sent_later_in_order() {
    run(async || {
        let (ours, theirs) = UnixDatagram::pair()?;
        let recorder = Recorder::default();
        let transport = create_datagram_endpoint(|| recorder.clone()).socket(ours).await?;
        let mut buffer = Vec::new();
        for round in 0..200_usize {
            buffer.clear();
            buffer.resize(1000 + round, round as u8);
            transport.send(&buffer);
        }
        assert!(transport.write_buffer_size() > 64 * 1024);
        assert_eq!(recorder.log.lines(), ["made", "pause"]);
        transport.close();
        transport.send(b"ignored");
        assert!(transport.is_closing());
        theirs.set_nonblocking(true)?;
        let mut received = 0;
        while received < 200 {
            let mut buffer = [0; 2000];
            match theirs.recv(&mut buffer) {
                Ok(length) => {
                    assert_eq!((length, buffer[0]), (1000 + received, received as u8));
                    received += 1;
                }
                Err(_) => turn().await,
            }
        }
        recorder.log.until("lost").await;
        assert_eq!(recorder.log.lines(), ["made", "pause", "resume", "lost"]);
        Ok(())
    });
}

// empty_datagrams, D-010
#[test]
fn empty_datagrams_fill_the_queue_too() {
    run(async || {
        let (ours, _theirs) = UnixDatagram::pair()?;
        let recorder = Recorder::default();
        let transport = create_datagram_endpoint(|| recorder.clone()).socket(ours).await?;
        // Sends more than the peer's receive queue holds.
        let sent = (0..100_000).find(|_| {
            transport.send(b"");
            transport.write_buffer_size() > 0
        });
        assert!(sent.is_some(), "the waiting empty datagram counts");
        assert_eq!(transport.write_buffer_size(), 8);
        transport.send(b"four");
        assert_eq!(transport.write_buffer_size(), 20);
        for _ in 0..8192 {
            transport.send(b"");
        }
        assert_eq!(transport.write_buffer_size(), 20 + 8 * 8192);
        assert_eq!(recorder.log.lines(), ["made", "pause"]);
        transport.abort();
        assert_eq!(transport.write_buffer_size(), 0);
        Ok(())
    });
}

#[test]
fn a_flood_of_errors_is_bounded() {
    run(async || {
        let (recorder, transport) = endpoint(bound).await?;
        for _ in 0..5000 {
            transport.send(b"to nobody");
        }
        recorder.log.until_count(1025).await;
        settle().await;
        assert_eq!(recorder.log.lines().len(), 1025);
        assert!(!transport.is_closing());
        Ok(())
    });
}

// D-006
#[test]
fn an_endpoint_that_broadcasts_hears_from_all_that_answer() {
    run(async || {
        let (asked, answers) = (socket(), socket());
        let (recorder, transport) = endpoint(|new| {
            bound(new).remote_addr(asked.local_addr().unwrap()).allow_broadcast(true)
        })
        .await?;
        assert_eq!(transport.peer_address(), Address::Unnamed);
        transport.send(b"is anybody there?");
        let (_, asker) = asked.recv_from(&mut [0; 99])?;
        answers.send_to(b"I am", asker)?;
        recorder.log.until("4 bytes").await;
        transport.send_to(b"thanks", answers.local_addr()?);
        assert_eq!(answers.recv(&mut [0; 99])?, 6);
        Ok(())
    });
}

#[test]
fn a_datagram_longer_than_the_limit_is_an_error_and_never_cut() {
    run(async || {
        let (recorder, transport) = endpoint(|new| bound(new).limit(100)).await?;
        let peer = socket();
        for length in [100, 101, 99] {
            peer.send_to(&vec![7; length], transport.local_addr().unwrap())?;
        }
        recorder.log.until("99 bytes").await;
        assert_eq!(recorder.log.lines(), ["made", "100 bytes", "error InvalidData", "99 bytes"]);
        Ok(())
    });
}

#[test]
fn long_unix_datagrams_come_whole_if_they_may() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("server");
        let peer = UnixDatagram::unbound()?;
        SockRef::from(&peer).set_send_buffer_size(212_992)?;
        for (limit, line) in [(256 * 1024, "error InvalidData"), (400_000, "300000 bytes")] {
            let (recorder, transport) = endpoint(|new| new.local_addr(&path).limit(limit)).await?;
            peer.send_to(&bytes(300_000), &path)?;
            recorder.log.until(line).await;
            transport.close();
            recorder.log.until("lost").await;
            if line == "300000 bytes" {
                assert_eq!(recorder.data.borrow()[0], bytes(300_000));
            }
            turn().await;
        }
        Ok(())
    });
}

#[test]
fn descriptors_that_come_with_a_datagram_are_closed_and_the_data_is_whole() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    run(async || {
        let (ours, theirs) = UnixDatagram::pair()?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        rustix::net::sockopt::set_socket_passcred(&ours, true)?;
        let recorder = Recorder::default();
        let _transport = create_datagram_endpoint(|| recorder.clone()).socket(ours).await?;
        let (reading, writing) = pipe()?;
        let mut space = [std::mem::MaybeUninit::uninit(); 64];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [std::os::fd::AsFd::as_fd(&writing)];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let data = [io::IoSlice::new(b"with a descriptor")];
        sendmsg(&theirs, &data, &mut control, SendFlags::empty())?;
        drop(writing);
        recorder.log.until("17 bytes").await;
        // The loop has closed its copy of the pipe's writing end, too.
        assert_eq!(io::Read::read(&mut &reading, &mut [0])?, 0);
        Ok(())
    });
}

/// A protocol that logs the number of received descriptors, and the data after them.
struct Takes(Log);

impl DatagramProtocol for Takes {
    fn descriptors_received(&mut self, _: &DatagramTransport, descriptors: Vec<OwnedFd>) {
        self.0.add(format!("{} descriptors", descriptors.len()));
    }
    fn datagram_received(&mut self, _: &DatagramTransport, data: &[u8], _: &Address) {
        self.0.add(String::from_utf8_lossy(data));
    }
    fn error_received(&mut self, _: &DatagramTransport, error: io::Error) {
        self.0.add(format!("error {:?}", error.kind()));
    }
}

fn files(count: usize) -> Vec<std::fs::File> {
    (0..count).map(|_| std::fs::File::open("/dev/null").unwrap()).collect()
}

#[test]
fn datagrams_pass_descriptors() {
    run(async || {
        let (ours, theirs) = UnixDatagram::pair()?;
        let log = Log::default();
        let takes = create_datagram_endpoint(|| Takes(log.clone())).socket(theirs);
        let _theirs = takes.descriptors(2).await?;
        let ours = create_datagram_endpoint(Recorder::default).socket(ours).await?;
        ours.send_descriptors(b"two", files(2));
        ours.send(b"none");
        ours.send_descriptors(b"three", files(3));
        ours.send_descriptors(b"", files(1));
        log.until_count(6).await;
        assert_eq!(
            log.lines(),
            ["2 descriptors", "two", "none", "error InvalidData", "1 descriptors", ""]
        );
        Ok(())
    });
}

#[test]
fn a_descriptor_for_an_address() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("receiver");
        let log = Log::default();
        let takes = create_datagram_endpoint(|| Takes(log.clone())).local_addr(&path);
        let _receiver = takes.descriptors(1).await?;
        let (_, sender) = endpoint(|new| new.local_addr(dir.path("sender"))).await?;
        sender.send_descriptors_to(b"a file", files(1), path.as_path());
        log.until_count(2).await;
        assert_eq!(log.lines(), ["1 descriptors", "a file"]);
        Ok(())
    });
}

#[test]
fn descriptors_wait_in_the_queue_and_are_closed_with_it() {
    run(async || {
        let (ours, theirs) = UnixDatagram::pair()?;
        let ours = create_datagram_endpoint(Recorder::default).socket(ours).await?;
        while ours.write_buffer_size() == 0 {
            ours.send(b"full");
        }
        let pipes = [pipe()?, pipe()?];
        let [(_, first), (mut reading, second)] = pipes;
        ours.send_descriptors(b"first", [first]);
        let log = Log::default();
        let takes = create_datagram_endpoint(|| Takes(log.clone())).socket(theirs);
        let _theirs = takes.descriptors(1).await?;
        log.until("first").await;
        assert!(log.lines().ends_with(&["1 descriptors".to_owned(), "first".to_owned()]));

        let (blocked, _peer) = UnixDatagram::pair()?;
        let blocked = create_datagram_endpoint(Recorder::default).socket(blocked).await?;
        while blocked.write_buffer_size() == 0 {
            blocked.send(b"full");
        }
        blocked.send_descriptors(b"second", [second]);
        blocked.abort();
        assert_eq!(io::Read::read(&mut reading, &mut [0])?, 0, "the transport is closed");
        Ok(())
    });
}

#[test]
fn a_socket_that_is_handed_over_keeps_its_mode() {
    use rustix::fs::{OFlags, fcntl_getfl};
    run(async || {
        let (ours, theirs) = UnixDatagram::pair()?;
        let shared = ours.try_clone()?;
        let recorder = Recorder::default();
        let transport = create_datagram_endpoint(|| recorder.clone()).socket(ours).await?;
        while transport.write_buffer_size() == 0 {
            transport.send([0; 1000]);
        }
        theirs.send(b"hello")?;
        recorder.log.until("5 bytes").await;
        assert!(!fcntl_getfl(&shared)?.contains(OFlags::NONBLOCK));
        Ok(())
    });
}

#[test]
fn options_of_a_new_socket_do_not_go_with_a_socket() {
    run(async || {
        for with in [
            |new: New| bound(new),
            |new: New| new.family(Family::Inet),
            |new: New| new.reuse_port(true),
            |new: New| new.allow_broadcast(true),
        ] {
            let error = refused(|new| with(new).socket(socket())).await;
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        Ok(())
    });
}

#[test]
fn a_task_that_awaits_the_builder_is_small() {
    let opens = async || bound(create_datagram_endpoint(Recorder::default)).await.map(drop);
    assert!(size_of_val(&opens()) <= 40, "{}", size_of_val(&opens()));
    let text = format!("{:?}", bound(create_datagram_endpoint(Recorder::default)));
    assert!(text.contains("127.0.0.1") && text.contains("tests/datagram.rs"), "{text}");
}

#[test]
fn a_stream_socket_is_refused() {
    run(async || {
        let (stream, _other) = std::os::unix::net::UnixStream::pair()?;
        let error = create_datagram_endpoint(Recorder::default).socket(stream).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

// context_leak
#[test]
fn resume_writing_runs_in_the_context_of_the_endpoint() {
    asyncio_loop::context_var! { static NAME: &'static str; }
    struct Notes(Log);
    impl DatagramProtocol for Notes {
        fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
        fn resume_writing(&mut self, _: &DatagramTransport) {
            self.0.add(NAME.get());
        }
    }
    run(async || {
        let log = Log::default();
        NAME.set("maker");
        let (ours, theirs) = UnixDatagram::pair()?;
        let transport = create_datagram_endpoint(|| Notes(log.clone())).socket(ours).await?;
        let writing = asyncio_task::create_task(async move {
            NAME.set("writer");
            while transport.write_buffer_size() <= 64 * 1024 {
                transport.send([0; 1000]);
            }
            transport
        });
        let _transport = writing.await.unwrap();
        theirs.set_nonblocking(true)?;
        while log.lines().is_empty() {
            let _ = theirs.recv(&mut [0; 1000]);
            turn().await;
        }
        assert_eq!(log.lines(), ["maker"]);
        Ok(())
    });
}

// D-011
#[test]
fn an_error_is_told_and_the_endpoint_goes_on() {
    run(async || {
        let peer = deaf_socket();
        let address = peer.local_addr()?;
        let (recorder, transport) = endpoint(|new| bound(new).remote_addr(address)).await?;
        transport.send(b"nobody is there");
        recorder.log.until("error ConnectionRefused").await;

        peer.connect(transport.local_addr().unwrap())?;
        peer.send(b"now there is")?;
        recorder.log.until("12 bytes").await;
        assert!(!transport.is_closing());
        Ok(())
    });
}

#[test]
fn an_error_of_a_send_is_told_in_a_step_of_its_own() {
    run(async || {
        let (recorder, transport) = endpoint(bound).await?;
        transport.send(b"to whom?");
        transport.send_to(vec![0; 100_000], socket().local_addr()?);
        assert_eq!(recorder.log.lines(), ["made"]);
        recorder.log.until_count(3).await;
        assert!(recorder.log.lines()[1..].iter().all(|line| line.starts_with("error")));
        Ok(())
    });
}

// D-012
#[test]
fn a_port_where_nobody_listens_does_not_stop_the_receiving() {
    run(async || {
        let (recorder, transport) = endpoint(bound).await?;
        let dead = deaf_socket();
        for _ in 0..3 {
            transport.send_to(b"nobody is there", dead.local_addr()?);
        }
        settle().await;
        socket().send_to(b"hello", transport.local_addr().unwrap())?;
        recorder.log.until("5 bytes").await;
        Ok(())
    });
}

// D-014
#[test]
fn a_connected_endpoint_sends_to_its_peer_only() {
    run(async || {
        let peer = socket();
        let (_, transport) =
            endpoint(|new| bound(new).remote_addr(peer.local_addr().unwrap())).await?;
        transport.send_to(b"fine", peer.local_addr()?);
        assert_eq!(peer.recv(&mut [0; 9])?, 4);
        let other = socket().local_addr()?;
        let wrong = || transport.send_to(b"wrong", other);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).is_err());
        Ok(())
    });
}

#[test]
fn abort_drops_what_is_queued() {
    run(async || {
        let (ours, theirs) = UnixDatagram::pair()?;
        let recorder = Recorder::default();
        let transport = create_datagram_endpoint(|| recorder.clone()).socket(ours).await?;
        while transport.write_buffer_size() == 0 {
            transport.send([0; 1000]);
        }
        transport.abort();
        assert_eq!(transport.write_buffer_size(), 0);
        recorder.log.until("lost").await;
        assert!(transport.with_socket(|_| ()).is_none());
        drop(theirs);
        Ok(())
    });
}

/// A protocol that panics in the given methods.
struct Panics {
    methods: &'static [&'static str],
    log: Log,
}

impl Panics {
    fn called(&self, method: &'static str) {
        self.log.add(method);
        assert!(!self.methods.contains(&method), "in {method}");
    }
}

impl DatagramProtocol for Panics {
    fn connection_made(&mut self, _: &DatagramTransport) {
        self.called("connection_made");
    }
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {
        self.called("datagram_received");
    }
    fn error_received(&mut self, _: &DatagramTransport, _: io::Error) {
        self.called("error_received");
    }
    fn pause_writing(&mut self, _: &DatagramTransport) {
        self.called("pause_writing");
    }
    fn resume_writing(&mut self, _: &DatagramTransport) {
        self.called("resume_writing");
    }
    fn connection_lost(&mut self, _: &DatagramTransport, error: Option<io::Error>) {
        self.called(if error.is_some() { "connection_failed" } else { "connection_lost" });
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.called("drop");
    }
}

#[test]
fn a_protocol_that_panics_is_reported_and_the_endpoint_goes_on() {
    run(async || {
        let reports = reports();
        let (log, methods) = (Log::default(), &["datagram_received", "error_received"]);
        let protocol = || Panics { methods, log: log.clone() };
        let transport = bound(create_datagram_endpoint(protocol)).await?;
        for _ in 0..2 {
            socket().send_to(b"x", transport.local_addr().unwrap())?;
            transport.send(b"to nobody");
        }
        log.until_count(5).await;
        assert!(!transport.is_closing());
        assert_eq!(reports.borrow().len(), 4);
        assert!(reports.borrow().iter().any(|report| report.contains("in datagram_received")));
        assert!(reports.borrow().iter().any(|report| report.contains("in error_received")));
        transport.close();
        log.until("drop").await;
        assert_eq!(log.lines()[5..], ["connection_lost", "drop"]);
        Ok(())
    });
}

#[test]
fn a_protocol_that_panics_when_it_is_paused_is_reported_once_each_way() {
    run(async || {
        let reports = reports();
        let (ours, theirs) = UnixDatagram::pair()?;
        let (log, methods) = (Log::default(), &["pause_writing", "resume_writing"]);
        let transport =
            create_datagram_endpoint(|| Panics { methods, log: log.clone() }).socket(ours).await?;
        while transport.write_buffer_size() <= 64 * 1024 {
            transport.send([0; 1000]);
        }
        theirs.set_nonblocking(true)?;
        while !log.lines().contains(&"resume_writing".to_owned()) {
            let _ = theirs.recv(&mut [0; 1000]);
            turn().await;
        }
        assert_eq!(reports.borrow().len(), 2);
        assert!(!transport.is_closing());
        Ok(())
    });
}

#[test]
fn a_panic_at_the_beginning_or_the_end_hurts_that_endpoint_only() {
    for (method, lines) in [
        ("connection_made", &["connection_made", "connection_failed", "drop"]),
        ("connection_lost", &["connection_made", "connection_lost", "drop"]),
        ("drop", &["connection_made", "connection_lost", "drop"]),
    ] {
        run(async || {
            let reports = reports();
            let (other, other_transport) = endpoint(bound).await?;
            let log = Log::default();
            let methods = Box::leak(Box::new([method]));
            let protocol = || Panics { methods, log: log.clone() };
            let transport = bound(create_datagram_endpoint(protocol)).await?;
            transport.close();
            log.until("drop").await;
            turn().await;
            assert_eq!(log.lines(), lines);
            assert_eq!(reports.borrow().len(), 1, "{method}: {reports:?}");
            assert!(reports.borrow()[0].contains(&format!("in {method}")), "{reports:?}");
            assert!(transport.with_socket(|_| ()).is_none(), "the socket is closed");
            socket().send_to(b"hello", other_transport.local_addr().unwrap())?;
            other.log.until("5 bytes").await;
            Ok(())
        });
    }
}

#[test]
fn a_destructor_that_panics_while_the_loop_is_closed_is_reported() {
    let log = Log::default();
    run(async || {
        let protocol = || Panics { methods: &["drop"], log: log.clone() };
        bound(create_datagram_endpoint(protocol)).await.map(drop)
    });
    assert_eq!(log.lines(), ["connection_made", "drop"]);
}

#[test]
fn many_datagrams_do_not_keep_others_from_running() {
    run(async || {
        let (recorder, transport) = endpoint(bound).await?;
        let peer = socket();
        for _ in 0..100 {
            peer.send_to(b"x", transport.local_addr().unwrap())?;
        }
        let mut turns = 0;
        while recorder.data.borrow().len() < 100 {
            turn().await;
            turns += 1;
        }
        assert!(turns >= 3, "{turns}");
        Ok(())
    });
}

#[test]
fn a_protocol_that_holds_its_transport_does_not_hold_the_socket_beyond_the_loop() {
    struct Holds(Option<DatagramTransport>);
    impl DatagramProtocol for Holds {
        fn connection_made(&mut self, transport: &DatagramTransport) {
            self.0 = Some(transport.clone());
        }
        fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
    }
    let address = RefCell::new(None);
    run(async || {
        // The endpoint has an IP address of its own, so that no other test gets its port.
        let host = if cfg!(target_os = "linux") { "127.0.0.3:0" } else { LOOPBACK };
        let transport = create_datagram_endpoint(|| Holds(None)).local_addr(host).await?;
        address.replace(transport.local_addr().ok());
        Ok(())
    });
    UdpSocket::bind(address.take().unwrap()).expect("the port is free again");
}

#[test]
fn an_error_that_is_answered_by_another_one_does_not_keep_others_from_running() {
    struct Insists(Log);
    impl DatagramProtocol for Insists {
        fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
        fn error_received(&mut self, transport: &DatagramTransport, _: io::Error) {
            self.0.add("error");
            transport.send(b"to nobody");
        }
        fn connection_lost(&mut self, _: &DatagramTransport, _: Option<io::Error>) {
            self.0.add("lost");
        }
    }
    run(async || {
        let log = Log::default();
        let transport = bound(create_datagram_endpoint(|| Insists(log.clone()))).await?;
        transport.send(b"to nobody");
        log.until_count(3).await;
        transport.close();
        log.until("lost").await;
        Ok(())
    });
}
