//! `ThreadsafeStream`: a stream that can be moved to another thread.

mod carry;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper_io;
mod lane;
#[cfg(feature = "tokio")]
mod tokio_io;

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use asyncio_task::machinery::Kept;
use asyncio_task::{TaskOptions, create_task_with, running_loop};

use self::carry::{Carrier, Lanes};
use super::JoinedStream;

/// A stream that can be moved to another thread, for code that requires `Send`.
///
/// On the thread of its loop it uses the [`JoinedStream`] directly, at the cost of comparing thread
/// numbers: hold it in a `Send` future of axum, tower or tonic that never leaves the loop, or give
/// it to a crate that spawns its tasks on tokio beside the loop.
///
/// The first use on another thread leaves the connection on its loop, and starts a task there that
/// carries the bytes from then on, even if the stream returns. Up to 64 KiB wait in each direction.
/// Flushing waits until the loop has sent the bytes.
///
/// Dropping it on any thread closes the connection on its loop, after written bytes have been sent.
/// When the loop is closed, reads and writes elsewhere fail with
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted).
///
/// It has the same traits as `JoinedStream`. Needs the feature `send` and one of the features for
/// those traits.
///
/// # From asyncio
///
/// asyncio has no such type: its transports are not thread-safe.
///
/// # Examples
///
/// A thread with an executor of its own:
///
#[cfg_attr(feature = "futures-io", doc = "```")]
#[cfg_attr(not(feature = "futures-io"), doc = "```ignore")]
/// use asyncio_net::{ThreadsafeStream, open_connection, start_server};
/// use asyncio_task::to_thread;
/// use futures::executor::block_on;
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |mut reader, writer| {
///         let question = reader.read_to_end().await?;
///         writer.write(&question.to_ascii_uppercase());
///         writer.close().await
///     })
///     .await?;
///     let (reader, writer) = open_connection(server.local_addr()?).await?;
///     let mut stream = ThreadsafeStream::new(reader.join(writer));
///     let talk = move || {
///         block_on(async {
///             stream.write_all(b"hello").await?;
///             stream.close().await?;
///             let mut answer = String::new();
///             stream.read_to_string(&mut answer).await?;
///             std::io::Result::Ok(answer)
///         })
///     };
///     assert_eq!(to_thread(talk).await.unwrap()?, "HELLO");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "Send")]
pub struct ThreadsafeStream {
    state: State,
}

/// `None` when the connection has been handed to the carrying task.
type Place = RefCell<Option<JoinedStream>>;

enum State {
    Home(Kept<Place>),
    Away(Arc<Lanes>),
    /// The loop is closed, or this value is dropped.
    Gone,
}

/// The access to the bytes for the calling thread.
enum Side<'a> {
    Home(AtHome),
    Away(&'a Lanes),
}

/// The stream, for the time of one call.
struct AtHome(Rc<Place>);

impl AtHome {
    fn stream(&self) -> RefMut<'_, JoinedStream> {
        RefMut::map(self.0.borrow_mut(), |stream| {
            stream.as_mut().expect("it is there until the end")
        })
    }
}

impl ThreadsafeStream {
    /// Makes a stream of the running loop.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[must_use]
    pub fn new(stream: JoinedStream) -> Self {
        let place = RefCell::new(Some(stream));
        Self { state: State::Home(Kept::new(&running_loop(), place)) }
    }

    /// The stream itself; `None` on another thread, and once it has been used on one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{JoinedStream, ThreadsafeStream};
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let stream = ThreadsafeStream::new(JoinedStream::from_std(ours)?);
    ///     assert!(stream.into_inner().is_some());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Option<JoinedStream> {
        match &self.state {
            State::Home(kept) => kept.get()?.take(),
            State::Away(_) | State::Gone => None,
        }
    }

    fn side(&mut self) -> io::Result<Side<'_>> {
        if matches!(&self.state, State::Home(kept) if !kept.is_home()) {
            self.leave_home();
        }
        let closed = || io::ErrorKind::ConnectionAborted.into();
        match &self.state {
            State::Home(kept) => kept.get().map(|place| Side::Home(AtHome(place))),
            State::Away(lanes) => Some(Side::Away(lanes)),
            State::Gone => None,
        }
        .ok_or_else(closed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.side()? {
            Side::Home(home) => home.stream().writer().poll_flush(cx),
            Side::Away(lanes) => lanes.outgoing.poll_settled(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.side()? {
            Side::Home(home) => home.stream().writer().poll_write_eof(cx),
            Side::Away(lanes) => {
                lanes.outgoing.end(Ok(()));
                lanes.outgoing.poll_settled(cx)
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.side()? {
            Side::Home(home) => home.stream().writer().poll_write_vectored(cx, slices),
            Side::Away(lanes) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                lanes.outgoing.poll_put(cx, first.map_or(&[], |slice| slice))
            }
        }
    }

    /// The connection stays on its loop, and a task there carries its bytes.
    fn leave_home(&mut self) {
        let State::Home(kept) = mem::replace(&mut self.state, State::Gone) else { return };
        let lanes = Arc::<Lanes>::default();
        let carrier = Carrier(Arc::clone(&lanes));
        let starts = kept.send_home(|place| {
            if let Some(stream) = place.take() {
                let carrying = carrier.carry(stream);
                drop(create_task_with(carrying, TaskOptions::new().hidden()));
            }
        });
        if starts {
            self.state = State::Away(lanes);
        }
    }
}

impl Drop for ThreadsafeStream {
    fn drop(&mut self) {
        // A stream in the state `Home` is dropped on its loop by the destructor of `Kept`.
        if let State::Away(lanes) = &self.state {
            lanes.outgoing.end(Ok(()));
            lanes.incoming.refuse(io::ErrorKind::BrokenPipe);
        }
    }
}

impl fmt::Debug for ThreadsafeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.state {
            State::Home(_) => "home",
            State::Away(_) => "relayed",
            State::Gone => "closed",
        };
        f.debug_tuple("ThreadsafeStream").field(&format_args!("{place}")).finish()
    }
}
