//! Operations that are dropped or cancelled at every await: no socket stays open, and other
//! connections are not affected. These tests run in a process of their own and one after another,
//! since they count file descriptors.

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Mutex;
use std::task::Poll;

use asyncio_loop::machinery::TaskControl;
use asyncio_net::{
    Server, StreamReader, StreamWriter, create_server, open_connection, sock_accept, start_server,
};
use asyncio_task::{create_task, current_task};
use common::{Echo, bytes, open_sockets, reports, run, settle, silent_address, until};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// More bytes than the sockets' buffers hold.
const MUCH: usize = 8_000_000;

#[track_caller]
fn run_alone(test: impl AsyncFnOnce() -> io::Result<()>) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    run(test);
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Drop,
    Cancel,
}

/// Drops or cancels `work` at its `count`th wait. Returns `None` if `work` was given up, else its
/// value.
async fn give_up<T>(work: impl Future<Output = T>, way: Way, count: usize) -> Option<T> {
    let mut work = pin!(work);
    let mut waits = 0;
    poll_fn(|cx| {
        if let Poll::Ready(value) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        waits += 1;
        match way {
            _ if waits < count => Poll::Pending,
            Way::Drop => Poll::Ready(None),
            Way::Cancel => {
                current_task().unwrap().request_cancel();
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs `work` again and again: gives it up at its first wait, at its second, and so on, until it
/// completes.
async fn at_every_await<T: 'static, F: Future<Output = T> + 'static>(
    work: impl Fn() -> F,
    after: impl AsyncFn(),
) {
    for way in [Way::Drop, Way::Cancel] {
        for count in 1.. {
            let task = create_task(give_up(work(), way, count));
            let done = task.await.unwrap_or_else(|error| {
                assert!(error.is_cancelled(), "{error}");
                None
            });
            after().await;
            if done.is_some() {
                break;
            }
            // The system decides how the bytes are split, so the number of waits differs between
            // runs.
            assert!(count < 10_000, "the work never ends");
        }
    }
}

/// Waits until the other sockets are closed, which takes an unknown number of turns.
async fn none_stays_open_but(before: usize) {
    for _ in 0..100_000 {
        if open_sockets() == before {
            return;
        }
        settle().await;
    }
    assert_eq!(open_sockets(), before);
}

/// A client that connects, writes, reads, drains and closes.
async fn client(server: Server) -> io::Result<()> {
    let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    writer.write(b"line\n");
    writer.drain().await?;
    assert_eq!(reader.read_line().await?, "line\n");
    writer.write(bytes(100_000));
    assert!(reader.read_exactly(100_000).await? == bytes(100_000));
    writer.write(bytes(MUCH));
    // The bytes exceed the high-water mark, so `drain` returns only if the client reads what the
    // server sends back.
    let mut received = 0;
    while received < MUCH {
        received += reader.read(1 << 20).await?.len();
    }
    writer.drain().await?;
    writer.write_eof();
    assert_eq!(reader.read_to_end().await?, "");
    writer.close().await
}

#[test]
fn a_client() {
    run_alone(async || {
        let reports = reports();
        let server = create_server("127.0.0.1:0", || Echo).await?;
        let before = open_sockets();
        let work = || client(server.clone());
        at_every_await(work, async || {
            until(|| server.client_count() == 0).await;
            // A socket that was closed with unread bytes lingers until its peer has ended the
            // stream.
            none_stays_open_but(before).await;
        })
        .await;
        client(server).await?;
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}

/// A handler that reads, writes, drains and closes.
async fn handler(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    assert_eq!(reader.read_line().await?, "question\n");
    for chunk in bytes(MUCH).chunks(100_000) {
        writer.write(chunk);
        writer.drain().await?;
    }
    writer.write_eof();
    assert_eq!(reader.read_to_end().await?, "that was all");
    writer.close().await
}

/// The client of `handler`. Returns the number of received bytes.
async fn handled(server: &Server) -> io::Result<usize> {
    let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    writer.write(b"question\n");
    let received = reader.read_to_end().await?;
    assert!(bytes(MUCH).starts_with(&received));
    writer.write(b"that was all");
    writer.close().await?;
    Ok(received.len())
}

#[test]
fn a_servers_handler() {
    run_alone(async || {
        let reports = reports();
        for way in [Way::Drop, Way::Cancel] {
            let count = Rc::new(Cell::new(0));
            let done = Rc::new(Cell::new(false));
            let server = start_server("127.0.0.1:0", {
                let (count, done) = (count.clone(), done.clone());
                async move |reader, writer| {
                    let result = give_up(handler(reader, writer), way, count.get()).await;
                    done.set(matches!(result, Some(Ok(()))));
                }
            })
            .await?;
            let before = open_sockets();
            while !done.get() {
                count.set(count.get() + 1);
                // A connection that is closed with unread bytes ends with a reset.
                let received = handled(&server).await.unwrap_or(0);
                until(|| server.client_count() == 0).await;
                none_stays_open_but(before).await;
                assert!(!done.get() || received == MUCH);
            }
            server.close();
            server.wait_closed().await;
        }
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}

#[test]
fn closing_with_much_to_send() {
    run_alone(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let before = open_sockets();
        let work = move || async move {
            let (_reader, writer) = open_connection(address).await?;
            writer.write(bytes(MUCH));
            writer.close().await
        };
        for way in [Way::Drop, Way::Cancel] {
            // The first wait is the connecting itself, which is tested elsewhere.
            for count in 2..4 {
                let task = create_task(give_up(work(), way, count));
                common::turn().await;
                let (mut reader, theirs) = open_connection(listener.accept()?.0).await?;
                // A connection that is given up is closed in order: the written bytes still arrive.
                assert!(reader.read_to_end().await? == bytes(MUCH));
                theirs.close().await?;
                let _ = task.await;
                none_stays_open_but(before).await;
            }
        }
        Ok(())
    });
}

#[test]
fn an_accept() {
    run_alone(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let before = open_sockets();
        for way in [Way::Drop, Way::Cancel] {
            let listener = Rc::new(listener.try_clone()?);
            let accepting = {
                let listener = listener.clone();
                async move { sock_accept(&*listener).await.map(|_| ()) }
            };
            let given_up = create_task(give_up(accepting, way, 1)).await;
            assert!(matches!(given_up, Ok(None) | Err(_)));
            // The next `sock_accept` gets the connection.
            let client = std::net::TcpStream::connect(listener.local_addr()?)?;
            let (_accepted, peer) = sock_accept(&*listener).await?;
            assert_eq!(peer.as_inet(), client.local_addr().ok());
        }
        assert_eq!(open_sockets(), before);
        Ok(())
    });
}

// T-035
#[test]
fn a_connect_that_is_not_answered() {
    run_alone(async || {
        let (listener, clients, address) = silent_address();
        let before = open_sockets();
        let connecting = create_task(open_connection(address).into_future());
        settle().await;
        assert!(!connecting.is_done());
        assert_eq!(open_sockets(), before + 1);
        connecting.cancel();
        assert!(connecting.await.unwrap_err().is_cancelled());
        assert_eq!(open_sockets(), before);
        drop((listener, clients));
        Ok(())
    });
}
