//! The page and its requests: one request per connection.

mod api;
mod request;
mod response;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{StreamReader, StreamWriter};
use asyncio_task::timeout;

use self::request::Request;
use self::response::Response;
use crate::answer::{send, unless_gone};
use crate::state::State;

/// How long a request may take to arrive.
const COMING: Duration = Duration::from_secs(10);

/// How long an answer may take after the end of the client's output.
const AFTER_END: Duration = Duration::from_secs(1);

/// Whether this first line is HTTP.
pub(crate) fn is_request(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

/// Serves a request whose first line was received.
pub(crate) async fn serve(
    state: &Rc<State>,
    first: &[u8],
    mut reader: StreamReader,
    writer: &StreamWriter,
) -> io::Result<()> {
    let (response, has_body) = match timeout(COMING, Request::read(first, &mut reader)).await? {
        Ok(request) => {
            let response = match request.check(&state.access) {
                Ok(()) => {
                    let answer = api::answer(state, &request);
                    // A browser and asyncio-ps end their output only when they disconnect.
                    let answer = unless_gone(&mut reader, AFTER_END, answer).await;
                    answer.ok_or(io::ErrorKind::ConnectionAborted)?
                }
                Err(refusal) => Response::refusal(refusal),
            };
            (response, request.method != "HEAD")
        }
        Err(request::Bad::Refused(refusal)) => (Response::refusal(refusal), true),
        Err(request::Bad::Io(error)) => return Err(error),
    };
    send(writer, response.to_bytes(has_body)).await
}
