//! Streams by the traits of `tokio::io`, without a tokio runtime.

mod common;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_net::{
    ByteSource, ByteStream, JoinedStream, StreamReader, feed_reader, start_server, stream_over,
};
use asyncio_task::{create_task, timeout};
use common::{bytes, run, turn};
use futures::FutureExt;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf,
};

fn pair() -> io::Result<(JoinedStream, JoinedStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((JoinedStream::from_std(ours)?, JoinedStream::from_std(theirs)?))
}

#[test]
fn copy_echoes_until_the_half_close() {
    run(async || {
        let server = start_server("127.0.0.1:0", async |mut reader, mut writer| {
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await
        })
        .await?;
        let stream = std::net::TcpStream::connect(server.local_addr()?)?;
        let (mut reader, mut writer) = tokio::io::split(JoinedStream::from_std(stream)?);
        let sent = bytes(3_000_000);
        let mut received = Vec::new();
        let sending = async {
            writer.write_all(&sent).await?;
            writer.shutdown().await
        };
        let (sending, count) = futures::join!(sending, reader.read_to_end(&mut received));
        sending?;
        assert_eq!(count?, 3_000_000);
        assert!(received == sent);
        Ok(())
    });
}

async fn read_some(stream: &mut JoinedStream, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer)).await
}

/// Zeroing would cost time for all of the caller's memory, also in reads that return `Pending`.
#[test]
fn memory_that_is_not_initialised_is_not_filled_with_zeros() {
    run(async || {
        let (mut stream, theirs) = pair()?;
        let mut memory = [MaybeUninit::uninit(); 1000];
        let mut buffer = ReadBuf::uninit(&mut memory);
        assert!(read_some(&mut stream, &mut buffer).now_or_never().is_none());
        assert_eq!(buffer.initialized().len(), 0);
        theirs.writer().write(b"hello");
        read_some(&mut stream, &mut buffer).await?;
        assert_eq!((buffer.filled(), buffer.initialized().len()), (&b"hello"[..], 5));

        // Bytes that do not fit stay in the reader's buffer, until a read with more room.
        theirs.writer().write(b"0123456789");
        let mut memory = [MaybeUninit::uninit(); 4];
        let mut small = ReadBuf::uninit(&mut memory);
        read_some(&mut stream, &mut small).await?;
        assert_eq!(small.filled(), b"0123");
        read_some(&mut stream, &mut small).await?;
        assert_eq!(small.filled(), b"0123", "the buffer is full");
        let mut array = [0; 100];
        let mut initialised = ReadBuf::new(&mut array);
        read_some(&mut stream, &mut initialised).await?;
        assert_eq!(initialised.filled(), b"456789");

        theirs.writer().write_eof();
        read_some(&mut stream, &mut buffer).await?;
        assert_eq!(buffer.filled(), b"hello", "the end");
        Ok(())
    });
}

#[test]
fn lines_in_pieces_through_a_buffered_reader() {
    run(async || {
        for size in 1..12 {
            let (feeder, reader) = feed_reader();
            let feeding = create_task(async move {
                for piece in b"one\ntwo\r\n\nfour".chunks(size) {
                    feeder.feed_data(piece);
                    turn().await;
                }
            });
            let mut lines = BufReader::with_capacity(3, reader).lines();
            for expected in ["one", "two", "", "four"] {
                assert_eq!(lines.next_line().await?.unwrap(), expected);
            }
            assert_eq!(lines.next_line().await?, None);
            feeding.await.unwrap();
        }
        Ok(())
    });
}

#[test]
fn the_buffered_trait_reads_lines_of_both_halves_together_and_of_the_reader_alone() {
    run(async || {
        let (mut ours, theirs) = pair()?;
        theirs.writer().write("one\ntwo\nthree");
        let mut line = String::new();
        assert_eq!(AsyncBufReadExt::read_line(&mut ours, &mut line).await?, 4);
        let (mut reader, _writer) = ours.split();
        assert_eq!(AsyncBufReadExt::read_line(&mut reader, &mut line).await?, 4);
        assert_eq!(line, "one\ntwo\n");
        assert_eq!(AsyncBufReadExt::fill_buf(&mut reader).await?, b"three");
        AsyncBufReadExt::consume(&mut reader, 3);
        assert_eq!(AsyncBufReadExt::fill_buf(&mut reader).await?, b"ee");
        Ok(())
    });
}

#[test]
fn slices_arrive_in_order_and_a_flush_waits_for_the_peer() {
    run(async || {
        let (mut ours, theirs) = pair()?;
        let (mut reader, _writer) = theirs.split();
        write_and_flush(&mut ours, &mut reader).await?;
        let (_reader, mut writer) = ours.split();
        write_and_flush(&mut writer, &mut reader).await?;
        writer.shutdown().await?;
        let end = timeout(Duration::from_secs(60), reader.read(1)).await;
        assert_eq!(end.expect("the output has ended")?, "");
        Ok(())
    });
}

async fn write_and_flush(
    writer: &mut (impl AsyncWrite + Unpin),
    peer: &mut StreamReader,
) -> io::Result<()> {
    assert!(writer.is_write_vectored());
    let slices = [&b""[..], b"one ", b"two"].map(IoSlice::new);
    assert_eq!(writer.write_vectored(&slices).await?, 7);
    writer.flush().await?;
    assert_eq!(peer.read_exactly(7).await?, "one two");

    let mut written = 0;
    while let Some(count) = writer.write(&[7; 50_000]).now_or_never() {
        written += count?;
    }
    assert!(writer.flush().now_or_never().is_none(), "the peer has read nothing");
    let (flushed, received) = futures::join!(writer.flush(), peer.read_exactly(written));
    flushed?;
    received?;
    Ok(())
}

#[cfg(feature = "send")]
#[test]
fn a_stream_that_may_travel_has_the_traits_at_home_and_on_another_thread() {
    run(async || {
        for is_away in [false, true] {
            let (ours, mut theirs) = pair()?;
            let ours = asyncio_net::ThreadsafeStream::new(ours);
            let talking = create_task(async move {
                if !is_away {
                    return talk(ours).await;
                }
                asyncio_task::to_thread(move || futures::executor::block_on(talk(ours)))
                    .await
                    .unwrap()
            });
            assert_eq!(theirs.reader().read_line().await?, "ping pong\n");
            theirs.writer().write("answer");
            assert_eq!(theirs.reader().read_to_end().await?, "");
            theirs.writer().write(", and more");
            drop(theirs);
            assert_eq!(talking.await.unwrap()?, ", and more");
        }
        Ok(())
    });
}

#[cfg(feature = "send")]
async fn talk(mut stream: asyncio_net::ThreadsafeStream) -> io::Result<String> {
    assert!(stream.is_write_vectored());
    let slices = [&b""[..], b"ping ", b"pong\n"].map(IoSlice::new);
    let taken = stream.write_vectored(&slices).await?;
    assert!(taken >= 5, "the first slice that is not empty");
    stream.write_all(&b"ping pong\n"[taken..]).await?;
    stream.flush().await?;
    let (mut first, mut second) = ([0; 2], [0; 4]);
    stream.read_exact(&mut first).await?;
    stream.read_exact(&mut second).await?;
    assert_eq!((&first, &second), (b"an", b"swer"));
    stream.shutdown().await?;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    Ok(rest)
}

#[test]
fn a_proxy_passes_half_closes_through() {
    run(async || {
        let (client, mut front) = pair()?;
        let (mut back, server) = pair()?;
        let proxy =
            create_task(async move { tokio::io::copy_bidirectional(&mut front, &mut back).await });
        let serving = create_task(async move {
            let (mut reader, writer) = server.split();
            let request = reader.read_to_end().await?;
            writer.write(request.to_ascii_uppercase());
            writer.close().await
        });
        let (mut reader, writer) = client.split();
        writer.write(b"hello");
        writer.write_eof();
        assert_eq!(reader.read_to_end().await?, "HELLO");
        assert_eq!(proxy.await.unwrap()?, (5, 5));
        serving.await.unwrap()
    });
}

#[test]
fn a_peer_that_does_not_read_holds_up_the_writer() {
    run(async || {
        let (mut ours, theirs) = pair()?;
        let transport = ours.writer().transport().clone();
        let sent = bytes(5_000_000);
        let mut writing = Box::pin(ours.write_all(&sent));
        while transport.write_buffer_size() <= 64 * 1024 {
            assert!((&mut writing).now_or_never().is_none(), "the peer has not read yet");
            turn().await;
        }
        assert!(transport.write_buffer_size() <= 128 * 1024);
        let (mut reader, _writer) = theirs.split();
        let (written, received) = futures::join!(writing, reader.read_exactly(5_000_000));
        written?;
        assert!(received? == sent);
        Ok(())
    });
}

#[test]
fn a_socket_comes_back_with_what_was_not_read() {
    run(async || {
        let (ours, mut theirs) = UnixStream::pair()?;
        let (mut reader, writer) = JoinedStream::from_std(ours)?.split();
        theirs.write_all(b"a line\nand more")?;
        assert_eq!(reader.read_line().await?, "a line\n");
        writer.write(b"written, and ");
        let (socket, rest) = reader.join(writer).into_std().await?;
        assert_eq!(rest, "and more");

        // The returned socket blocks, and belongs to the same connection.
        let mut socket = UnixStream::from(std::os::fd::OwnedFd::from(socket));
        socket.write_all(b"by hand")?;
        drop(socket);
        let mut received = String::new();
        theirs.read_to_string(&mut received)?;
        assert_eq!(received, "written, and by hand");
        Ok(())
    });
}

#[test]
fn a_socket_waits_for_what_was_written() {
    run(async || {
        let (ours, theirs) = pair()?;
        let mut written = 0;
        while ours.writer().transport().write_buffer_size() == 0 {
            ours.writer().write(vec![1; 500_000]);
            written += 500_000;
        }
        let mut taking = Box::pin(ours.into_std());
        assert!((&mut taking).now_or_never().is_none());
        let (mut reader, _writer) = theirs.split();
        let (taken, received) = futures::join!(taking, reader.read_exactly(written));
        taken?;
        received?;
        Ok(())
    });
}

#[test]
fn a_socket_that_is_not_there_cannot_be_had() {
    run(async || {
        let ((one, _), (other, _)) = (pair()?, pair()?);
        let ((reader, _writer), (_reader, writer)) = (one.split(), other.split());
        let mixed = reader.join(writer).into_socket().await;
        assert_eq!(mixed.unwrap_err().kind(), ErrorKind::InvalidInput);

        let (closed, _theirs) = pair()?;
        closed.writer().close().await?;
        assert_eq!(closed.into_socket().await.unwrap_err().kind(), ErrorKind::NotConnected);

        let (reader, writer) = stream_over(Nothing);
        let unsupported = reader.join(writer).into_socket().await;
        assert_eq!(unsupported.unwrap_err().kind(), ErrorKind::Unsupported);
        Ok(())
    });
}

/// A stream without a descriptor.
struct Nothing;

impl ByteSource for Nothing {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

impl ByteStream for Nothing {
    fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        unreachable!("nothing is written")
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        unreachable!("nothing is written")
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {}
}

/// The other direction: a type with tokio's traits becomes a stream of this crate.
#[test]
fn a_stream_of_tokios_traits_carries_streams_and_protocols() {
    run(async || {
        let (ours, theirs) = tokio::io::duplex(100);
        let (mut theirs_in, mut theirs_out) = tokio::io::split(theirs);
        let (mut reader, writer) = asyncio_net::stream_over(asyncio_net::from_tokio(ours));
        let much = bytes(300_000);
        let expected = much.clone();
        let peer = asyncio_task::create_task(async move {
            let mut received = Vec::new();
            theirs_in.read_to_end(&mut received).await?;
            theirs_out.write_all(&received).await?;
            theirs_out.shutdown().await
        });
        writer.write(&much);
        writer.write_eof();
        writer.flush().await?;
        assert_eq!(writer.transport().write_buffer_size(), 0);
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let bytes = reader.read(1000).await?;
            assert!(!bytes.is_empty());
            received.extend_from_slice(&bytes);
        }
        assert!(received == expected);
        peer.await.unwrap()?;
        assert_eq!(reader.read(1).await?, "");
        writer.close().await?;

        // The peer sees the end of the stream, too, if the writer closes without `write_eof`.
        let (ours, mut theirs) = tokio::io::duplex(10);
        let (_reader, writer) = asyncio_net::stream_over(asyncio_net::from_tokio(ours));
        writer.write("all of this arrives");
        let mut text = String::new();
        let (closed, received) =
            asyncio_task::gather((writer.close(), theirs.read_to_string(&mut text))).await;
        closed?;
        received?;
        assert_eq!(text, "all of this arrives");
        Ok(())
    });
}
