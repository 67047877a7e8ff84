//! Streams of a loop that are dropped on other threads.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use asyncio_http::rt::LoopStream;
use asyncio_net::JoinedStream;
use asyncio_task::{create_task, timeout};
use hyper::rt::{Read as _, ReadBuf, Write as _};

fn pair() -> io::Result<(LoopStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    theirs.set_nonblocking(true)?;
    Ok((LoopStream::new(JoinedStream::from_std(ours)?), theirs))
}

fn is_open(mut peer: &UnixStream) -> bool {
    match peer.read(&mut [0; 10]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn read(mut stream: LoopStream) -> Poll<io::Result<usize>> {
    let mut memory = [0; 10];
    let mut buffer = ReadBuf::new(&mut memory);
    let cx = &mut Context::from_waker(Waker::noop());
    let read = Pin::new(&mut stream).poll_read(cx, buffer.unfilled());
    read.map_ok(|()| buffer.filled().len())
}

#[test]
fn a_loop_that_is_closed_closes_the_stream_that_another_thread_has() -> io::Result<()> {
    let (closed, is_closed) = mpsc::channel();
    let (thread, peer) = asyncio_task::run(async move {
        let (stream, peer) = pair()?;
        // Writes more bytes than the socket accepts.
        let inner = stream.into_inner().expect("the stream is on its loop");
        inner.writer().write(vec![b'x'; 4 << 20]);
        let stream = LoopStream::new(inner);
        let thread = thread::spawn(move || {
            is_closed.recv().unwrap();
            drop(stream);
        });
        io::Result::Ok((thread, peer))
    })?;
    while matches!((&peer).read(&mut [0; 65536]), Ok(1..)) {}
    assert!(!is_open(&peer), "the closed loop has closed its connection");
    closed.send(()).unwrap();
    thread.join().unwrap();
    Ok(())
}

#[test]
fn on_another_thread_it_fails_and_at_home_it_has_ended_with_the_loop() -> io::Result<()> {
    let (here, there, peers) = asyncio_task::run(async {
        let ((here, one), (there, two)) = (pair()?, pair()?);
        io::Result::Ok((here, there, [one, two]))
    })?;
    assert!(peers.iter().all(|peer| !is_open(peer)));
    let elsewhere = thread::spawn(move || read(there)).join().unwrap();
    assert!(matches!(elsewhere, Poll::Ready(Err(error)) if error.kind() == ErrorKind::Unsupported));
    assert!(matches!(read(here), Poll::Ready(Ok(0))));
    Ok(())
}

#[test]
fn on_another_thread_it_can_only_be_dropped_and_its_loop_closes_it() {
    asyncio_task::run(async {
        let ((mut one, first), (other, second)) = (pair()?, pair()?);
        let elsewhere = thread::spawn(move || {
            let cx = &mut Context::from_waker(Waker::noop());
            let slices = [IoSlice::new(b"bytes")];
            let written = [
                Pin::new(&mut one).poll_write(cx, b"bytes").map_ok(drop),
                Pin::new(&mut one).poll_write_vectored(cx, &slices).map_ok(drop),
                Pin::new(&mut one).poll_flush(cx),
                Pin::new(&mut one).poll_shutdown(cx),
            ];
            for outcome in written {
                let Poll::Ready(Err(error)) = outcome else { panic!("it was accepted") };
                assert_eq!(error.kind(), ErrorKind::Unsupported);
            }
            assert!(other.into_inner().is_none());
            drop(one);
        });
        elsewhere.join().unwrap();
        for peer in [first, second] {
            // Nothing was written, and the end comes from the loop.
            let mut peer = JoinedStream::from_std(peer)?;
            assert_eq!(peer.reader().read(10).await?, "");
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn at_home_a_flush_waits_for_the_peer_and_a_shutdown_ends_the_output() {
    asyncio_task::run(async {
        let (mut stream, peer) = pair()?;
        let cx = &mut Context::from_waker(Waker::noop());
        let mut written = 0;
        while let Poll::Ready(count) = Pin::new(&mut stream).poll_write(cx, &[7; 50_000]) {
            written += count?;
        }
        assert!(Pin::new(&mut stream).poll_flush(cx).is_pending(), "the peer has read nothing");

        let mut peer = JoinedStream::from_std(peer)?;
        let receiving = create_task(async move { peer.reader().read_to_end().await });
        poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await?;
        poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
        let received = timeout(Duration::from_secs(60), receiving).await;
        assert_eq!(received.expect("the output has ended").unwrap()?.len(), written);
        drop(stream);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_taken_out_is_no_longer_the_loops_to_close() {
    asyncio_task::run(async {
        let (stream, peer) = pair()?;
        let inner = stream.into_inner().expect("the stream is on its loop");
        assert!(is_open(&peer));
        drop(inner);
        assert!(!is_open(&peer));
        io::Result::Ok(())
    })
    .unwrap();
}
