//! An answer on its way: its work, and its text.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use asyncio_net::{StreamReader, StreamWriter};
use asyncio_task::{sleep, timeout};

/// How long a client may take to read an answer.
const READING: Duration = Duration::from_secs(30);

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
