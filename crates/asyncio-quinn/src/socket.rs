//! A UDP socket for quinn.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use asyncio_loop::{Direction, LoopHandle, Source, running_loop};
use asyncio_task::machinery::Kept;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::UdpSocketState;

use crate::writers::Writers;

/// Any thread may send. The loop watches the socket, and its tasks receive and wait.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Arc<UdpSocket>,
    state: UdpSocketState,
    home: LoopHandle,
    /// Created by the first task that receives, since any thread may wrap a socket.
    source: OnceLock<Kept<Source<Arc<UdpSocket>>>>,
    writers: Arc<Writers>,
    /// The `Writers` as a waker.
    wakes_writers: Waker,
}

impl Socket {
    pub(crate) fn new(home: LoopHandle, socket: UdpSocket) -> io::Result<Self> {
        // This makes the socket non-blocking.
        let state = UdpSocketState::new((&socket).into())?;
        let writers = Arc::<Writers>::default();
        let wakes_writers = Waker::from(Arc::clone(&writers));
        let (io, source) = (Arc::new(socket), OnceLock::new());
        Ok(Self { io, state, home, source, writers, wakes_writers })
    }

    /// The event source, for tasks of the loop.
    fn source(&self) -> io::Result<Rc<Source<Arc<UdpSocket>>>> {
        if !self.home.is_loop_thread() {
            let text = "a socket of a loop is waited for on another thread";
            return Err(io::Error::new(ErrorKind::Unsupported, text));
        }
        let source = self.source.get_or_init(|| {
            let event_loop = running_loop();
            Kept::new(&event_loop, Source::new(&event_loop, Arc::clone(&self.io)))
        });
        source.get().ok_or_else(|| io::Error::other("the loop of the socket is closed"))
    }

    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.state.send((&*self.io).into(), transmit)
    }

    fn poll_writable(&self, cx: &mut Context<'_>, number: u64) -> Poll<io::Result<()>> {
        let source = self.source()?;
        if source.is_ready(Direction::Write) {
            return Poll::Ready(Ok(()));
        }
        self.writers.wait(number, cx.waker());
        source.poll_ready(&Context::from_waker(&self.wakes_writers), Direction::Write)
    }
}

/// Whether an error reports the loss of an earlier datagram (an ICMP message). Any host on the path
/// can send one, so the endpoint must not fail on it.
fn is_about_a_datagram(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        let number = self.writers.number();
        Box::pin(Poller { socket: self, number })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // Other threads cannot read or change the source's readiness.
        let Some(source) = self.source.get().and_then(Kept::get) else {
            return self.send(transmit);
        };
        source.try_io(Direction::Write, |_| self.send(transmit))?;
        source.count(Direction::Write, transmit.contents.len());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let source = self.source()?;
        let received = source.poll_io(cx, Direction::Read, |io| {
            loop {
                match self.state.recv((&**io).into(), buffers, meta) {
                    Err(error) if is_about_a_datagram(&error) => {}
                    result => return result,
                }
            }
        });
        if let Poll::Ready(Ok(count)) = received {
            let bytes = meta[..count].iter().map(|meta| meta.len).sum();
            source.count(Direction::Read, bytes);
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Waits for one connection until the socket is writable.
#[derive(Debug)]
struct Poller {
    socket: Arc<Socket>,
    number: u64,
}

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx, self.number)
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.socket.writers.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use asyncio_task::{Task, create_task, run, timeout, yield_now};

    use super::*;

    fn socket() -> Arc<Socket> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Arc::new(Socket::new(running_loop().handle(), socket).unwrap())
    }

    fn wait(socket: &Arc<Socket>) -> Task<()> {
        let mut poller = Arc::clone(socket).create_io_poller();
        create_task(async move {
            poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.unwrap();
        })
    }

    fn waiting(socket: &Socket) -> usize {
        socket.source().unwrap();
        format!("{:?}", socket.writers).matches("Waker").count()
    }

    #[test]
    fn all_connections_that_wait_for_a_socket_are_woken() {
        run(async {
            let socket = socket();
            socket.source().unwrap().clear_ready(Direction::Write);
            let tasks: Vec<_> = (0..3).map(|_| wait(&socket)).collect();
            timeout(Duration::from_secs(60), async {
                for task in tasks {
                    task.await.unwrap();
                }
            })
            .await
            .unwrap();
            assert_eq!(waiting(&socket), 0);
        });
    }

    #[test]
    fn a_connection_that_goes_leaves_the_others_waiting() {
        run(async {
            let socket = socket();
            let source = socket.source().unwrap();
            // The poller reports once that the socket is writable, and wakes no task after that.
            source.clear_ready(Direction::Write);
            wait(&socket).await.unwrap();
            source.clear_ready(Direction::Write);
            let mut tasks: Vec<_> = (0..3).map(|_| wait(&socket)).collect();
            yield_now().await;
            assert_eq!(waiting(&socket), 3);
            tasks.remove(1).cancel();
            yield_now().await;
            assert_eq!(waiting(&socket), 2);
            source.wake_waiters();
            yield_now().await;
            // The tasks have polled again and are waiting again.
            assert_eq!(waiting(&socket), 2);
            assert!(tasks.iter().all(|task| !task.is_done()));
        });
    }

    #[test]
    fn a_socket_that_is_not_ready_is_not_tried() {
        run(async {
            let (socket, other) = (socket(), UdpSocket::bind("127.0.0.1:0").unwrap());
            let transmit = Transmit {
                destination: other.local_addr().unwrap(),
                ecn: None,
                contents: b"hello",
                segment_size: None,
                src_ip: None,
            };
            socket.source().unwrap().clear_ready(Direction::Write);
            let refused = socket.try_send(&transmit).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::WouldBlock);
            // Another thread has no readiness to read, and tries to send.
            std::thread::scope(|scope| scope.spawn(|| socket.try_send(&transmit)).join())
                .unwrap()
                .unwrap();
            let mut buffer = [0; 16];
            assert_eq!(other.recv(&mut buffer).unwrap(), 5);
            assert_eq!(buffer[..5], *b"hello");
        });
    }
}
