//! `open_connection`, `start_server`, `StreamWriter`, over loopback.

mod common;

use asyncio_loop::machinery::TaskControl;
use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_net::{
    ByteSource, ByteStream, StreamReader, StreamWriter, open_connection, start_server, stream_over,
};
use asyncio_task::{create_task, sleep};
use common::{Log, bytes, reports, run, settle, turn, wait_for};
use rustix::event::PollFlags;
use socket2::SockRef;

/// A stream, and its blocking peer.
async fn pair() -> io::Result<(StreamReader, StreamWriter, TcpStream)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    let (reader, writer) = open_connection(ours).await?;
    Ok((reader, writer, theirs))
}

/// Two streams that are connected to each other.
async fn streams() -> io::Result<[(StreamReader, StreamWriter); 2]> {
    let (reader, writer, theirs) = pair().await?;
    Ok([(reader, writer), open_connection(theirs).await?])
}

/// Writes until the buffer stays above the high-water mark, even when the peer's system has taken
/// bytes. Returns the number of bytes.
async fn fill(writer: &StreamWriter) -> usize {
    let mut written = 0;
    while writer.transport().write_buffer_size() <= 64 * 1024 {
        while writer.transport().write_buffer_size() <= 64 * 1024 {
            writer.write(vec![5; 50_000]);
            written += 50_000;
        }
        settle().await;
    }
    written
}

#[test]
fn echo() {
    run(async || {
        let server = start_server("127.0.0.1:0", async |mut reader, writer| {
            loop {
                let data = reader.read(65_536).await?;
                if data.is_empty() {
                    return writer.close().await;
                }
                writer.write(&data);
                writer.drain().await?;
            }
        })
        .await?;
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        for size in [1, 100, 10_000, 1_000_000, 5_000_000] {
            writer.write(bytes(size));
            assert!(reader.read_exactly(size).await? == bytes(size));
        }
        writer.write_eof();
        assert_eq!(reader.read(1).await?, "");
        writer.close().await?;
        server.close();
        server.wait_closed().await;
        Ok(())
    });
}

#[test]
fn formatted_text_keeps_its_place() {
    run(async || {
        let [(mut reader, _other), (_reader, writer)] = streams().await?;
        let long = "x".repeat(100_000);
        writer.write(b"first ");
        write!(writer, "second {:>5}|", 3);
        write!(writer, "{long}");
        writeln!(writer, "!");
        let line = reader.read_exactly(6 + 13 + long.len() + 2).await?;
        assert_eq!(line, format!("first second     3|{long}!\n"));

        writer.close().await?;
        write!(writer, "{long}");
        Ok(())
    });
}

// S-029
#[test]
fn drain_waits_above_the_high_mark_only() {
    run(async || {
        let [(mut reader, _other), (_reader, writer)] = streams().await?;
        let writer = Rc::new(writer);
        writer.write([0; 1000]);
        let mut turns = 0;
        let mut draining = std::pin::pin!(writer.drain());
        let mut poll = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(draining.as_mut().poll(&mut poll).is_ready(), "the drain does not suspend");

        let written = fill(&writer).await + 1000;
        let draining = create_task({
            let writer = writer.clone();
            async move { writer.drain().await }
        });
        while turns < 20 {
            turn().await;
            turns += 1;
        }
        assert!(!draining.is_done());
        reader.read_exactly(written - 16 * 1024).await?;
        draining.await.unwrap()?;
        assert!(writer.transport().write_buffer_size() <= 16 * 1024);
        Ok(())
    });
}

// S-030
#[test]
fn ten_tasks_may_drain_one_writer() {
    run(async || {
        let [(mut reader, _other), (_reader, writer)] = streams().await?;
        let writer = Rc::new(writer);
        let written = fill(&writer).await;
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let writer = writer.clone();
                create_task(async move { writer.drain().await })
            })
            .collect();
        settle().await;
        assert!(tasks.iter().all(|task| !task.is_done()));
        reader.read_exactly(written).await?;
        for task in tasks {
            task.await.unwrap()?;
        }
        Ok(())
    });
}

// S-031
#[test]
fn tasks_that_drain_hear_how_the_connection_ended() {
    run(async || {
        for reset in [true, false] {
            let (_reader, writer, theirs) = pair().await?;
            let writer = Rc::new(writer);
            fill(&writer).await;
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let writer = writer.clone();
                    create_task(async move { writer.drain().await })
                })
                .collect();
            settle().await;
            if reset {
                SockRef::from(&theirs).set_linger(Some(Duration::ZERO))?;
                drop(theirs);
            } else {
                writer.transport().abort();
            }
            for task in tasks {
                let result = task.await.unwrap();
                let kind = result.as_ref().err().map(io::Error::kind);
                let expected = reset.then_some(io::ErrorKind::ConnectionReset);
                assert!(
                    kind == expected || reset && kind == Some(io::ErrorKind::BrokenPipe),
                    "{result:?}"
                );
            }
        }
        Ok(())
    });
}

// S-032
#[test]
fn writing_to_a_peer_that_is_gone_fails_after_a_while() {
    run(async || {
        for reset in [true, false] {
            let (_reader, writer, theirs) = pair().await?;
            if reset {
                SockRef::from(&theirs).set_linger(Some(Duration::ZERO))?;
            }
            drop(theirs);
            let error = loop {
                writer.write([0; 10_000]);
                if let Err(error) = writer.drain().await {
                    break error;
                }
            };
            let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            assert_eq!(writer.drain().await.unwrap_err().kind(), error.kind());
            assert_eq!(writer.close().await.unwrap_err().kind(), error.kind());
        }
        Ok(())
    });
}

/// Writes `data` to a peer that has sent bytes and then reset the connection. Returns the errors
/// that the writer and the reader get.
async fn written_after_a_reset(data: &[u8]) -> io::Result<[io::ErrorKind; 2]> {
    let (mut reader, writer, mut theirs) = pair().await?;
    theirs.write_all(b"the beginning")?;
    SockRef::from(&theirs).set_linger(Some(Duration::ZERO))?;
    drop(theirs);
    settle().await;
    writer.write(data);
    let told = writer.flush().await.unwrap_err().kind();
    let read = reader.read_to_end().await.expect_err("it is not all").kind();
    assert_eq!(reader.buffered(), b"the beginning");
    let again = io::Error::from(reader.read_exactly(100).await.unwrap_err());
    assert_eq!(again.kind(), read);
    Ok([told, read])
}

// The system reports a reset to one operation only; later operations succeed.
#[test]
fn a_reset_that_a_writer_meets_is_not_a_regular_end_to_the_reader() {
    run(async || {
        for length in [1, 5000, 100_000] {
            let told = written_after_a_reset(&bytes(length)).await?;
            assert_eq!(told, [io::ErrorKind::ConnectionReset; 2], "{length}");
        }
        Ok(())
    });
}

#[test]
fn a_peer_that_has_said_all_ends_the_stream_also_if_it_takes_no_more() {
    run(async || {
        let (mut reader, writer, mut theirs) = pair().await?;
        theirs.write_all(b"all")?;
        drop(theirs);
        settle().await;
        writer.write(b"refused");
        writer.flush().await?;
        settle().await;
        writer.write(b"too late");
        assert_eq!(writer.flush().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(reader.read_to_end().await?, "all");
        Ok(())
    });
}

/// A stream whose `poll_write` panics.
struct Panics;

impl ByteSource for Panics {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

impl ByteStream for Panics {
    fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        panic!("no room")
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {}
}

#[test]
fn a_stream_that_panics_while_it_sends_is_lost_and_those_behind_it_are_sent() {
    run(async || {
        let reports = reports();
        let (mut from_it, to_it) = stream_over(Panics);
        let [(_r1, first, to_first), (_r2, second, to_second)] = [pair().await?, pair().await?];
        to_it.write(b"x");
        first.write(b"1");
        second.write(b"2");
        turn().await;
        assert_eq!((arrived(&to_first)?, arrived(&to_second)?), (1, 1));
        assert_eq!(to_it.drain().await.unwrap_err().to_string(), "the stream panicked: no room");
        assert!(from_it.read(1).await.is_err());
        assert_eq!(reports.borrow().len(), 1, "{:?}", reports.borrow());
        assert!(reports.borrow()[0].contains("no room"), "{:?}", reports.borrow());
        Ok(())
    });
}

// S-034
#[test]
fn after_close_writes_are_ignored_and_drain_fails() {
    run(async || {
        let reports = reports();
        let (_reader, writer, _theirs) = pair().await?;
        writer.close();
        writer.write(b"ignored");
        assert_eq!(writer.drain().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        settle().await;
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

// S-035 S-038
#[test]
fn close_flushes_and_any_number_may_wait_for_it() {
    run(async || {
        let [(mut reader, _other), (_reader, writer)] = streams().await?;
        let writer = Rc::new(writer);
        let written = fill(&writer).await;
        writer.close();
        assert!(writer.is_closing());
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let writer = writer.clone();
                create_task(async move { writer.wait_closed().await })
            })
            .collect();
        settle().await;
        assert!(tasks.iter().all(|task| !task.is_done()));
        assert_eq!(reader.read_to_end().await?.len(), written);
        for task in tasks {
            task.await.unwrap()?;
        }
        writer.wait_closed().await?;
        writer.close().await
    });
}

// S-036
#[test]
fn after_close_the_reader_is_at_its_end() {
    run(async || {
        let (mut reader, writer, mut theirs) = pair().await?;
        let reading = create_task(async move {
            let first = reader.read(1).await?;
            let second = reader.read(1).await?;
            io::Result::Ok((first, second, reader.at_eof()))
        });
        settle().await;
        writer.close();
        assert_eq!(reading.await.unwrap()?, ("".into(), "".into(), true));
        assert!(theirs.write_all(b"x").is_ok());
        Ok(())
    });
}

// S-039
#[test]
fn a_writer_that_is_dropped_closes_its_connection() {
    run(async || {
        let reports = reports();
        let event_loop = asyncio_loop::running_loop();
        for debug in [false, true] {
            event_loop.set_debug(debug);
            let [(mut reader, _writer), (_reader, dropped)] = streams().await?;
            let written = fill(&dropped).await;
            drop(dropped);
            assert_eq!(reader.read_to_end().await?.len(), written);
            assert_eq!(reports.borrow().len(), usize::from(debug));
        }
        event_loop.set_debug(false);
        assert!(reports.borrow()[0].contains("without being closed"));
        Ok(())
    });
}

#[test]
fn a_writer_that_has_said_that_no_more_comes_may_be_dropped() {
    run(async || {
        let reports = reports();
        let event_loop = asyncio_loop::running_loop();
        let [(mut reader, _writer), (_reader, dropped)] = streams().await?;
        event_loop.set_debug(true);
        dropped.write(b"all");
        dropped.write_eof();
        drop(dropped);
        event_loop.set_debug(false);
        assert_eq!(reader.read_to_end().await?, "all");
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}

// S-039
#[test]
fn a_writer_may_outlive_its_loop() {
    let kept = Cell::new(None);
    run(async || {
        asyncio_loop::running_loop().set_debug(true);
        let [one, other] = streams().await?;
        one.1.write(b"never sent");
        kept.set(Some((one, other)));
        Ok(())
    });
    drop(kept.take());
}

// S-041
#[test]
fn a_handler_that_fails_is_reported_once_with_its_peer() {
    run(async || {
        let reports = reports();
        let server = start_server("127.0.0.1:0", async |mut reader, writer| {
            match &reader.read(5).await?[..] {
                b"error" => Err(io::Error::other("on purpose")),
                b"panic" => panic!("for show"),
                other => {
                    writer.write(other);
                    Ok(())
                }
            }
        })
        .await?;
        for (command, text) in
            [("error", "failed: on purpose"), ("panic", "failed: panicked: for show")]
        {
            let (mut reader, writer) = open_connection(server.local_addr()?).await?;
            writer.write(command.as_bytes());
            assert_eq!(reader.read_to_end().await?, "");
            let report = reports.borrow_mut().pop().unwrap();
            assert!(report.contains(text), "{report}");
            assert!(report.contains(&writer.local_addr().unwrap().to_string()), "{report}");
        }
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write(b"hello");
        assert_eq!(reader.read_to_end().await?, "hello");
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

// S-041
#[test]
fn a_handler_that_panics_before_it_is_a_future_is_reported_with_its_peer() {
    fn handler(_: StreamReader, _: StreamWriter) -> std::future::Ready<()> {
        panic!("for show")
    }
    run(async || {
        let reports = reports();
        let server = start_server("127.0.0.1:0", handler).await?;
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        assert_eq!(reader.read_to_end().await?, "");
        let reports = reports.borrow();
        assert_eq!(reports.len(), 1);
        assert!(reports[0].contains("for show"), "{reports:?}");
        assert!(reports[0].contains(&writer.local_addr().unwrap().to_string()), "{reports:?}");
        assert_eq!(server.client_count(), 0);
        Ok(())
    });
}

// S-042
#[test]
fn a_handler_that_is_cancelled_closes_its_connection_in_silence() {
    run(async || {
        let reports = reports();
        let log = Log::default();
        let server = start_server("127.0.0.1:0", {
            let log = log.clone();
            async move |_reader, _writer| {
                log.add("started");
                sleep(Duration::from_secs(3600)).await;
            }
        })
        .await?;
        let before = asyncio_task::all_tasks();
        let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
        log.until("started").await;
        let handlers: Vec<_> =
            asyncio_task::all_tasks().into_iter().filter(|task| !before.contains(task)).collect();
        assert_eq!(handlers.len(), 1, "handlers are tasks like any other");
        handlers[0].request_cancel();
        assert_eq!(reader.read_to_end().await?, "");
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

#[test]
fn half_a_connection_can_be_closed() {
    run(async || {
        let [(mut reader, writer), (mut other_reader, other)] = streams().await?;
        assert!(writer.can_write_eof());
        writer.write(b"question");
        writer.write_eof();
        assert_eq!(other_reader.read_to_end().await?, "question");
        other.write(b"answer");
        other.close().await?;
        assert_eq!(reader.read_to_end().await?, "answer");
        Ok(())
    });
}

#[test]
fn what_the_peer_sent_before_it_reset_can_be_read() {
    run(async || {
        let (mut reader, writer, mut theirs) = pair().await?;
        theirs.write_all(b"last words\n")?;
        drop(theirs);
        // The closed peer answers a write with a reset.
        writer.write([0; 10]);
        writer.drain().await?;
        turn().await;
        writer.transport().with_socket(|socket| wait_for(&*socket, PollFlags::ERR));
        writer.write([0; 10]);
        turn().await;
        turn().await;
        assert!(writer.drain().await.is_err());
        // A reset discards what the kernel held; the reader must not hang, nor panic.
        let _ = reader.read(100).await;
        Ok(())
    });
}

#[test]
fn the_limit_of_a_servers_readers_can_be_set() {
    run(async || {
        let handler = async |mut reader: StreamReader, writer: StreamWriter| {
            let text = match reader.read_line().await {
                Ok(line) => line,
                Err(error) => error.kind().to_string().into(),
            };
            writer.write(&text);
        };
        let server = start_server("127.0.0.1:0", handler).limit(4).await?;
        for (line, answer) in [("1234\n", "1234\n"), ("12345\n", "invalid data")] {
            let (mut reader, writer) = open_connection(server.local_addr()?).await?;
            writer.write(line.as_bytes());
            assert_eq!(reader.read_to_end().await?, answer);
        }
        Ok(())
    });
}

#[test]
fn a_reader_and_a_writer_may_work_in_different_tasks() {
    run(async || {
        let [(reader, writer), (other_reader, other)] = streams().await?;
        let (mut reading, mut writing) = (Vec::new(), Vec::new());
        for (mut reader, writer) in [(reader, other), (other_reader, writer)] {
            writing.push(create_task(async move {
                for round in 0..100 {
                    writer.write(bytes(10_000 + round));
                    writer.drain().await?;
                }
                writer.write_eof();
                // Dropping the writer earlier would end the connection while its peer still writes.
                io::Result::Ok(writer)
            }));
            reading.push(create_task(async move { reader.read_to_end().await }));
        }
        for task in reading {
            assert_eq!(task.await.unwrap()?.len(), (0..100).map(|round| 10_000 + round).sum());
        }
        for task in writing {
            task.await.unwrap()?.close().await?;
        }
        Ok(())
    });
}

#[test]
fn a_producer_that_never_has_to_wait_lets_others_run() {
    run(async || {
        let (_reader, writer, theirs) = pair().await?;
        let sink = std::thread::spawn(move || io::copy(&mut &theirs, &mut io::sink()));
        let ticks = Rc::new(Cell::new(0));
        let ticking = create_task({
            let ticks = ticks.clone();
            async move {
                loop {
                    ticks.set(ticks.get() + 1);
                    turn().await;
                }
            }
        });
        for _ in 0..2000 {
            writer.write([0; 8192]);
            writer.drain().await?;
        }
        assert!(ticks.get() >= 2000 / 16);
        ticking.cancel();
        writer.close().await?;
        assert_eq!(sink.join().unwrap()?, 2000 * 8192);
        Ok(())
    });
}

/// Polls a pending future once and drops it, within one turn.
async fn waits_once(future: impl Future) {
    let mut future = pin!(future);
    let waits = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(waits);
}

/// Blocks until bytes arrive, and returns how many arrive in one piece.
fn arrived(theirs: &TcpStream) -> io::Result<usize> {
    wait_for(theirs, PollFlags::IN);
    (&mut &*theirs).read(&mut [0; 64])
}

fn has_nothing(theirs: &TcpStream) -> io::Result<bool> {
    theirs.set_nonblocking(true)?;
    let read = (&mut &*theirs).read(&mut [0; 64]);
    Ok(read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
}

#[test]
fn an_answer_leaves_when_its_reader_waits_but_several_wait_for_the_end_of_the_turn() {
    run(async || {
        let (mut from_first, first, to_first) = pair().await?;
        let (_r2, second, to_second) = pair().await?;
        // If one task writes to several connections, the writes are corked even when the reader of
        // one waits.
        first.write(b"1");
        second.write(b"2");
        first.write(b"3");
        waits_once(from_first.read(1)).await;
        assert!(has_nothing(&to_first)? && has_nothing(&to_second)?);
        turn().await;
        assert_eq!((arrived(&to_first)?, arrived(&to_second)?), (2, 1));

        // A request and its answer: the answer is flushed when the reader waits for more.
        (&to_first).write_all(b"?")?;
        assert_eq!(from_first.read(1).await?, "?");
        first.write(b"4");
        first.write(b"5");
        assert!(has_nothing(&to_first)?);
        waits_once(from_first.read(1)).await;
        assert_eq!(arrived(&to_first)?, 2, "in one piece, and before the turn is over");
        Ok(())
    });
}
