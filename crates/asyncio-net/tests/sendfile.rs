//! `sendfile` over transports.

mod common;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, IoSlice, Seek};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_net::{
    ByteSource, ByteStream, SendfileNotAvailableError, SendfileOptions, StreamReader, StreamWriter,
    open_connection, sendfile, sock_sendfile, stream_over,
};
use asyncio_task::create_task;
use common::{TempDir, bytes, pipe, run, settle, until};

async fn streams() -> io::Result<[(StreamReader, StreamWriter); 2]> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    Ok([open_connection(ours).await?, open_connection(theirs).await?])
}

fn file(dir: &TempDir, contents: &[u8]) -> File {
    let path = dir.path("file");
    std::fs::write(&path, contents).unwrap();
    File::open(path).unwrap()
}

// T-039
#[test]
fn the_file_comes_between_what_was_written_before_and_after() {
    run(async || {
        let dir = TempDir::new();
        let contents = bytes(3_000_000);
        let mut file = file(&dir, &contents);
        for (options, range) in [
            (SendfileOptions::new(), 0..3_000_000),
            (SendfileOptions::new().offset(1000).count(2000), 1000..3000),
        ] {
            let [(mut reader, _keep), (_, writer)] = streams().await?;
            let reading = create_task(async move { reader.read_to_end().await });
            let before = bytes(500_000);
            writer.write(&before);
            let sent = sendfile(writer.transport(), &file, options).await?;
            assert_eq!(sent, (range.end - range.start) as u64);
            assert_eq!(file.stream_position()?, range.end as u64);
            writer.write(b"after");
            writer.close().await?;
            let expected = [&before, &contents[range], b"after"].concat();
            assert!(reading.await.unwrap()? == expected);
        }
        Ok(())
    });
}

// T-040
#[test]
fn nothing_else_may_be_written_meanwhile() {
    run(async || {
        let dir = TempDir::new();
        let file = Rc::new(file(&dir, &bytes(20_000_000)));
        let [(mut reader, _keep), (_, writer)] = streams().await?;
        let transport = writer.transport().clone();
        let sending = create_task({
            let (transport, file) = (transport.clone(), file.clone());
            async move { sendfile(&transport, &file, SendfileOptions::new()).await }
        });
        settle().await;
        assert!(!sending.is_done());
        let write = || transport.write(b"x");
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
        reader.read_exactly(20_000_000).await?;
        assert_eq!(sending.await.unwrap()?, 20_000_000);
        transport.write(b"x");
        assert_eq!(reader.read(9).await?, "x");
        Ok(())
    });
}

/// A stream that carries bytes and cannot send files.
struct Plain {
    written: Rc<RefCell<Vec<u8>>>,
}

impl ByteSource for Plain {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

impl ByteStream for Plain {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.written.borrow().len();
        for slice in slices {
            self.written.borrow_mut().extend_from_slice(slice);
        }
        Ok(self.written.borrow().len() - before)
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {}
}

// T-042
#[test]
fn without_the_systems_help_the_file_is_read_and_written() {
    run(async || {
        let dir = TempDir::new();
        let contents = bytes(1_000_000);
        let mut file = file(&dir, &contents);
        let written = Rc::default();
        let (_reader, writer) = stream_over(Plain { written: Rc::clone(&written) });
        writer.write(b"before");
        let options = SendfileOptions::new().offset(10).fallback(false);
        let error = sendfile(writer.transport(), &file, options).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.get_ref().unwrap().is::<SendfileNotAvailableError>());
        assert_eq!(file.stream_position()?, 0);

        let sent = sendfile(writer.transport(), &file, options.fallback(true)).await?;
        assert_eq!(sent, 999_990);
        assert_eq!(file.stream_position()?, 1_000_000);
        writer.write(b"after");
        writer.close().await?;
        assert!(*written.borrow() == [b"before", &contents[10..], b"after"].concat());
        Ok(())
    });
}

/// Carries bytes up to a limit, which the test moves, and cannot send files.
#[derive(Clone, Default)]
struct Slow(Rc<SlowState>);

#[derive(Default)]
struct SlowState {
    written: RefCell<Vec<u8>>,
    limit: Cell<usize>,
    is_broken: Cell<bool>,
    writer: Cell<Option<Waker>>,
}

impl Slow {
    fn written(&self) -> usize {
        self.0.written.borrow().len()
    }

    /// Takes bytes until it has this many.
    fn allow(&self, limit: usize) {
        self.0.limit.set(limit);
        self.0.writer.take().into_iter().for_each(Waker::wake);
    }

    fn break_down(&self) {
        self.0.is_broken.set(true);
        self.0.writer.take().into_iter().for_each(Waker::wake);
    }
}

impl ByteSource for Slow {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl ByteStream for Slow {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let room = self.0.limit.get() - self.written();
        if self.0.is_broken.get() {
            return Err(io::ErrorKind::ConnectionReset.into());
        } else if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = &slices[0][..room.min(slices[0].len())];
        self.0.written.borrow_mut().extend_from_slice(taken);
        Ok(taken.len())
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.is_broken.get() || self.written() < self.0.limit.get() {
            return Poll::Ready(Ok(()));
        }
        self.0.writer.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {}
}

// T-042, T-043: the system does not send, so the file is sent in blocks.
#[test]
fn after_a_drop_the_position_includes_the_block_that_the_transport_has_taken() {
    run(async || {
        let dir = TempDir::new();
        let contents = bytes(1_000_000);
        let mut file = file(&dir, &contents);
        let slow = Slow::default();
        let (_reader, writer) = stream_over(slow.clone());
        slow.allow(300_000);
        let sending = create_task({
            let (transport, file) = (writer.transport().clone(), file.try_clone()?);
            async move { sendfile(&transport, &file, SendfileOptions::new()).await }
        });
        until(|| slow.written() == 300_000).await;
        sending.cancel();
        assert!(sending.await.unwrap_err().is_cancelled());

        // Going on from there sends each byte once.
        let position = file.stream_position()?;
        slow.allow(usize::MAX);
        let options = SendfileOptions::new().offset(position);
        let sent = sendfile(writer.transport(), &file, options).await?;
        assert_eq!(position + sent, 1_000_000);
        assert!(*slow.0.written.borrow() == contents);
        Ok(())
    });
}

// T-043
#[test]
fn after_an_error_the_position_is_that_of_the_last_block_that_was_sent() {
    run(async || {
        let dir = TempDir::new();
        let mut file = file(&dir, &bytes(1_000_000));
        let slow = Slow::default();
        let (_reader, writer) = stream_over(slow.clone());
        slow.allow(300_000);
        let breaking = create_task({
            let slow = slow.clone();
            async move {
                until(|| slow.written() == 300_000).await;
                slow.break_down();
            }
        });
        let error = sendfile(writer.transport(), &file, SendfileOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(file.stream_position()?, 256 * 1024);
        breaking.await.unwrap();
        Ok(())
    });
}

// T-043
#[test]
fn a_peer_that_goes_away_in_the_middle() {
    run(async || {
        let dir = TempDir::new();
        let mut file = file(&dir, &bytes(20_000_000));
        let [(mut reader, peer), (_, writer)] = streams().await?;
        let reading = create_task(async move {
            reader.read_exactly(1_000_000).await?;
            peer.transport().abort();
            io::Result::Ok(())
        });
        let error = sendfile(writer.transport(), &file, SendfileOptions::new()).await.unwrap_err();
        let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
        let position = file.stream_position()?;
        assert!((1_000_000..20_000_000).contains(&position), "{position}");
        assert!(writer.is_closing());
        reading.await.unwrap()
    });
}

#[test]
fn a_closed_connection_sends_no_file() {
    run(async || {
        let dir = TempDir::new();
        let file = file(&dir, b"contents");
        let [(_, writer), _other] = streams().await?;
        writer.close();
        let error = sendfile(writer.transport(), &file, SendfileOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        Ok(())
    });
}

// K-021
#[test]
fn a_file_that_cannot_be_sent_says_that_sendfile_is_not_available() {
    run(async || {
        for fallback in [false, true] {
            let [(_reader, writer), _other] = streams().await?;
            let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let (pipe, _writing) = pipe()?;
            let options = SendfileOptions::new().fallback(fallback);
            for error in [
                sendfile(writer.transport(), &pipe, options).await.unwrap_err(),
                sock_sendfile(&ours, &pipe, options).await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
                assert!(error.get_ref().unwrap().is::<SendfileNotAvailableError>());
            }
            writer.write(b"goes on");
            writer.flush().await?;
        }
        Ok(())
    });
}
