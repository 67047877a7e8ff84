//! Streams by the traits of `hyper::rt`.

mod common;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::pin::Pin;

use asyncio_net::JoinedStream;
use asyncio_task::{create_task, yield_now};
use common::{bytes, run};
use hyper::rt::{Read, ReadBuf, Write};

fn pair() -> io::Result<(JoinedStream, JoinedStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((JoinedStream::from_std(ours)?, JoinedStream::from_std(theirs)?))
}

/// Reads once, into memory that is not initialised.
async fn read(stream: &mut (impl Read + Unpin), room: usize) -> io::Result<Vec<u8>> {
    let mut memory = vec![MaybeUninit::uninit(); room];
    let mut buffer = ReadBuf::uninit(&mut memory);
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await?;
    Ok(buffer.filled().to_vec())
}

#[test]
fn bytes_come_in_pieces_of_the_callers_size_and_then_the_end() {
    run(async || {
        let (mut ours, theirs) = pair()?;
        theirs.writer().write("hello");
        assert_eq!(read(&mut ours, 3).await?, b"hel");
        assert_eq!(read(&mut ours, 0).await?, b"");
        assert_eq!(read(&mut ours, 3).await?, b"lo");
        drop(theirs);
        assert_eq!(read(&mut ours, 3).await?, b"");
        Ok(())
    });
}

#[test]
fn a_waiting_read_is_woken_and_a_dropped_one_loses_nothing() {
    run(async || {
        let (ours, theirs) = pair()?;
        let (mut reader, _writer) = ours.split();
        let reading = create_task(async move {
            let first = read(&mut reader, 10).await?;
            io::Result::Ok((reader, first))
        });
        yield_now().await;
        assert!(!reading.is_done());
        theirs.writer().write("one");
        let (mut reader, first) = reading.await.unwrap()?;
        assert_eq!(first, b"one");
        drop(asyncio_task::timeout(std::time::Duration::ZERO, read(&mut reader, 10)).await);
        theirs.writer().write("two");
        assert_eq!(read(&mut reader, 10).await?, b"two");
        Ok(())
    });
}

#[test]
fn vectored_writes_wait_for_the_peer_and_shutting_down_ends_one_direction() {
    run(async || {
        let (ours, theirs) = pair()?;
        let receiving = create_task(receive_and_thank(theirs));
        let sent = send_and_be_thanked(ours).await?;
        assert!(receiving.await.unwrap()? == sent);
        Ok(())
    });
}

#[cfg(feature = "send")]
#[test]
fn a_stream_that_may_travel_does_the_same_at_home_and_on_another_thread() {
    run(async || {
        for is_away in [false, true] {
            let (ours, theirs) = pair()?;
            let ours = asyncio_net::ThreadsafeStream::new(ours);
            let receiving = create_task(receive_and_thank(theirs));
            let sent = if is_away {
                let sending = move || futures::executor::block_on(send_and_be_thanked(ours));
                asyncio_task::to_thread(sending).await.unwrap()?
            } else {
                send_and_be_thanked(ours).await?
            };
            assert!(receiving.await.unwrap()? == sent);
        }
        Ok(())
    });
}

async fn receive_and_thank(mut stream: JoinedStream) -> io::Result<asyncio_net::Bytes> {
    let received = stream.reader().read_to_end().await?;
    stream.writer().write("thanks");
    stream.writer().flush().await?;
    Ok(received)
}

async fn send_and_be_thanked(mut stream: impl Read + Write + Unpin) -> io::Result<Vec<u8>> {
    let sent = bytes(3_000_000);
    assert!(stream.is_write_vectored());
    let mut done = 0;
    while done < sent.len() {
        let (left, right) = sent[done..].split_at((sent.len() - done) / 2);
        let slices = [IoSlice::new(&[]), IoSlice::new(left), IoSlice::new(right)];
        done += poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &slices)).await?;
    }
    poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await?;
    poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
    assert_eq!(read(&mut stream, 4).await?, b"than");
    assert_eq!(read(&mut stream, 10).await?, b"ks");
    let late = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"late")).await;
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    Ok(sent)
}
