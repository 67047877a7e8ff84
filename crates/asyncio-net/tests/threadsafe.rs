//! Streams that are moved to another thread.

mod common;

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio_net::{JoinedStream, ThreadsafeStream};
use asyncio_task::{create_task, gather, timeout, to_thread, yield_now};
use common::{run, until};
use futures::executor::block_on;
use futures::future::FutureExt;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn pair() -> io::Result<(ThreadsafeStream, JoinedStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((ThreadsafeStream::new(JoinedStream::from_std(ours)?), JoinedStream::from_std(theirs)?))
}

/// Runs `what` with a stream on another thread, while the loop goes on.
async fn away<T: Send + 'static>(
    stream: ThreadsafeStream,
    what: impl AsyncFnOnce(ThreadsafeStream) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    to_thread(move || block_on(what(stream))).await.unwrap()
}

fn place(stream: &ThreadsafeStream) -> String {
    format!("{stream:?}")
}

#[test]
fn at_home_it_is_the_stream_itself() {
    run(async || {
        let (mut stream, mut peer) = pair()?;
        // The future must be `Send`, as the handlers of some servers must be.
        fn is_send<F: Future + Send>(future: F) -> F {
            future
        }
        let stream = is_send(async move {
            stream.write_all(b"question").await?;
            stream.flush().await?;
            let mut answer = [0; 6];
            stream.read_exact(&mut answer).await?;
            assert_eq!(answer, *b"answer");
            io::Result::Ok(stream)
        });
        let answering = async {
            assert_eq!(peer.reader().read_exactly(8).await.unwrap(), "question");
            peer.writer().write("answer");
        };
        let (stream, ()) = gather((stream, answering)).await;
        assert_eq!(place(stream.as_ref().unwrap()), "ThreadsafeStream(home)");
        let inner = stream?.into_inner().expect("the stream never left its loop");
        inner.writer().write("more");
        assert_eq!(peer.reader().read(100).await?, "more");
        Ok(())
    });
}

/// More bytes than the lanes between the threads hold, so each side waits for the other.
#[test]
fn megabytes_go_through_in_both_directions() {
    run(async || {
        let (stream, peer) = pair()?;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| (index / 251 + index) as u8).collect();
        let sent = bytes.clone();
        let echo = create_task(async move {
            let (mut reader, writer) = peer.split();
            while !reader.fill_buf().await?.is_empty() {
                writer.write(reader.buffered());
                reader.consume(reader.buffered().len());
                writer.drain().await?;
            }
            writer.close().await
        });
        let received = away(stream, async move |stream| {
            let (mut reading, mut writing) = stream.split();
            let mut received = Vec::new();
            let send = async {
                writing.write_all(&sent).await?;
                writing.close().await
            };
            let (sent, read) = futures::join!(send, reading.read_to_end(&mut received));
            sent?;
            assert_eq!(read?, received.len());
            Ok(received)
        });
        assert!(received.await? == bytes);
        echo.await.unwrap()
    });
}

#[test]
fn a_peer_that_does_not_read_makes_the_thread_wait() {
    run(async || {
        let (stream, mut peer) = pair()?;
        let (stream, written) = away(stream, async |mut stream| {
            let mut written = 0;
            // Between two attempts the loop has time to take more; a hundred refusals in a row mean
            // that it takes no more.
            let mut refused = 0;
            while refused < 100 {
                match stream.write(&[7; 16 * 1024]).now_or_never() {
                    Some(count) => (written, refused) = (written + count?, 0),
                    None => refused += 1,
                }
                thread::yield_now();
            }
            Ok((stream, written))
        })
        .await?;
        assert!((64 * 1024..16 << 20).contains(&written), "{written} bytes");
        let leaving = create_task(away(stream, async |stream| {
            drop(stream);
            Ok(())
        }));
        let received = peer.reader().read_to_end().await?;
        assert!(received.len() >= written);
        leaving.await.unwrap()
    });
}

#[test]
fn dropped_elsewhere_it_is_closed_at_home() {
    run(async || {
        let (stream, mut peer) = pair()?;
        to_thread(move || drop(stream)).await.unwrap();
        assert_eq!(peer.reader().read(1).await?, "");
        Ok(())
    });
}

#[test]
fn what_was_written_before_the_drop_arrives() {
    run(async || {
        let (stream, mut peer) = pair()?;
        away(stream, async |mut stream| stream.write_all(&[1; 50_000]).await).await?;
        assert_eq!(peer.reader().read_to_end().await?.len(), 50_000);
        Ok(())
    });
}

#[test]
fn a_flush_waits_until_the_bytes_have_left() {
    run(async || {
        let (stream, mut peer) = pair()?;
        let stream = away(stream, async |mut stream| {
            stream.write_all(b"hello").await?;
            stream.flush().await?;
            Ok(stream)
        });
        let stream = stream.await?;
        // The flushed bytes are in the socket, so one poll finds them.
        assert!(peer.reader().fill_buf().now_or_never().is_some());
        assert_eq!(peer.reader().read(100).await?, "hello");
        drop(stream);
        Ok(())
    });
}

#[test]
fn the_two_directions_end_apart() {
    run(async || {
        let (stream, mut peer) = pair()?;
        let talking = create_task(away(stream, async |mut stream| {
            stream.write_all(b"question").await?;
            stream.close().await?;
            assert_eq!(stream.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        }));
        assert_eq!(peer.reader().read_to_end().await?, "question");
        peer.writer().write("answer");
        drop(peer);
        assert_eq!(talking.await.unwrap()?, "answer");
        Ok(())
    });
}

#[test]
fn a_peer_that_has_gone_is_an_end_and_an_error() {
    run(async || {
        let (stream, peer) = pair()?;
        drop(peer);
        let error = away(stream, async |mut stream| {
            assert_eq!(stream.read(&mut [0; 10]).await?, 0);
            loop {
                if let Err(error) = stream.write_all(b"anybody?").await {
                    return Ok(error);
                }
                thread::yield_now();
            }
        });
        assert_eq!(error.await?.kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn a_stream_that_comes_back_goes_on_being_relayed() {
    run(async || {
        let (stream, mut peer) = pair()?;
        let mut stream = away(stream, async |mut stream| {
            stream.write_all(b"away ").await?;
            Ok(stream)
        })
        .await?;
        assert_eq!(place(&stream), "ThreadsafeStream(relayed)");
        stream.write_all(b"home").await?;
        stream.flush().await?;
        assert_eq!(peer.reader().read_exactly(9).await.unwrap(), "away home");
        peer.writer().write("answer");
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await?;
        assert_eq!(answer, *b"answer");
        assert!(stream.into_inner().is_none());
        assert_eq!(peer.reader().read(1).await?, "");
        Ok(())
    });
}

/// The stream's task on the loop waits for the peer, or for the drop of the stream.
#[test]
fn a_drop_ends_a_read_that_waits_at_home() {
    run(async || {
        let (ours, peer) = UnixStream::pair()?;
        let stream = ThreadsafeStream::new(JoinedStream::from_std(ours)?);
        let stream = away(stream, async |mut stream| {
            assert!(stream.read(&mut [0; 10]).now_or_never().is_none());
            Ok(stream)
        })
        .await?;
        for _ in 0..3 {
            yield_now().await;
        }
        drop(stream);
        // The whole connection is closed, and not only its output.
        let is_closed = || {
            let mut polled = [PollFd::new(&peer, PollFlags::empty())];
            poll(&mut polled, Some(&Timespec::default())).unwrap();
            polled[0].revents().contains(PollFlags::HUP)
        };
        timeout(Duration::from_secs(60), until(is_closed)).await.expect("it is closed");
        Ok(())
    });
}

#[test]
fn when_the_loop_is_closed_reads_and_writes_elsewhere_fail() -> io::Result<()> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let (unused, mut of_unused) = UnixStream::pair()?;
    let (started, is_started) = mpsc::channel();
    let (thread, unused, _theirs) = asyncio_task::run(async move {
        let unused = ThreadsafeStream::new(JoinedStream::from_std(unused)?);
        let mut stream = ThreadsafeStream::new(JoinedStream::from_std(ours)?);
        let thread = thread::spawn(move || {
            block_on(async {
                let mut buffer = [0; 10];
                let read = stream.read(&mut buffer).await?;
                started.send(()).unwrap();
                let error = stream.read(&mut buffer).await.unwrap_err();
                let write = stream.write_all(b"anybody?").await.unwrap_err();
                assert_eq!(error.kind(), write.kind());
                io::Result::Ok((read, error.kind()))
            })
        });
        theirs.write_all(b"hello")?;
        while is_started.try_recv().is_err() {
            yield_now().await;
        }
        io::Result::Ok((thread, unused, theirs))
    })?;
    assert_eq!(thread.join().unwrap()?, (5, io::ErrorKind::ConnectionAborted));
    thread::spawn(move || {
        block_on(async move {
            let mut unused = unused;
            let error = unused.read(&mut [0; 10]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        })
    })
    .join()
    .unwrap();
    // The loop has closed its connection.
    assert_eq!(of_unused.read(&mut [0; 10])?, 0);
    Ok(())
}
