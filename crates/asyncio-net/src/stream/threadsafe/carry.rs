//! The task that carries the bytes of a relayed stream, on the thread of its loop.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Poll, ready};

use asyncio_task::gather;

use super::super::{JoinedStream, StreamReader, StreamWriter};
use super::lane::Lane;

/// Both directions, named from the other thread's point of view.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) incoming: Lane,
    pub(super) outgoing: Lane,
}

/// The end on the loop's thread. If it is dropped with its loop, it informs the other thread.
#[derive(Debug)]
pub(super) struct Carrier(pub(super) Arc<Lanes>);

impl Drop for Carrier {
    fn drop(&mut self) {
        // A reader that wakes may write at once, which is refused by then.
        self.0.outgoing.refuse(ErrorKind::ConnectionAborted);
        self.0.incoming.end(Err(ErrorKind::ConnectionAborted));
    }
}

impl Carrier {
    /// Carries bytes until both directions have ended, or until the other thread has dropped its
    /// end and its bytes have been sent. Closes the connection then.
    pub(super) async fn carry(self, stream: JoinedStream) {
        let (mut reader, writer) = stream.split();
        gather((receive(&mut reader, &self.0.incoming), send(&writer, &self.0.outgoing))).await;
    }
}

async fn receive(reader: &mut StreamReader, incoming: &Lane) {
    let result = poll_fn(|cx| {
        loop {
            // This comes first, because it also registers the task to be woken when the other
            // thread stops reading.
            ready!(incoming.poll_room(cx))?;
            if !ready!(reader.poll_fill_buf(cx))? {
                return Poll::Ready(io::Result::Ok(()));
            }
            let count = ready!(incoming.poll_put(cx, reader.buffered()))?;
            reader.consume(count);
        }
    });
    let result = result.await;
    incoming.end(result.map_err(|error| error.kind()));
}

async fn send(writer: &StreamWriter, outgoing: &Lane) {
    if let Err(error) = try_send(writer, outgoing).await {
        outgoing.refuse(error.kind());
    }
}

async fn try_send(writer: &StreamWriter, outgoing: &Lane) -> io::Result<()> {
    while let Some(bytes) = poll_fn(|cx| outgoing.poll_take_all(cx)).await? {
        writer.write_bytes(bytes);
        // Meanwhile the other thread fills the lane again.
        writer.flush().await?;
        outgoing.settle();
    }
    poll_fn(|cx| writer.poll_write_eof(cx)).await?;
    outgoing.settle_end();
    Ok(())
}
