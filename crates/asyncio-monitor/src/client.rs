//! One client: a console or a request, which its first line tells.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{Bytes, StreamReader, StreamWriter};
use asyncio_task::{TimeoutError, timeout};

use crate::answer::send;
use crate::state::State;
use crate::{console, http};

/// How long a client may say nothing before its first line.
const FIRST_LINE: Duration = Duration::from_secs(60);
/// After this silence somebody sits at the other end, who is greeted.
const GREETING: Duration = Duration::from_millis(300);

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
