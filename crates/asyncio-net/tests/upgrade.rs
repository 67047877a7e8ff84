//! `upgrade_streams`, with a toy cipher in place of TLS: every byte is inverted.

mod common;

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_net::{
    ByteSource, ByteStream, PlainStream, StreamReader, StreamWriter, open_connection, start_server,
    upgrade_streams,
};
use asyncio_task::{create_task, sleep, timeout};
use common::{Log, bytes, run, run_in_virtual_time, settle, until};

/// A stream that inverts every byte, in both directions.
struct Turned(PlainStream);

impl ByteSource for Turned {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.0.poll_read(cx, buffer);
        buffer.iter_mut().for_each(|byte| *byte = !*byte);
        read
    }
}

impl ByteStream for Turned {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = slices.iter().find(|slice| !slice.is_empty()).unwrap();
        self.0.try_write(&[IoSlice::new(&turned(first))])
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn write_eof(&self) -> io::Result<()> {
        self.0.write_eof()
    }

    fn close(&self) {
        self.0.close();
    }
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

async fn turn_round(reader: &mut StreamReader, writer: &mut StreamWriter) -> io::Result<()> {
    upgrade_streams(reader, writer, async |plain| Ok(Turned(plain))).await
}

/// A stream, and its blocking peer.
async fn pair() -> io::Result<(StreamReader, StreamWriter, TcpStream)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (reader, writer) = open_connection(ours).await?;
    Ok((reader, writer, listener.accept()?.0))
}

// S-043
#[test]
fn lines_before_and_after_arrive_on_both_sides() {
    run(async || {
        let sides = Rc::new(RefCell::new(Vec::new()));
        let server = start_server("127.0.0.1:0", {
            let sides = sides.clone();
            async move |mut reader: StreamReader, mut writer: StreamWriter| {
                assert_eq!(reader.read_line().await?, "plain\n");
                writer.write(b"go on\n");
                upgrade_streams(&mut reader, &mut writer, async |plain| {
                    sides.borrow_mut().push(plain.is_server_side());
                    Ok(Turned(plain))
                })
                .await?;
                while let Some(line) = reader.next_line().await? {
                    writer.write(&line);
                    writer.drain().await?;
                }
                writer.close().await
            }
        })
        .await?;
        let (mut reader, mut writer) = open_connection(server.local_addr()?).await?;
        writer.write(b"plain\n");
        assert_eq!(reader.read_line().await?, "go on\n");
        upgrade_streams(&mut reader, &mut writer, async |plain| {
            sides.borrow_mut().push(plain.is_server_side());
            Ok(Turned(plain))
        })
        .await?;
        for length in [1, 1000, 30_000] {
            let line = [&vec![b'x'; length][..], b"\n"].concat();
            writer.write(&line);
            assert!(reader.read_line().await? == line);
        }
        writer.write_eof();
        assert_eq!(reader.read_to_end().await?, "");
        sides.borrow_mut().sort();
        assert_eq!(*sides.borrow(), [false, true]);
        writer.close().await?;
        server.close();
        server.wait_closed().await;
        Ok(())
    });
}

// S-044
#[test]
fn what_was_written_before_leaves_before_as_it_is() {
    run(async || {
        let (mut reader, mut writer, mut theirs) = pair().await?;
        let much = bytes(8_000_000);
        let received = asyncio_loop::running_loop().run_in_executor(None, move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).map(|_| received)
        });
        writer.write(&much);
        assert!(writer.transport().write_buffer_size() > 0);
        turn_round(&mut reader, &mut writer).await?;
        writer.write(b"secret");
        writer.close().await?;
        assert!(received.await.unwrap()? == [&much[..], &turned(b"secret")].concat());
        Ok(())
    });
}

#[test]
fn what_the_reader_had_buffered_is_wrapped_too() {
    run(async || {
        let (mut reader, mut writer, mut theirs) = pair().await?;
        theirs.write_all(&[b"plain\n", &turned(b"already\nsecret")[..]].concat())?;
        assert_eq!(reader.read_line().await?, "plain\n");
        assert!(!reader.buffered().is_empty());
        turn_round(&mut reader, &mut writer).await?;
        assert_eq!(reader.read_line().await?, "already\n");
        drop(theirs);
        assert_eq!(reader.read_to_end().await?, "secret");
        Ok(())
    });
}

#[test]
fn an_upgrade_that_fails_or_is_given_up_ends_the_connection() {
    run_in_virtual_time(async || {
        let (mut reader, mut writer, mut theirs) = pair().await?;
        let refused = upgrade_streams(&mut reader, &mut writer, async |_| {
            Err::<Turned, _>(io::Error::other("no certificate"))
        });
        assert_eq!(refused.await.unwrap_err().to_string(), "no certificate");
        assert_eq!(theirs.read(&mut [0])?, 0);
        assert_eq!(reader.read(1).await?, "");
        assert!(writer.is_closing());

        let (mut reader, mut writer, mut theirs) = pair().await?;
        let handshake = upgrade_streams(&mut reader, &mut writer, async |plain| {
            sleep(Duration::from_secs(60)).await;
            Ok(Turned(plain))
        });
        assert!(timeout(Duration::from_secs(1), handshake).await.is_err());
        assert_eq!(theirs.read(&mut [0])?, 0);
        assert_eq!(reader.read(1).await?, "");
        assert!(writer.is_closing());
        Ok(())
    });
}

#[test]
fn the_transport_from_before_can_close_but_not_write() {
    run(async || {
        let (mut reader, mut writer, mut theirs) = pair().await?;
        let before = writer.transport().clone();
        turn_round(&mut reader, &mut writer).await?;
        assert!(before != *writer.transport());
        let write = || before.write(b"in the clear");
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
        before.abort();
        assert_eq!(reader.read(1).await?, "");
        assert_eq!(theirs.read(&mut [0])?, 0);
        Ok(())
    });
}

#[test]
fn a_server_closes_and_counts_what_was_upgraded() {
    run(async || {
        let log = Log::default();
        let server = start_server("127.0.0.1:0", {
            let log = log.clone();
            async move |mut reader: StreamReader, mut writer: StreamWriter| {
                turn_round(&mut reader, &mut writer).await?;
                writer.write(b"queued");
                log.add("upgraded");
                reader.read(1).await
            }
        })
        .await?;
        let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
        log.until("upgraded").await;
        assert_eq!(server.client_count(), 1);
        let closing = create_task({
            let server = server.clone();
            async move { server.wait_closed().await }
        });
        server.close();
        settle().await;
        assert!(!closing.is_done());
        server.close_clients();
        assert_eq!(reader.read_to_end().await?, turned(b"queued"));
        closing.await.unwrap();
        until(|| server.client_count() == 0).await;
        Ok(())
    });
}
