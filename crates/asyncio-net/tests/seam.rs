//! The calls that a connection makes on a stream that is not a socket, and layers under
//! connections.

mod common;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_net::{
    Accepting, ByteSource, ByteStream, ClientAddress, Connecting, Extra, Layer, MemoryStream,
    PlainStream, Protocol, Transport, connect_accepted_socket, create_acceptor, create_connection,
    create_server, memory_pair, open_connection, start_server, stream_over, transport_over,
    upgrade_transport,
};
use asyncio_task::{create_task, sleep, timeout, try_gather};
use common::{bytes, reports, run, run_in_virtual_time, settle, until};

/// A stream that buffers up to `limit` taken bytes, as a TLS session buffers records, and keeps
/// none of the bytes that it has refused.
struct Keeping {
    below: MemoryStream,
    kept: RefCell<Vec<u8>>,
    limit: usize,
}

impl Keeping {
    fn over(below: MemoryStream) -> Self {
        Self { below, kept: RefCell::default(), limit: 1000 }
    }
}

impl ByteSource for Keeping {
    /// Reading a `?` puts a `!` into the output, without a call of `poll_write`.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = ready!(self.below.poll_read(cx, buffer))?;
        let questions = buffer[..count].iter().filter(|byte| **byte == b'?').count();
        self.kept.borrow_mut().extend(vec![b'!'; questions]);
        Poll::Ready(Ok(count))
    }
}

impl ByteStream for Keeping {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_flush()?;
        let first = slices.iter().find(|slice| !slice.is_empty()).unwrap();
        let count = first.len().min(self.limit);
        self.kept.borrow_mut().extend(&first[..count]);
        Ok(count)
    }

    fn unsent(&self) -> usize {
        self.kept.borrow().len()
    }

    fn try_flush(&self) -> io::Result<()> {
        let mut kept = self.kept.borrow_mut();
        while !kept.is_empty() {
            let sent = self.below.try_write(&[IoSlice::new(&kept)])?;
            kept.drain(..sent);
        }
        Ok(())
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_write_ready(cx)
    }

    fn write_eof(&self) -> io::Result<()> {
        self.below.write_eof()
    }

    fn close(&self) {
        self.below.close();
    }
}

#[test]
fn bytes_that_a_stream_keeps_leave_and_count_as_queued() {
    run(async || {
        let (ours, theirs) = memory_pair(100);
        let (_reader, writer) = stream_over(Keeping::over(ours));
        let (mut peer, _answer) = stream_over(theirs);
        writer.write("x".repeat(500).as_bytes());
        settle().await;
        assert_eq!(writer.transport().write_buffer_size(), 400, "the stream holds the bytes");
        let (flushed, received) = asyncio_task::gather((writer.flush(), async {
            let received = peer.read_exactly(500).await?;
            io::Result::Ok(received)
        }))
        .await;
        flushed?;
        assert_eq!(received?, "x".repeat(500));
        assert_eq!(writer.transport().write_buffer_size(), 0);
        // The same holds if no task waits for the flush.
        let much = bytes(100_000);
        writer.write(&much);
        assert!(peer.read_exactly(much.len()).await? == much);
        Ok(())
    });
}

#[test]
fn what_a_stream_keeps_leaves_before_the_end() {
    run(async || {
        let (ours, theirs) = memory_pair(10);
        let (_reader, writer) = stream_over(Keeping::over(ours));
        let (mut peer, _answer) = stream_over(theirs);
        let much = bytes(3000);
        writer.write(&much);
        let (closed, received) = asyncio_task::gather((writer.close(), peer.read_to_end())).await;
        closed?;
        assert!(received? == much);
        Ok(())
    });
}

#[test]
fn an_answer_that_reading_causes_leaves_although_nobody_writes() {
    run(async || {
        // With streams: the peer does not read at first.
        let (ours, theirs) = memory_pair(2);
        let (mut reader, _writer) = stream_over(Keeping::over(ours));
        let (mut peer, question) = stream_over(theirs);
        let reading = create_task(async move { reader.read_exactly(9).await.map(drop) });
        question.write("?????????");
        settle().await;
        assert_eq!(peer.read_exactly(9).await?, "!!!!!!!!!");
        reading.await.unwrap()?;

        // With a protocol.
        struct Deaf;
        impl Protocol for Deaf {
            fn data_received(&mut self, _: &Transport, _: &[u8]) {}
        }
        let (ours, theirs) = memory_pair(2);
        transport_over(Keeping::over(ours), Deaf)?;
        let (mut peer, question) = stream_over(theirs);
        question.write("?????????");
        assert_eq!(peer.read_exactly(9).await?, "!!!!!!!!!");
        Ok(())
    });
}

#[test]
fn an_answer_that_reading_causes_does_not_take_the_wake_of_a_writer_that_waits() {
    run(async || {
        let (ours, theirs) = memory_pair(8);
        let (mut reader, writer) = stream_over(Keeping::over(ours));
        let (mut peer, question) = stream_over(theirs);
        writer.transport().set_write_buffer_limits(Some(0), Some(0));
        writer.write("x".repeat(50).as_bytes());
        let drained = create_task(async move { writer.drain().await.map(|()| writer) });
        let reading = create_task(async move { reader.read_exactly(2).await.map(|_| reader) });
        question.write("??");
        settle().await;
        let received = peer.read_exactly(52).await?;
        assert_eq!(received.iter().filter(|byte| **byte == b'!').count(), 2);
        reading.await.unwrap()?;
        drained.await.unwrap()?;
        Ok(())
    });
}

/// `poll_write` may be called with other bytes after some were refused; the stream sends only the
/// bytes that it has reported as taken.
#[test]
fn a_writer_that_was_refused_may_offer_other_bytes() {
    run(async || {
        let (ours, theirs) = memory_pair(64);
        let (_reader, writer) = stream_over(Keeping::over(ours));
        let (mut peer, _answer) = stream_over(theirs);
        let expected = Rc::new(RefCell::new(Vec::new()));
        let taken = expected.clone();
        let writing = create_task(async move {
            for round in 0..100_u32 {
                // Each call offers other bytes, of another length.
                let offered = vec![round as u8; 5000 + (round as usize * 37) % 4000];
                let count = poll_fn(|cx| writer.poll_write(cx, &offered)).await?;
                taken.borrow_mut().extend(&offered[..count]);
            }
            writer.close().await
        });
        let mut received = Vec::new();
        loop {
            let bytes = peer.read(1000).await?;
            if bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&bytes);
        }
        writing.await.unwrap()?;
        assert!(received == *expected.borrow());
        Ok(())
    });
}

/// A stream whose close sends a message and waits for the answer.
struct Polite {
    below: MemoryStream,
    has_asked: Cell<bool>,
    time_limit: Duration,
    deadline: RefCell<Option<asyncio_task::Sleep>>,
}

impl Polite {
    fn over(below: MemoryStream) -> Self {
        let time_limit = Duration::from_secs(30);
        Self { below, has_asked: Cell::new(false), time_limit, deadline: RefCell::new(None) }
    }
}

impl ByteSource for Polite {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.below.poll_read(cx, buffer)
    }
}

impl ByteStream for Polite {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.below.try_write(slices)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_write_ready(cx)
    }

    fn write_eof(&self) -> io::Result<()> {
        self.below.write_eof()
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_asked.replace(true) {
            self.below.try_write(&[IoSlice::new(b"bye?")])?;
        }
        let mut answer = [0; 100];
        if let Poll::Ready(read) = self.below.poll_read(cx, &mut answer) {
            return Poll::Ready(read.map(drop));
        }
        let mut deadline = self.deadline.borrow_mut();
        let deadline = deadline.get_or_insert_with(|| sleep(self.time_limit));
        std::pin::Pin::new(deadline).poll(cx).map(|_| Err(ErrorKind::TimedOut.into()))
    }

    fn close(&self) {
        self.below.close();
    }

    fn extra(&self, request: &mut Extra<'_>) {
        request.offer(|| "polite");
        request.offer(|| 7u8);
        request.offer(|| 8u8);
    }
}

#[test]
fn closing_says_what_the_stream_has_to_say_and_waits_for_the_answer() {
    run_in_virtual_time(async || {
        let (ours, theirs) = memory_pair(100);
        let (mut reader, writer) = stream_over(Polite::over(ours));
        let (mut peer, answer) = stream_over(theirs);
        let reading = create_task(async move { reader.read(10).await });
        settle().await;
        writer.write("text ");
        let closing = create_task(async move { writer.close().await });
        assert_eq!(peer.read_exactly(9).await?, "text bye?");
        settle().await;
        assert!(!closing.is_done());
        assert_eq!(reading.await.unwrap()?, "", "the reader is at its end");
        answer.write("bye");
        closing.await.unwrap()?;
        assert_eq!(peer.read(1).await?, "");
        Ok(())
    });
}

#[test]
fn a_close_that_is_not_answered_fails_in_the_end() {
    #[derive(Clone, Default)]
    struct Lost(Rc<RefCell<Vec<Option<ErrorKind>>>>);
    impl Protocol for Lost {
        fn data_received(&mut self, _: &Transport, _: &[u8]) {}
        fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
            self.0.borrow_mut().push(error.map(|error| error.kind()));
        }
    }
    run_in_virtual_time(async || {
        let (ours, _theirs) = memory_pair(100);
        let (_reader, writer) = stream_over(Polite::over(ours));
        let before = asyncio_loop::running_loop().time();
        let error = writer.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(asyncio_loop::running_loop().time() - before, Duration::from_secs(30));

        let lost = Lost::default();
        let (ours, _theirs) = memory_pair(100);
        let transport = transport_over(Polite::over(ours), lost.clone())?;
        transport.close();
        settle().await;
        assert!(lost.0.borrow().is_empty());
        sleep(Duration::from_secs(31)).await;
        assert_eq!(*lost.0.borrow(), [Some(ErrorKind::TimedOut)]);
        Ok(())
    });
}

#[test]
fn a_close_that_waits_can_be_aborted() {
    run_in_virtual_time(async || {
        let (ours, theirs) = memory_pair(100);
        let (_reader, writer) = stream_over(Polite::over(ours));
        let transport = writer.transport().clone();
        let closing = create_task(async move { writer.close().await });
        settle().await;
        transport.abort();
        closing.await.unwrap()?;
        let (mut peer, _answer) = stream_over(theirs);
        assert_eq!(peer.read_to_end().await?, "bye?");
        Ok(())
    });
}

#[test]
fn extra_information_is_asked_for_by_its_type() {
    run(async || {
        let (ours, _theirs) = memory_pair(100);
        let (_reader, writer) = stream_over(Polite::over(ours));
        assert_eq!(writer.extra::<&str>(), Some("polite"));
        assert_eq!(writer.extra::<u8>(), Some(7), "the first offer counts");
        assert_eq!(writer.transport().extra::<u16>(), None);
        Ok(())
    });
}

#[test]
fn the_ends_of_a_pair_in_memory_are_like_those_of_a_socket() {
    run(async || {
        let (ours, theirs) = memory_pair(4);
        let (mut reader, writer) = stream_over(ours);
        let (mut peer, answer) = stream_over(theirs);
        let much = bytes(10_000);
        let (sent, received) = asyncio_task::gather((
            async {
                writer.write(&much);
                writer.write_eof();
                writer.flush().await
            },
            peer.read_to_end(),
        ))
        .await;
        sent?;
        assert!(received? == much);
        // The other direction still works; then the peer closes.
        answer.write("last");
        answer.close().await?;
        assert_eq!(reader.read_to_end().await?, "last");
        drop(peer);
        let (ours, theirs) = memory_pair(4);
        drop(theirs);
        let (mut reader, writer) = stream_over(ours);
        writer.write("x");
        assert_eq!(writer.flush().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(reader.read(1).await?, "");
        Ok(())
    });
}

/// A layer that inverts every byte, after a handshake of one byte in each direction.
#[derive(Clone)]
struct Turning {
    key: u8,
    /// How long the handshake waits for the peer.
    time_limit: Duration,
}

impl Turning {
    const GOOD: Self = Self { key: 0xff, time_limit: Duration::from_secs(60) };

    async fn wrap(&self, plain: PlainStream) -> io::Result<Turned> {
        plain.try_write(&[IoSlice::new(&[self.key])])?;
        let mut key = [0];
        let receive = poll_fn(|cx| plain.poll_read(cx, &mut key));
        let count = timeout(self.time_limit, receive).await.map_err(|_| ErrorKind::TimedOut)??;
        match (count, key[0] == self.key) {
            (0, _) => Err(ErrorKind::ConnectionReset.into()),
            (_, false) => Err(io::Error::new(ErrorKind::InvalidData, "another key")),
            _ => Ok(Turned(plain, self.key)),
        }
    }
}

impl Layer<Connecting> for Turning {
    type Stream = Turned;

    fn check(&self, host: Option<&str>) -> io::Result<()> {
        match host {
            Some("") => Err(ErrorKind::InvalidInput.into()),
            _ => Ok(()),
        }
    }

    async fn wrap(&self, _: Option<&str>, plain: PlainStream) -> io::Result<Turned> {
        assert!(!plain.is_server_side());
        self.wrap(plain).await
    }
}

impl Layer<Accepting> for Turning {
    type Stream = Turned;

    async fn wrap(&self, host: Option<&str>, plain: PlainStream) -> io::Result<Turned> {
        assert!(plain.is_server_side() && host.is_none());
        self.wrap(plain).await
    }
}

struct Turned(PlainStream, u8);

impl ByteSource for Turned {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.0.poll_read(cx, buffer);
        buffer.iter_mut().for_each(|byte| *byte ^= self.1);
        read
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }
}

impl ByteStream for Turned {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = slices.iter().find(|slice| !slice.is_empty()).unwrap();
        let turned: Vec<u8> = first.iter().map(|byte| byte ^ self.1).collect();
        self.0.try_write(&[IoSlice::new(&turned)])
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn write_eof(&self) -> io::Result<()> {
        self.0.write_eof()
    }

    fn close(&self) {
        self.0.close();
    }

    fn abort(&self) {
        self.0.abort();
    }

    fn local_address(&self) -> asyncio_net::Address {
        self.0.local_address()
    }

    fn peer_address(&self) -> asyncio_net::Address {
        self.0.peer_address()
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }
}

#[test]
fn layers_are_put_under_streams_and_protocols_of_both_sides() {
    run(async || {
        let streams = start_server("127.0.0.1:0", async |mut reader, writer| {
            while let Some(line) = reader.next_line().await? {
                writer.write(&line);
            }
            writer.close().await
        })
        .layer(Turning::GOOD)
        .await?;
        let protocols = create_server("127.0.0.1:0", || Echo).layer(Turning::GOOD).await?;
        for server in [&streams, &protocols] {
            let address = server.local_addr()?;
            let (mut reader, writer) = open_connection(address).layer(Turning::GOOD).await?;
            assert_eq!(writer.peer_addr()?, address);
            for line in ["one\n", "two\n"] {
                writer.write(line);
                assert_eq!(reader.read_line().await?, line);
            }
            writer.close().await?;
            until(|| server.client_count() == 0).await;

            struct Asks(asyncio_task::Promise<String>);
            impl Protocol for Asks {
                fn connection_made(&mut self, transport: &Transport) {
                    transport.write("hello\n");
                }
                fn data_received(&mut self, transport: &Transport, data: &[u8]) {
                    let _ = self.0.set_result(String::from_utf8_lossy(data).into_owned());
                    transport.close();
                }
            }
            let answer = asyncio_task::create_future();
            create_connection(address, || Asks(answer.clone())).layer(Turning::GOOD).await?;
            assert_eq!(answer.await.unwrap(), "hello\n");
        }
        for server in [streams, protocols] {
            server.shutdown(Duration::from_secs(60)).await;
            assert_eq!(server.client_count(), 0);
        }
        Ok(())
    });
}

#[test]
fn layers_stand_on_one_another_and_on_other_streams_and_accepted_sockets() {
    run(async || {
        let (ours, theirs) = memory_pair(100);
        let inner = Turning { key: 3, ..Turning::GOOD };
        let outer = Turning { key: 5, ..Turning::GOOD };
        let client = open_connection(ClientAddress::over(ours)).layer(inner.clone()).tls(&outer);
        // The peer sends both handshakes by hand: 3 for the inner layer, 5 through the inner layer,
        // then text through both.
        let (mut peer, answer) = stream_over(theirs);
        answer.write([3, 3 ^ 5]);
        answer.write(b"hi".map(|byte| byte ^ 3 ^ 5).as_slice());
        let (mut reader, _writer) = client.await?;
        assert_eq!(reader.read_exactly(2).await?, "hi");
        assert_eq!(peer.read_exactly(2).await?, [3, 3 ^ 5][..]);

        let (accepted, theirs) = std::os::unix::net::UnixStream::pair()?;
        let accept = connect_accepted_socket(accepted, || Echo).layer(Turning::GOOD);
        let open = open_connection(theirs).layer(Turning::GOOD);
        let (_transport, (mut reader, writer)) =
            try_gather((accept.into_future(), open.into_future())).await?;
        writer.write("hello");
        assert_eq!(reader.read_exactly(5).await?, "hello");
        Ok(())
    });
}

#[test]
fn a_client_whose_layer_fails_is_no_client_and_no_report() {
    run(async || {
        let reports = reports();
        let made = Rc::new(Cell::new(0));
        let counted = made.clone();
        let server = create_server("127.0.0.1:0", move || {
            counted.set(counted.get() + 1);
            Echo
        })
        .layer(Turning::GOOD)
        .await?;
        let address = server.local_addr()?;
        let wrong = Turning { key: 1, ..Turning::GOOD };
        let error = open_connection(address).layer(wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        until(|| server.client_count() == 0).await;
        assert_eq!(made.get(), 0);
        // The server goes on accepting clients.
        let (mut reader, writer) = open_connection(address).layer(Turning::GOOD).await?;
        writer.write("hello");
        assert_eq!(reader.read_exactly(5).await?, "hello");
        assert_eq!(made.get(), 1);
        assert_eq!(*reports.borrow(), [""; 0]);
        Ok(())
    });
}

#[test]
fn clients_on_their_way_in_count_and_hold_nobody_up() {
    run(async || {
        let served = Rc::new(Cell::new(0));
        let counted = served.clone();
        let server = start_server("127.0.0.1:0", async move |mut reader, _writer| {
            counted.set(counted.get() + 1);
            reader.read_to_end().await
        })
        .layer(Turning::GOOD)
        .await?;
        let address = server.local_addr()?;
        // Ten clients that never send their handshake.
        let mut slow = Vec::new();
        for _ in 0..10 {
            slow.push(open_connection(address).await?);
        }
        until(|| server.client_count() == 10).await;
        let client = open_connection(address).layer(Turning::GOOD).await?;
        until(|| served.get() == 1).await;
        assert_eq!(server.client_count(), 11);
        // `close_clients` ends clients in their handshake, too.
        server.close_clients();
        for (reader, _) in &mut slow {
            reader.read_to_end().await?;
        }
        until(|| server.client_count() == 0).await;
        drop(client);
        Ok(())
    });
}

#[test]
fn a_shutdown_waits_for_clients_on_their_way_in_until_its_grace_is_over() {
    run_in_virtual_time(async || {
        let server = start_server("127.0.0.1:0", async |_, _| ()).layer(Turning::GOOD).await?;
        let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
        until(|| server.client_count() == 1).await;
        let before = asyncio_loop::running_loop().time();
        server.shutdown(Duration::from_secs(10)).await;
        let took = asyncio_loop::running_loop().time() - before;
        assert_eq!(took, Duration::from_secs(10));
        assert_eq!(server.client_count(), 0);
        reader.read_to_end().await?;
        Ok(())
    });
}

#[test]
fn a_connect_that_is_given_up_in_its_layer_closes_the_connection() {
    run(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let connecting = create_task(open_connection(address).layer(Turning::GOOD).into_future());
        settle().await;
        let (mut peer, _) = listener.accept()?;
        connecting.cancel();
        assert!(connecting.await.is_err());
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut peer, &mut rest)?;
        assert_eq!(rest, [0xff]);
        Ok(())
    });
}

#[test]
fn an_acceptor_has_no_layers() {
    run(async || {
        let acceptor = create_acceptor("127.0.0.1:0", drop);
        let error = acceptor.layer(Turning::GOOD).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// A protocol that logs its calls.
#[derive(Clone, Default)]
struct Noting(Rc<RefCell<Vec<String>>>);

impl Protocol for Noting {
    fn connection_made(&mut self, _: &Transport) {
        self.0.borrow_mut().push("made".into());
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.0.borrow_mut().push(String::from_utf8_lossy(data).into_owned());
        transport.write(data);
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
        self.0.borrow_mut().push(format!("lost {:?}", error.map(|error| error.kind())));
    }
}

#[test]
fn a_protocol_goes_on_over_a_stream_that_is_put_over_its_connection() {
    run(async || {
        // With a server, whose protocols share a task and a ready list; and without one.
        for has_server in [true, false] {
            let noting = Noting::default();
            let transports = Rc::new(RefCell::new(Vec::new()));
            struct Kept(Noting, Rc<RefCell<Vec<Transport>>>);
            impl Protocol for Kept {
                fn connection_made(&mut self, transport: &Transport) {
                    self.1.borrow_mut().push(transport.clone());
                    self.0.connection_made(transport);
                }
                fn data_received(&mut self, transport: &Transport, data: &[u8]) {
                    self.0.data_received(transport, data);
                }
                fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>) {
                    self.0.connection_lost(transport, error);
                }
            }
            let (for_factory, kept) = (noting.clone(), transports.clone());
            let factory = move || Kept(for_factory.clone(), kept.clone());
            let server = create_server("127.0.0.1:0", factory.clone()).await?;
            let (mut peer, answer) = if has_server {
                open_connection(server.local_addr()?).await?
            } else {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                connect_accepted_socket(ours, factory).await?;
                open_connection(theirs).await?
            };
            // The protocol has received data before, so its socket is in the ready list.
            answer.write("plain");
            assert_eq!(peer.read_exactly(5).await?, "plain");
            settle().await;
            let before = transports.borrow()[0].clone();
            before.write("go");
            let upgrading = create_task({
                let before = before.clone();
                async move {
                    upgrade_transport(&before, async |plain| Turning::GOOD.wrap(plain).await).await
                }
            });
            assert_eq!(peer.read_exactly(3).await?, [b'g', b'o', 0xff][..]);
            // Bytes that arrive during the upgrade do not reach the protocol undecoded.
            answer.write([0xff]);
            answer.write(b"turned".map(|byte| !byte).as_slice());
            let after = upgrading.await.unwrap()?;
            assert_eq!(peer.read_exactly(6).await?, b"turned".map(|byte| !byte)[..]);
            assert_eq!(*noting.0.borrow(), ["made", "plain", "turned"]);
            assert_eq!(after.peer_address(), before.peer_address());
            if has_server {
                assert_eq!(server.client_count(), 1);
                server.close_clients();
            } else {
                after.close();
            }
            assert_eq!(peer.read(1).await?, "");
            until(|| noting.0.borrow().len() == 4).await;
            assert_eq!(noting.0.borrow()[3], "lost None");
            server.shutdown(Duration::from_secs(60)).await;
        }
        Ok(())
    });
}

#[test]
fn a_protocol_whose_upgrade_fails_or_is_given_up_has_lost_its_connection() {
    run(async || {
        for gives_up in [false, true] {
            let noting = Noting::default();
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            let transport = connect_accepted_socket(ours, || noting.clone()).await?;
            let (mut peer, answer) = open_connection(theirs).await?;
            let upgrading = create_task({
                let transport = transport.clone();
                async move {
                    upgrade_transport(&transport, async |plain| Turning::GOOD.wrap(plain).await)
                        .await
                }
            });
            assert_eq!(peer.read_exactly(1).await?, [0xff][..]);
            if gives_up {
                upgrading.cancel();
                assert!(upgrading.await.is_err());
            } else {
                answer.write([1]);
                let error = upgrading.await.unwrap().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData);
            }
            assert_eq!(peer.read(1).await?, "");
            until(|| noting.0.borrow().len() == 2).await;
            assert_eq!(*noting.0.borrow(), ["made", "lost None"]);
            assert!(transport.is_closing());
        }
        Ok(())
    });
}
