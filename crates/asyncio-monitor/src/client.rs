//! One client: a console or a request, which its first line tells.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_net::{Bytes, StreamReader, StreamWriter};
use asyncio_task::{TimeoutError, sleep, timeout};

use crate::server::State;
use crate::{console, http};

/// How long a client may say nothing before its first line.
const FIRST_LINE: Duration = Duration::from_secs(60);
/// After this silence somebody sits at the other end, who is greeted.
const GREETING: Duration = Duration::from_millis(300);
/// How long a client may take to read an answer.
const READING: Duration = Duration::from_secs(30);

/// A client that counts.
struct Place(Rc<State>);

impl Place {
    fn take(state: &Rc<State>) -> Option<Self> {
        let clients = state.clients.get();
        (clients < state.max_clients).then(|| {
            state.clients.set(clients + 1);
            Self(Rc::clone(state))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
    }
}

/// Serves a client until it goes away. What fails here is the client's own business.
pub(crate) async fn serve(state: &Rc<State>, mut reader: StreamReader, writer: StreamWriter) {
    let Some(_place) = Place::take(state) else {
        let _ = send(&writer, "HTTP/1.1 503 too many clients\r\nConnection: close\r\n\r\n").await;
        return;
    };
    let result = match first_line(state, &mut reader, &writer).await {
        Ok(Some(line)) if http::is_request(&line) => {
            http::serve(state, &line, reader, &writer).await
        }
        Ok(Some(line)) => console::serve(state, line, reader, &writer).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if result.is_err() {
        // What it has not read is dropped.
        writer.transport().abort();
    }
}

/// The first line; `None` if there is none. A console on a Unix socket is greeted: browsers, which
/// open connections before they need them, come by others.
async fn first_line(
    state: &State,
    reader: &mut StreamReader,
    writer: &StreamWriter,
) -> io::Result<Option<Bytes>> {
    if state.is_unix {
        match timeout(GREETING, reader.fill_buf()).await {
            Ok(bytes) => drop(bytes?.is_empty()),
            Err(TimeoutError) => send(writer, &console::greeting(state)).await?,
        }
    }
    timeout(FIRST_LINE, reader.next_line()).await?
}

/// Runs what a client has asked for, unless the client goes away: `None` then. A client that has
/// only ended its input may still read the answer, so it has `patience` from then on.
pub(crate) async fn unless_gone<T>(
    reader: &mut StreamReader,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let gone = async {
        match reader.fill_buf().await {
            // It has typed ahead: what comes behind that is not known.
            Ok(bytes) if !bytes.is_empty() => std::future::pending().await,
            Ok(_) => sleep(patience).await,
            Err(_) => {}
        }
    };
    let (mut work, mut gone) = (pin!(work), pin!(gone));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => gone.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Sends text and waits until the client has it.
pub(crate) async fn send(writer: &StreamWriter, text: impl AsRef<[u8]>) -> io::Result<()> {
    writer.write(text);
    timeout(READING, writer.flush()).await?
}
