//! Random programs in which user code panics anywhere: in methods and destructors of protocols,
//! those of datagrams too, factories, handlers, wakers, streams, context values, payloads, and
//! exception handlers. Whatever happens, the other clients of the same servers and the other
//! endpoints are served to the end, everything ends, and every panic is reported once.
//!
//! `FENCE_PROGRAMS=100000 cargo test --release -p asyncio-net --test prop_fence` runs that many.

mod common;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use asyncio_loop::{ContextVar, ErrorContext, LoopRef, running_loop};
use asyncio_net::{
    Address, ByteSource, ByteStream, DatagramProtocol, DatagramTransport, JoinedStream, Protocol,
    Server, ServerAddress, StreamReader, StreamWriter, Transport, create_datagram_endpoint,
    create_server, sock_recv, start_server, stream_over,
};
use asyncio_task::{Runner, create_task, timeout, yield_now};

/// How many programs run when the environment does not say.
const PROGRAMS: u64 = 1_000;

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(1) };
    /// Number of panics in user code.
    static THROWN: Cell<usize> = const { Cell::new(0) };
    /// Number of panics reported to the exception handler or the default one.
    static REPORTED: Cell<usize> = const { Cell::new(0) };
}

fn random(below: u64) -> u64 {
    let mut state = RANDOM.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    RANDOM.set(state);
    (state >> 11) % below
}

fn add(counter: &'static std::thread::LocalKey<Cell<usize>>) {
    counter.set(counter.get() + 1);
}

/// The payloads of the panics: a text, or a value that panics when it is dropped.
const TEXT: &str = "wild";
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_any(TEXT);
        }
    }
}

/// Called at the start of user code: panics with a chance of one in twelve.
fn enter() {
    if random(12) == 0 && !std::thread::panicking() {
        add(&THROWN);
        if random(4) == 0 {
            panic_any(Payload);
        }
        panic_any(TEXT);
    }
}

/// A user's value, whose destructor may panic.
#[derive(Clone)]
struct Value;

impl Drop for Value {
    fn drop(&mut self) {
        enter();
    }
}

static VALUE: ContextVar<Option<Value>> = ContextVar::local("value").with_default(|| None);

/// For each client to come: whether its protocol is wild, or echoes.
type Kinds = Rc<std::cell::RefCell<VecDeque<bool>>>;

struct Client {
    is_wild: bool,
    _value: Option<Value>,
}

impl Client {
    fn enter(&self) {
        if self.is_wild {
            enter();
        }
    }

    fn wild() -> Self {
        Self { is_wild: true, _value: Some(Value) }
    }
}

/// Writes; `write` panics after `write_eof`, as documented, which is not tested here.
fn write(transport: &Transport, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| transport.write(data))).is_err() {
        transport.abort();
    }
}

/// Calls a random method of the transport.
fn act(transport: &Transport) {
    match random(12) {
        0 => transport.close(),
        1 => transport.abort(),
        2 => transport.pause_reading(),
        3 => transport.resume_reading(),
        4 => transport.set_write_buffer_limits(Some(random(1000) as usize), Some(0)),
        5 => transport.set_protocol(Client::wild()),
        6 => write(transport, &vec![1; 300_000]),
        7 if !transport.is_closing() => transport.write_eof(),
        _ => {}
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &Transport) {
        self.enter();
        if self.is_wild {
            act(transport);
        }
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.enter();
        if self.is_wild {
            act(transport);
            write(transport, data);
            self.enter();
        } else {
            transport.write(data);
        }
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.enter();
        if self.is_wild {
            act(transport);
        }
        self.is_wild && random(2) == 0
    }

    fn connection_lost(&mut self, transport: &Transport, _: Option<io::Error>) {
        self.enter();
        if self.is_wild {
            act(transport);
        }
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.enter();
    }

    fn resume_writing(&mut self, _: &Transport) {
        self.enter();
    }
}

/// A datagram protocol that is wild or echoes.
struct Datagrams(Client);

impl DatagramProtocol for Datagrams {
    fn connection_made(&mut self, transport: &DatagramTransport) {
        self.act(transport);
    }

    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], _: &Address) {
        self.act(transport);
        transport.send(data);
        self.0.enter();
    }

    fn error_received(&mut self, transport: &DatagramTransport, _: io::Error) {
        self.act(transport);
    }

    fn connection_lost(&mut self, transport: &DatagramTransport, _: Option<io::Error>) {
        self.act(transport);
    }

    fn pause_writing(&mut self, _: &DatagramTransport) {
        self.0.enter();
    }

    fn resume_writing(&mut self, _: &DatagramTransport) {
        self.0.enter();
    }
}

impl Datagrams {
    fn act(&self, transport: &DatagramTransport) {
        self.0.enter();
        match random(12) {
            _ if !self.0.is_wild => {}
            0 => transport.close(),
            1 => transport.abort(),
            2 => transport.set_write_buffer_limits(Some(random(100) as usize), Some(0)),
            3 => (0..random(200)).for_each(|_| transport.send([3; 1000])),
            _ => {}
        }
    }
}

/// An endpoint and its peer.
struct Endpoint {
    transport: DatagramTransport,
    peer: UnixDatagram,
}

impl Endpoint {
    async fn new(client: Client) -> io::Result<Self> {
        let (ours, peer) = UnixDatagram::pair()?;
        peer.set_nonblocking(true)?;
        let transport = create_datagram_endpoint(|| Datagrams(client)).socket(ours).await?;
        Ok(Self { transport, peer })
    }

    /// Sends a datagram to an echoing endpoint, and receives it back.
    async fn echo(&self) -> io::Result<()> {
        let message = vec![7; 1 + random(2000) as usize];
        self.peer.send(&message)?;
        assert_eq!(sock_recv(&self.peer, 3000).await?, message);
        Ok(())
    }

    /// Sends datagrams to a wild endpoint, and receives some of its datagrams.
    fn disturb(&self) {
        for _ in 0..random(5) {
            let _ = self.peer.send(&[5; 100]);
        }
        for _ in 0..random(20) {
            let _ = self.peer.recv(&mut [0; 2000]);
        }
    }

    fn end(&self) {
        if random(2) == 0 { self.transport.close() } else { self.transport.abort() }
    }
}

async fn handle(is_wild: bool, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let _value = is_wild.then(|| {
        VALUE.set(Some(Value));
        Value
    });
    loop {
        let bytes = reader.read(65536).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        if is_wild {
            enter();
            if random(6) == 0 {
                yield_now().await;
            }
            enter();
        }
        writer.write_bytes(bytes);
        if !is_wild || random(2) == 0 {
            writer.drain().await?;
        }
    }
}

/// A waker of another executor.
struct WildWaker;

impl Wake for WildWaker {
    fn wake(self: Arc<Self>) {
        enter();
    }
}

impl Drop for WildWaker {
    fn drop(&mut self) {
        enter();
    }
}

/// A user's stream that fails or panics at random.
struct WildStream(#[allow(dead_code, reason = "for its destructor")] Value);

impl ByteSource for WildStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        enter();
        if random(3) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(buffer.len().min(random(100) as usize)))
    }
}

impl ByteStream for WildStream {
    fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        enter();
        match random(3) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(parts.iter().map(|part| part.len()).sum()),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        enter();
        if random(2) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn write_eof(&self) -> io::Result<()> {
        enter();
        Ok(())
    }

    fn close(&self) {
        enter();
    }
}

/// Two servers, and the kinds of the clients that they will accept next.
struct Servers {
    servers: [Server; 2],
    kinds: [Kinds; 2],
}

impl Servers {
    async fn new() -> io::Result<Self> {
        let kinds = [Kinds::default(), Kinds::default()];
        let (by_protocol, by_stream) = (kinds[0].clone(), kinds[1].clone());
        let captured = Value;
        let protocols = create_server(ServerAddress::nothing(), move || {
            let _captured = &captured;
            let is_wild = by_protocol.borrow_mut().pop_front().unwrap_or(true);
            if is_wild {
                enter();
                return Client::wild();
            }
            Client { is_wild, _value: None }
        })
        .await?;
        let captured = Value;
        let streams = start_server(ServerAddress::nothing(), move |reader, writer| {
            let _captured = &captured;
            let is_wild = by_stream.borrow_mut().pop_front().unwrap_or(true);
            if is_wild {
                enter();
            }
            handle(is_wild, reader, writer)
        })
        .await?;
        Ok(Self { servers: [protocols, streams], kinds })
    }

    fn connect(&self, which: usize, is_wild: bool) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        self.kinds[which].borrow_mut().push_back(is_wild);
        assert!(self.servers[which].intake().hand_over(theirs).is_ok(), "the server is closed");
        Ok(ours)
    }
}

/// Sends a message as an echo client, and receives it back.
async fn echo(client: &mut JoinedStream) -> io::Result<()> {
    let message = vec![7; 1 + random(2000) as usize];
    client.writer().write(&message);
    let answer = client.reader().read_exactly(message.len()).await.map_err(io::Error::other)?;
    assert_eq!(answer, message);
    Ok(())
}

/// Polls once with a wild waker. Its panics while it is cloned reach the caller, and count as
/// reported.
fn poll_wildly<F: Future>(future: Pin<&mut F>) {
    let waker = Waker::from(Arc::new(WildWaker));
    let poll = || drop(future.poll(&mut Context::from_waker(&waker)));
    if catch_unwind(AssertUnwindSafe(poll)).is_err() {
        add(&REPORTED);
    }
    if catch_unwind(AssertUnwindSafe(|| drop(waker))).is_err() {
        add(&REPORTED);
    }
}

async fn program() -> io::Result<()> {
    running_loop().set_exception_handler(Some(Rc::new(|_: &LoopRef, context: &ErrorContext| {
        if context.panic().is_some() {
            add(&REPORTED);
        }
        if random(6) == 0 {
            // The default handler then reports both panics.
            panic_any(TEXT);
        }
    })));
    if random(2) == 0 {
        VALUE.set(Some(Value));
    }
    let servers = Servers::new().await?;
    let mut good = Vec::new();
    for which in [0, 1] {
        good.push(JoinedStream::from_std(servers.connect(which, false)?)?);
        // Waits for each client, so that the factories see the clients in this order.
        echo(good.last_mut().unwrap()).await?;
    }
    let good_endpoint = Endpoint::new(Client { is_wild: false, _value: None }).await?;
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut waiting = pin!(servers.servers[0].wait_closed());
    let mut wild: Vec<UnixStream> = Vec::new();
    let mut over: Vec<StreamWriter> = Vec::new();
    for _ in 0..4 + random(8) {
        match random(12) {
            9..=10 => match endpoints.last() {
                Some(endpoint) if random(3) > 0 => endpoint.disturb(),
                _ => endpoints.extend(Endpoint::new(Client::wild()).await),
            },
            11 => drop(endpoints.pop()),
            0..=2 => {
                let client = servers.connect(random(2) as usize, true)?;
                client.set_nonblocking(true)?;
                // The server may have refused the client already.
                let _ = (&client).write(&vec![5; random(100) as usize]);
                wild.push(client);
            }
            3..=4 if !wild.is_empty() => {
                let client = &wild[random(wild.len() as u64) as usize];
                let _ = (&*client).write(&vec![5; random(50_000) as usize]);
            }
            5 if !wild.is_empty() => {
                let client = wild.swap_remove(random(wild.len() as u64) as usize);
                let _ = client.shutdown(Shutdown::Write);
            }
            6 => poll_wildly(waiting.as_mut()),
            7 => {
                let (_reader, writer) = stream_over(WildStream(Value));
                writer.write(vec![1; random(6000) as usize]);
                over.push(writer);
            }
            8 if random(4) == 0 => {
                running_loop().set_task_factory(Some(Rc::new(|event_loop, _| {
                    event_loop.set_task_factory(None);
                    enter();
                })));
            }
            _ => over.clear(),
        }
        if random(3) > 0 {
            for client in &mut good {
                echo(client).await?;
            }
            good_endpoint.echo().await?;
        }
    }
    running_loop().set_task_factory(None);
    for client in &mut good {
        echo(client).await?;
    }
    good_endpoint.echo().await?;
    endpoints.iter().for_each(Endpoint::end);
    good_endpoint.end();
    for server in &servers.servers {
        server.close();
        if random(2) == 0 { server.close_clients() } else { server.abort_clients() }
    }
    drop((wild, over));
    let waits = servers.servers.clone().map(|server| {
        create_task(async move {
            server.shutdown(Duration::from_secs(1)).await;
            server.wait_closed().await;
        })
    });
    for wait in waits {
        wait.await.unwrap();
    }
    Ok(())
}

/// The default handler writes to the log.
struct Counts;

impl log::Log for Counts {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args().to_string();
        if text.contains("panic") && !text.starts_with("unhandled panic in the exception handler") {
            add(&REPORTED);
        }
    }

    fn flush(&self) {}
}

#[test]
fn whatever_panics_hurts_its_owner_only() {
    static COUNTS: Counts = Counts;
    log::set_logger(&COUNTS).expect("the only logger");
    log::set_max_level(log::LevelFilter::Error);
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let is_wild = info.payload().downcast_ref::<&str>() == Some(&TEXT);
        if !is_wild && !info.payload().is::<Payload>() {
            standard(info);
        }
    }));
    let programs = std::env::var("FENCE_PROGRAMS").map_or(PROGRAMS, |text| text.parse().unwrap());
    let mut panics = 0;
    for seed in 1..=programs {
        RANDOM.set(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        THROWN.set(0);
        REPORTED.set(0);
        // The program runs in a task of its own, so that its context's values are dropped inside
        // the program.
        let main = async { timeout(Duration::from_secs(3600), create_task(program())).await };
        let run = || Runner::builder().virtual_time(true).run(main);
        let ended = catch_unwind(AssertUnwindSafe(run));
        let ended = ended.unwrap_or_else(|_| panic!("program {seed} panicked"));
        ended.unwrap_or_else(|_| panic!("program {seed} hangs")).unwrap().unwrap();
        assert_eq!(THROWN.get(), REPORTED.get(), "panics and reports of program {seed}");
        panics += THROWN.get();
    }
    assert!(panics as u64 > programs, "{panics} panics in {programs} programs");
}
