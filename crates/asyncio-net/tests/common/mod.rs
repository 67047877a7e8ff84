//! Helpers for the tests.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use asyncio_loop::{Direction, ErrorContext, LoopRef, LoopWaker, Source, running_loop};
use asyncio_net::{Protocol, Transport};
use asyncio_task::{Runner, yield_now};
use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, Socket, Type};

/// A pipe: its reading and its writing end. `std::io::pipe` is newer than the oldest compiler.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    // Sets close-on-exec together with the pipe's creation where the system can, so that no child
    // of another test inherits it.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let (reading, writing) = {
        let (reading, writing) = rustix::pipe::pipe()?;
        rustix::io::fcntl_setfd(&reading, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::fcntl_setfd(&writing, rustix::io::FdFlags::CLOEXEC)?;
        (reading, writing)
    };
    Ok((reading.into(), writing.into()))
}

/// Runs a test that may use `?`.
#[track_caller]
pub(crate) fn run(test: impl AsyncFnOnce() -> io::Result<()>) {
    asyncio_task::run(test()).unwrap();
}

/// The same in virtual time: an hour passes when nothing else can run.
#[track_caller]
pub(crate) fn run_in_virtual_time(test: impl AsyncFnOnce() -> io::Result<()>) {
    Runner::builder().virtual_time(true).run(test()).unwrap();
}

/// The reports that the running loop's exception handler gets from now on.
pub(crate) fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let handler = {
        let reports = reports.clone();
        move |_: &LoopRef, context: &ErrorContext| reports.borrow_mut().push(context.to_string())
    };
    running_loop().set_exception_handler(Some(Rc::new(handler)));
    reports
}

/// Lets pending work finish: sent data is received, the woken tasks run, and the data they send is
/// received in turn, ten times over. A test calls this before it asserts that something did *not*
/// happen.
pub(crate) async fn settle() {
    Probe::new().unwrap().settle().await;
}

/// Runs the loop until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    Probe::new().unwrap().until(condition).await;
}

/// Blocks the thread until earlier sends over loopback have arrived.
pub(crate) fn delivered() {
    Probe::new().unwrap().send();
}

/// A connection of the loop to itself. When a byte has passed through it, the loop has received all
/// earlier events of the system.
pub(crate) struct Probe {
    receiving: Source<TcpStream>,
    sending: TcpStream,
}

impl Probe {
    pub(crate) fn new() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sending = TcpStream::connect(listener.local_addr()?)?;
        sending.set_nodelay(true)?;
        let receiving = Source::new(&running_loop(), listener.accept()?.0);
        Ok(Self { receiving, sending })
    }

    /// Like [`settle`], for tests without a free descriptor for a probe.
    pub(crate) async fn settle(&self) {
        for _ in 0..10 {
            self.round().await;
        }
    }

    /// Like [`until`], for tests without a free descriptor for a probe.
    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        while !condition() {
            self.round().await;
        }
    }

    /// Blocks the thread until earlier sends have arrived.
    fn send(&self) {
        (&self.sending).write_all(b"x").unwrap();
        wait_for(self.receiving.get_ref(), PollFlags::IN);
    }

    /// Polls the driver and runs the tasks that it wakes.
    async fn round(&self) {
        let socket = self.receiving.get_ref();
        self.send();
        self.receiving.clear_ready(Direction::Read);
        self.receiving.ready(Direction::Read).await.unwrap();
        (&*socket).read_exact(&mut [0]).unwrap();
        turn().await;
    }
}

/// Blocks until the system reports this event for a descriptor.
pub(crate) fn wait_for(socket: impl AsFd, what: PollFlags) {
    let mut polled = [PollFd::new(&socket, what)];
    rustix::event::poll(&mut polled, None).unwrap();
}

/// Yields for one turn.
pub(crate) async fn turn() {
    yield_now().await;
}

/// An address that refuses connections: the socket is bound to it and does not listen. No other
/// program gets the port meanwhile, but a server of the test may listen on it.
pub(crate) fn dead_address() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A socket that refuses datagrams from other sockets, since it is connected to itself. No other
/// program gets the port meanwhile.
pub(crate) fn deaf_socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    socket
}

/// An address that neither accepts nor refuses connections, since its backlog is full.
pub(crate) fn silent_address() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let clients = (0..4)
        .map(|number| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // The first connection blocks, so it is established before the others start.
            client.set_nonblocking(number > 0).unwrap();
            let _ = client.connect(&address);
            client
        })
        .collect();
    (listener, clients, address.as_socket().unwrap())
}

/// How many sockets this process has open.
pub(crate) fn open_sockets() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// A named pipe. By the program, since rustix does not make one on every system.
pub(crate) fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A directory for files, which is removed at the end.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("asyncio-net-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all::<&Path>(&self.0);
    }
}

/// A log of events that a test can wait on.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<LogState>);

#[derive(Default)]
struct LogState {
    lines: RefCell<Vec<String>>,
    waiter: Cell<Option<LoopWaker>>,
}

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lines.borrow_mut().push(line.into());
        if let Some(waiter) = self.0.waiter.take() {
            waiter.wake();
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines.borrow().clone()
    }

    /// Removes and returns the lines logged so far.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.lines.take()
    }

    /// Waits until this line is in the log.
    pub(crate) async fn until(&self, line: &str) {
        poll_fn(|cx| {
            if self.0.lines.borrow().iter().any(|known| known == line) {
                return Poll::Ready(());
            }
            self.0.waiter.set(Some(LoopWaker::from_context(cx)));
            Poll::Pending
        })
        .await;
    }

    /// Waits until the log has this many lines.
    pub(crate) async fn until_count(&self, count: usize) {
        poll_fn(|cx| {
            if self.0.lines.borrow().len() >= count {
                return Poll::Ready(());
            }
            self.0.waiter.set(Some(LoopWaker::from_context(cx)));
            Poll::Pending
        })
        .await;
    }
}

/// A protocol that logs its calls, and whose fields say how it reacts.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    pub(crate) log: Log,
    pub(crate) data: Rc<RefCell<Vec<u8>>>,
    pub(crate) transport: Rc<RefCell<Option<Transport>>>,
    pub(crate) keep_after_eof: bool,
}

impl Recorder {
    pub(crate) fn transport(&self) -> Transport {
        self.transport.borrow().clone().expect("a connection was made")
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &Transport) {
        *self.transport.borrow_mut() = Some(transport.clone());
        self.log.add("made");
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) {
        self.data.borrow_mut().extend_from_slice(data);
        self.log.add(format!("data {}", self.data.borrow().len()));
    }

    fn eof_received(&mut self, _: &Transport) -> bool {
        self.log.add("eof");
        self.keep_after_eof
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
        self.log.add(match error {
            Some(error) => format!("lost {:?}", error.kind()),
            None => "lost".to_owned(),
        });
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.log.add("pause");
    }

    fn resume_writing(&mut self, _: &Transport) {
        self.log.add("resume");
    }
}

/// A protocol that sends all data back.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// A protocol that neither sends nor reads.
pub(crate) struct Silent;

impl Protocol for Silent {
    fn connection_made(&mut self, transport: &Transport) {
        transport.pause_reading();
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) {
        unreachable!("reading is paused");
    }
}

pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8) as u8).collect()
}
