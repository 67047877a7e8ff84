//! Ends of streams in memory.

use std::io::{self, ErrorKind};

use asyncio_net::{MemoryStream, StreamReader, StreamWriter, memory_pair, stream_over};
use asyncio_task::{create_task, run, yield_now};

type Streams = (StreamReader, StreamWriter);

fn streams() -> (Streams, Streams) {
    let (ours, theirs): (MemoryStream, MemoryStream) = memory_pair(64);
    (stream_over(ours), stream_over(theirs))
}

#[test]
fn an_abort_is_a_reset_after_what_was_sent() {
    run(async {
        let ((_reader, writer), (mut peer, answers)) = streams();
        writer.write("sent");
        writer.flush().await?;
        writer.transport().abort();
        assert_eq!(peer.read(10).await?, "sent");
        for _ in 0..2 {
            assert_eq!(peer.read(10).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        answers.write("too late");
        assert!(answers.drain().await.is_err());
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn an_abort_reaches_a_read_that_waits() {
    run(async {
        let ((_reader, writer), (mut peer, _answers)) = streams();
        let waits = create_task(async move { peer.read_to_end().await });
        yield_now().await;
        writer.transport().abort();
        assert_eq!(waits.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_close_and_a_drop_are_clean_ends() {
    run(async {
        let ((_reader, writer), (mut peer, _answers)) = streams();
        writer.write("all");
        writer.close().await?;
        assert_eq!(peer.read_to_end().await?, "all");

        let ((_reader, writer), (mut peer, _answers)) = streams();
        drop(writer);
        assert_eq!(peer.read_to_end().await?, "");

        let ((_reader, writer), (mut peer, _answers)) = streams();
        writer.write("all");
        writer.write_eof();
        writer.drain().await?;
        assert_eq!(peer.read_to_end().await?, "all");
        writer.transport().abort();
        assert_eq!(peer.read_to_end().await?, "", "the end of the stream was read");
        io::Result::Ok(())
    })
    .unwrap();
}
