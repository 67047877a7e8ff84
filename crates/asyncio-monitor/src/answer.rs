//! Computing and sending an answer.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use asyncio_net::{StreamReader, StreamWriter};
use asyncio_task::{sleep, timeout};

/// How long a client may take to read an answer.
const READING: Duration = Duration::from_secs(30);

/// Computes the answer to a client. Returns `None` if the client disconnects. A client that has
/// only ended its input may still read the answer, so the work may continue for `grace` from
/// then on.
pub(crate) async fn unless_gone<T>(
    reader: &mut StreamReader,
    grace: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let gone = async {
        match reader.fill_buf().await {
            // The client has sent more input, which may hide its end.
            Ok(bytes) if !bytes.is_empty() => std::future::pending().await,
            Ok(_) => sleep(grace).await,
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

/// Sends text, and waits until all of it was sent.
pub(crate) async fn send(writer: &StreamWriter, text: impl AsRef<[u8]>) -> io::Result<()> {
    writer.write(text);
    timeout(READING, writer.flush()).await?
}
