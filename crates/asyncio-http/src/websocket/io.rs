//! An upgraded connection with the interface that tungstenite expects: reads and writes return
//! `WouldBlock` instead of waiting.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use asyncio_loop::LoopTime;
use asyncio_task::running_loop;
use hyper::rt::{Read as _, ReadBuf, Write as _};
use hyper::upgrade::Upgraded;

/// How many bytes are read at once.
const PIECE: usize = 8 * 1024;

pub(super) struct SocketIo {
    /// `None` after the connection was closed.
    upgraded: Option<Upgraded>,
    /// When bytes were last received.
    heard: LoopTime,
    /// The number of reads that received bytes.
    reads: u64,
    reading: Arc<Fan>,
    writing: Arc<Fan>,
}

/// The tasks that wait for one direction: at most one receives, others send.
#[derive(Default)]
struct Fan(Mutex<Vec<Waker>>);

impl Fan {
    fn add(&self, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}

impl Wake for Fan {
    fn wake(self: Arc<Self>) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = std::mem::take(&mut *wakers);
        drop(wakers);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl SocketIo {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        Self {
            upgraded: Some(upgraded),
            heard: running_loop().time(),
            reads: 0,
            reading: Arc::default(),
            writing: Arc::default(),
        }
    }

    pub(super) fn heard(&self) -> LoopTime {
        self.heard
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// Closes the connection. All tasks that wait for it fail.
    pub(super) fn cut(&mut self) {
        drop(self.upgraded.take());
        Arc::clone(&self.reading).wake();
        Arc::clone(&self.writing).wake();
    }

    fn open(&mut self) -> io::Result<Pin<&mut Upgraded>> {
        let cut = || io::Error::new(io::ErrorKind::TimedOut, "the peer did not answer a ping");
        self.upgraded.as_mut().map(Pin::new).ok_or_else(cut)
    }

    /// Wakes the task of `cx` when reading or writing may succeed.
    pub(super) fn register(&self, cx: &Context<'_>, reads: bool) {
        // The reading task writes the answer to a ping.
        self.writing.add(cx.waker());
        if reads {
            self.reading.add(cx.waker());
        }
    }

    /// Shuts down the sending direction.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_shutdown(cx)
    }
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for SocketIo {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let waker = Waker::from(Arc::clone(&self.reading));
        let mut cx = Context::from_waker(&waker);
        let mut room = [MaybeUninit::uninit(); PIECE];
        let wanted = bytes.len().min(PIECE);
        let mut buffer = ReadBuf::uninit(&mut room[..wanted]);
        now(self.open()?.poll_read(&mut cx, buffer.unfilled()))?;
        self.heard = running_loop().time();
        self.reads += 1;
        let filled = buffer.filled();
        bytes[..filled.len()].copy_from_slice(filled);
        Ok(filled.len())
    }
}

impl Write for SocketIo {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let waker = Waker::from(Arc::clone(&self.writing));
        now(self.open()?.poll_write(&mut Context::from_waker(&waker), bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        let waker = Waker::from(Arc::clone(&self.writing));
        now(self.open()?.poll_flush(&mut Context::from_waker(&waker)))
    }
}
