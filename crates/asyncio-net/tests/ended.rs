//! Every operation on an ended connection reports how the connection ended, every time.

mod common;

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use asyncio_net::{
    ByteSource, ByteStream, JoinedStream, ReadError, StreamReader, StreamWriter, open_connection,
    open_write_pipe, start_server, stream_over, upgrade_streams,
};
use asyncio_task::{Task, create_task};
use common::{run, settle, turn, until, wait_for};
use rustix::event::PollFlags;
use rustix::net::Shutdown;
use socket2::SockRef;

/// A stream, and its blocking peer.
async fn pair() -> io::Result<(StreamReader, StreamWriter, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    let (reader, writer) = open_connection(ours).await?;
    Ok((reader, writer, theirs))
}

fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Asserts that every operation on a reset connection fails with the reset, twice.
async fn assert_reset(reader: &mut StreamReader, writer: &StreamWriter) {
    let expect = |result: io::Result<()>, what: &str| {
        let kind = result.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::ConnectionReset), "{what}");
    };
    let read = |error: ReadError| Err(io::Error::from(error));
    for _ in 0..2 {
        expect(reader.read(10).await.map(drop), "read");
        expect(reader.read_line().await.map(drop), "read_line");
        expect(reader.read_exactly(3).await.map(drop).or_else(read), "read_exactly");
        expect(reader.read_until(b";").await.map(drop).or_else(read), "read_until");
        expect(reader.read_to_end().await.map(drop), "read_to_end");
        expect(reader.read_into(&mut [0; 10]).await.map(drop), "read_into");
        expect(reader.fill_buf().await.map(drop), "fill_buf");
        assert!(!reader.at_eof());
        writer.write(b"ignored");
        expect(writer.drain().await, "drain");
        expect(writer.flush().await, "flush");
        expect(writer.wait_closed().await, "wait_closed");
        expect(writer.close().await, "close");
        assert!(writer.is_closing());
    }
}

// S-033 S-037
#[test]
fn a_reset_that_the_reader_meets_is_everybodys() {
    run(async || {
        let (mut reader, writer, theirs) = pair().await?;
        reset(theirs);
        assert_eq!(reader.read(10).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.drain().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_reset(&mut reader, &writer).await;
        Ok(())
    });
}

// S-033 S-037
#[test]
fn a_reset_that_the_writer_meets_is_everybodys() {
    run(async || {
        let (mut reader, writer, theirs) = pair().await?;
        reset(theirs);
        writer.transport().with_socket(|socket| wait_for(&*socket, PollFlags::HUP));
        writer.write([0; 10_000]);
        assert_eq!(writer.flush().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_reset(&mut reader, &writer).await;
        Ok(())
    });
}

// wait_closed_after_reset
#[test]
fn a_reset_that_the_flusher_meets_is_everybodys() {
    run(async || {
        let (mut reader, writer, theirs) = pair().await?;
        let writer = Rc::new(writer);
        writer.write_bytes(vec![0; 20_000_000]);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let writer = writer.clone();
                create_task(async move { writer.wait_closed().await })
            })
            .collect();
        settle().await;
        assert!(waiting.iter().all(|task| !task.is_done()));
        reset(theirs);
        assert_eq!(writer.drain().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        for task in waiting {
            assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        assert_reset(&mut reader, &writer).await;
        Ok(())
    });
}

// S-031 wait_closed_after_reset
#[test]
fn tasks_that_wait_hear_of_a_reset_that_the_reader_meets() {
    run(async || {
        let (mut reader, writer, theirs) = pair().await?;
        let writer = Rc::new(writer);
        writer.transport().set_write_buffer_limits(Some(0), None);
        let other = writer.clone();
        let closed = create_task(async move { other.wait_closed().await });
        turn().await;
        reset(theirs);
        assert_eq!(reader.read_to_end().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(closed.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_reader_gives_what_came_before_the_error() {
    run(async || {
        for writer_first in [false, true] {
            let (mut reader, writer, mut theirs) = pair().await?;
            theirs.write_all(b"one\ntwo\nthr")?;
            reset(theirs);
            settle().await;
            if writer_first {
                writer.write([0; 10_000]);
                assert_eq!(writer.flush().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
            assert_eq!(reader.read_line().await?, "one\n");
            assert_eq!(reader.read(4).await?, "two\n");
            for _ in 0..2 {
                let error = reader.read_line().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
            assert_eq!(reader.read(100).await?, "thr");
            assert_reset(&mut reader, &writer).await;
        }
        Ok(())
    });
}

// S-037
#[test]
fn a_reset_while_a_connection_is_being_closed_is_no_regular_end() {
    run(async || {
        let (mut reader, writer, theirs) = pair().await?;
        writer.write_bytes(vec![0; 20_000_000]);
        let closed = writer.close();
        assert_eq!(reader.read(1).await?, "", "closed, and has not failed yet");
        reset(theirs);
        assert_eq!(closed.await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

/// A task that only waits for the end of the connection.
fn waits(writer: &Rc<StreamWriter>) -> Task<io::Result<()>> {
    let writer = writer.clone();
    create_task(async move { writer.wait_closed().await })
}

// wait_closed_after_reset
#[test]
fn a_task_that_only_waits_for_the_end_hears_of_a_reset() {
    run(async || {
        for reset_first in [false, true] {
            let (mut reader, writer, mut theirs) = pair().await?;
            let writer = Rc::new(writer);
            theirs.write_all(b"one\ntwo")?;
            let waiting = if reset_first {
                reset(theirs);
                settle().await;
                [waits(&writer), waits(&writer)]
            } else {
                let waiting = [waits(&writer), waits(&writer)];
                settle().await;
                assert!(waiting.iter().all(|task| !task.is_done()));
                reset(theirs);
                waiting
            };
            for task in waiting {
                assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
            assert_eq!(reader.read_line().await?, "one\n");
            assert_eq!(reader.read_exactly(3).await?, "two");
            assert_reset(&mut reader, &writer).await;
        }
        Ok(())
    });
}

// wait_closed_after_reset
#[test]
fn a_wait_that_was_given_up_leaves_the_others_their_news() {
    run(async || {
        let (_reader, writer, theirs) = pair().await?;
        let writer = Rc::new(writer);
        let [first, second, third] = [(); 3].map(|()| waits(&writer));
        settle().await;
        first.cancel();
        third.cancel();
        settle().await;
        reset(theirs);
        assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

// wait_closed_after_reset
#[test]
fn a_wait_for_the_end_hears_that_the_peer_of_a_unix_socket_is_gone() {
    run(async || {
        for (unread, kind) in [(true, ErrorKind::ConnectionReset), (false, ErrorKind::BrokenPipe)] {
            let (ours, mut theirs) = UnixStream::pair()?;
            let (mut reader, writer) = JoinedStream::from_std(ours)?.split();
            let writer = Rc::new(writer);
            theirs.write_all(b"last words")?;
            if unread {
                writer.write(b"nobody reads it");
                writer.flush().await?;
            }
            let waiting = waits(&writer);
            settle().await;
            assert!(!waiting.is_done());
            drop(theirs);
            assert_eq!(waiting.await.unwrap().unwrap_err().kind(), kind);
            assert_eq!(reader.read_exactly(10).await?, "last words");
        }
        Ok(())
    });
}

// wait_closed_after_reset
#[test]
fn the_end_of_the_peers_stream_is_no_end_of_the_connection() {
    run(async || {
        let (tcp_reader, tcp_writer, tcp) = pair().await?;
        let (ours, unix) = UnixStream::pair()?;
        let (unix_reader, unix_writer) = JoinedStream::from_std(ours)?.split();
        let tcp: (OwnedFd, _, _) = (tcp.into(), tcp_reader, tcp_writer);
        for (theirs, mut reader, writer) in [tcp, (unix.into(), unix_reader, unix_writer)] {
            let writer = Rc::new(writer);
            let waiting = waits(&writer);
            settle().await;
            rustix::net::shutdown(&theirs, Shutdown::Write)?;
            settle().await;
            assert_eq!(reader.read(1).await?, "");
            writer.write_eof();
            settle().await;
            assert!(!waiting.is_done(), "the connection can still fail");
            writer.close().await?;
            waiting.await.unwrap()?;
        }
        Ok(())
    });
}

// wait_closed_after_reset
#[test]
fn a_wait_for_the_end_of_a_pipe_hears_that_nobody_reads_it() {
    run(async || {
        let (reading, writing) = rustix::pipe::pipe()?;
        let (ours, theirs) = UnixStream::pair()?;
        for (theirs, ours) in [(reading, writing), (theirs.into(), ours.into())] {
            let writer = Rc::new(open_write_pipe(ours)?);
            let waiting = waits(&writer);
            settle().await;
            assert!(!waiting.is_done());
            drop(theirs);
            assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
        Ok(())
    });
}

// wait_closed_after_reset
#[test]
fn a_wait_for_the_end_of_a_stream_over_another_hears_of_a_reset() {
    run(async || {
        let (mut reader, mut writer, mut theirs) = pair().await?;
        upgrade_streams(&mut reader, &mut writer, async |plain| Ok(plain)).await?;
        let writer = Rc::new(writer);
        theirs.write_all(b"last words")?;
        let waiting = waits(&writer);
        settle().await;
        reset(theirs);
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(reader.read_exactly(10).await?, "last words");
        assert_reset(&mut reader, &writer).await;
        Ok(())
    });
}

/// A stream whose reads fail with an error of its own.
struct Garbled;

impl ByteSource for Garbled {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, "garbled")))
    }
}

impl ByteStream for Garbled {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }
    fn close(&self) {}
}

// S-037
#[test]
fn the_error_of_a_stream_of_ones_own_keeps_its_kind_and_text() {
    run(async || {
        let (mut reader, writer) = stream_over(Garbled);
        for _ in 0..2 {
            for error in [
                reader.read(1).await.unwrap_err(),
                writer.drain().await.unwrap_err(),
                writer.wait_closed().await.unwrap_err(),
            ] {
                assert_eq!(
                    (error.kind(), &*error.to_string()),
                    (ErrorKind::InvalidData, "garbled")
                );
            }
        }
        Ok(())
    });
}

struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

/// Polls a pending future with a counted waker, drops the future, and returns how many copies of
/// the waker are left.
fn wakers_left_by(future: impl Future) -> usize {
    let counted = Arc::new(Counted);
    let waker = Waker::from(counted.clone());
    {
        let mut future = pin!(future);
        let polled = Pin::as_mut(&mut future).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    drop(waker);
    Arc::strong_count(&counted) - 1
}

// stale_waiters
#[test]
fn a_wait_that_is_given_up_leaves_no_waker_behind() {
    run(async || {
        let server = start_server("127.0.0.1:0", async |mut reader: StreamReader, _writer| {
            reader.read_to_end().await
        })
        .await?;
        let _client = TcpStream::connect(server.local_addr()?)?;
        until(|| server.client_count() == 1).await;
        let (_reader, writer, _theirs) = pair().await?;
        writer.write_bytes(vec![0; 20_000_000]);
        assert_eq!(wakers_left_by(server.wait_closed()), 0);
        assert_eq!(wakers_left_by(server.shutdown(Duration::from_secs(1))), 0);
        assert_eq!(wakers_left_by(writer.drain()), 0);
        assert_eq!(wakers_left_by(writer.flush()), 0);
        assert_eq!(wakers_left_by(writer.wait_closed()), 0);
        assert_eq!(wakers_left_by(writer.close()), 0);
        server.abort_clients();
        Ok(())
    });
}
