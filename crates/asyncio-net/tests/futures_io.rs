//! Streams by the traits of `futures-io`.

mod common;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::TcpStream;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use asyncio_net::{JoinedStream, feed_reader, open_connection, start_server};
use asyncio_task::create_task;
use common::{bytes, run, turn};
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use futures::{FutureExt, StreamExt};
use socket2::SockRef;

/// A stream, and its blocking peer.
fn half() -> io::Result<(JoinedStream, TcpStream)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    Ok((JoinedStream::from_std(ours)?, theirs))
}

/// Two streams that are connected to each other.
fn pair() -> io::Result<(JoinedStream, JoinedStream)> {
    let (ours, theirs) = half()?;
    Ok((ours, JoinedStream::from_std(theirs)?))
}

#[test]
fn copy_echoes_until_the_half_close() {
    run(async || {
        let server = start_server("127.0.0.1:0", async |reader, mut writer| {
            futures::io::copy_buf(reader, &mut writer).await?;
            AsyncWriteExt::close(&mut writer).await
        })
        .await?;
        let (mut reader, mut writer) = open_connection(server.local_addr()?).await?;
        let sent = bytes(3_000_000);
        let received = async {
            let mut received = Vec::new();
            AsyncReadExt::read_to_end(&mut reader, &mut received).await.map(|_| received)
        };
        let sending = async {
            for piece in sent.chunks(70_001) {
                writer.write_all(piece).await?;
            }
            AsyncWriteExt::close(&mut writer).await
        };
        let (received, sending) = futures::join!(received, sending);
        sending?;
        assert!(received? == sent);
        Ok(())
    });
}

#[test]
fn lines_in_pieces() {
    run(async || {
        for size in 1..12 {
            let (feeder, reader) = feed_reader();
            let feeding = create_task(async move {
                for piece in b"one\ntwo\r\n\nfour".chunks(size) {
                    feeder.feed_data(piece);
                    turn().await;
                }
            });
            let lines: Vec<_> = reader.lines().map(Result::unwrap).collect().await;
            assert_eq!(lines, ["one", "two", "", "four"]);
            feeding.await.unwrap();
        }
        Ok(())
    });
}

#[test]
fn a_peer_that_does_not_read_holds_up_the_writer() {
    run(async || {
        let (ours, mut theirs) = half()?;
        let (_reader, mut writer) = ours.split();
        let transport = writer.transport().clone();
        let sent = bytes(20_000_000);
        {
            let mut writing = writer.write_all(&sent);
            while transport.write_buffer_size() <= 64 * 1024 {
                assert!((&mut writing).now_or_never().is_none(), "the peer has not read yet");
                turn().await;
            }
            for _ in 0..10 {
                assert!((&mut writing).now_or_never().is_none());
                turn().await;
            }
            assert!(transport.write_buffer_size() <= 128 * 1024);
            let reading = std::thread::spawn(move || {
                let mut received = vec![0; 20_000_000];
                theirs.read_exact(&mut received).map(|()| received)
            });
            writing.await?;
            AsyncWriteExt::flush(&mut writer).await?;
            assert_eq!(transport.write_buffer_size(), 0);
            assert!(reading.join().unwrap()? == sent);
        }
        Ok(())
    });
}

#[test]
fn a_cancelled_copy_goes_on_where_it_was() {
    run(async || {
        let (feeder, mut source) = feed_reader();
        feeder.feed_data(&bytes(5_000_000));
        feeder.feed_eof();
        let (ours, theirs) = pair()?;
        let (_reader, mut writer) = ours.split();
        let (mut received, _writer) = theirs.split();
        let transport = writer.transport().clone();
        {
            let mut copying = pin!(futures::io::copy_buf(&mut source, &mut writer));
            while transport.write_buffer_size() <= 64 * 1024 {
                let copied = poll_fn(|cx| Poll::Ready(copying.as_mut().poll(cx))).await;
                assert!(copied.is_pending());
                turn().await;
            }
        }
        let copying = async {
            futures::io::copy_buf(&mut source, &mut writer).await?;
            AsyncWriteExt::close(&mut writer).await
        };
        let (copied, received) = futures::join!(copying, received.read_to_end());
        copied?;
        assert!(received? == bytes(5_000_000));
        Ok(())
    });
}

#[test]
fn flushing_waits_until_everything_has_left() {
    run(async || {
        let (ours, theirs) = pair()?;
        let (_reader, writer) = ours.split();
        let (mut reader, _writer) = theirs.split();
        let mut written = 0;
        while writer.transport().write_buffer_size() == 0 {
            // Too few bytes remain for `resume_writing` to be due.
            writer.write([1; 10_000]);
            written += 10_000;
        }
        // A task of its own, which nothing else wakes.
        let flushing = create_task(async move { writer.flush().await });
        turn().await;
        assert!(!flushing.is_done());
        reader.read_exactly(written).await?;
        flushing.await.unwrap()
    });
}

#[test]
fn flushing_an_aborted_connection_fails() {
    run(async || {
        let (ours, _theirs) = half()?;
        let (_reader, writer) = ours.split();
        while writer.transport().write_buffer_size() == 0 {
            writer.write(vec![1; 500_000]);
        }
        let mut flushing = pin!(writer.flush());
        assert!(poll_fn(|cx| Poll::Ready(flushing.as_mut().poll(cx))).await.is_pending());
        writer.transport().abort();
        assert_eq!(flushing.await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        Ok(())
    });
}

#[test]
fn an_error_is_given_every_time() {
    run(async || {
        let (mut ours, theirs) = half()?;
        SockRef::from(&theirs).set_linger(Some(Duration::ZERO))?;
        drop(theirs);
        let error = loop {
            if let Err(error) = ours.write_all(&[0; 10_000]).await {
                break error;
            }
        };
        for _ in 0..3 {
            assert_eq!(ours.write_all(b"x").await.unwrap_err().kind(), error.kind());
            assert_eq!(AsyncWriteExt::flush(&mut ours).await.unwrap_err().kind(), error.kind());
            assert_eq!(AsyncWriteExt::close(&mut ours).await.unwrap_err().kind(), error.kind());
        }
        Ok(())
    });
}

#[test]
fn writing_after_the_end_is_an_error_and_no_panic() {
    run(async || {
        let (mut ours, theirs) = pair()?;
        ours.write_all(b"last words").await?;
        AsyncWriteExt::close(&mut ours).await?;
        AsyncWriteExt::close(&mut ours).await?;
        assert_eq!(ours.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (mut reader, writer) = theirs.split();
        assert_eq!(reader.read_to_end().await?, "last words");
        writer.write(b"answer");
        writer.close().await?;
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await?;
        assert_eq!(answer, "answer");
        Ok(())
    });
}

#[test]
fn many_slices() {
    run(async || {
        let (mut ours, mut theirs) = pair()?;
        let words: Vec<Vec<u8>> = (0..40_u8).map(|number| vec![number; number.into()]).collect();
        let slices: Vec<_> = words.iter().map(|word| IoSlice::new(word)).collect();
        // `write_vectored` takes sixteen non-empty buffers.
        assert_eq!(ours.write_vectored(&slices).await?, (1..=16).sum::<usize>());
        assert_eq!(ours.write_vectored(&[]).await?, 0);
        let read = theirs.reader().read_exactly(136).await?;
        assert_eq!(read, words.concat()[..136]);
        Ok(())
    });
}
