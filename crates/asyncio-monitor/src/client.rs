//! One client. Its first line tells whether it is a console or a request.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{Bytes, StreamReader, StreamWriter};
use asyncio_task::{TimeoutError, timeout};

use crate::answer::send;
use crate::state::State;
use crate::{console, http};

/// How long a client may take to send its first line.
const FIRST_LINE: Duration = Duration::from_secs(60);
/// After this time without input the client is assumed to be a person, who is greeted.
const GREETING: Duration = Duration::from_millis(300);

/// Counts a client until this is dropped.
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

/// Serves a client until it disconnects. Errors of its connection are ignored.
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
        // Unread output is dropped.
        writer.transport().abort();
    }
}

/// The first line; `None` if there is none. A console on a Unix socket is greeted. On other sockets
/// it is not, since browsers open connections before they use them.
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
