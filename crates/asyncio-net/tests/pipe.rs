//! Pipe transports and the program's standard streams.

mod common;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use asyncio_net::{connect_read_pipe, connect_write_pipe, open_read_pipe, open_write_pipe};
use common::{Recorder, bytes, reports, run, settle, turn};

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe().unwrap()
}

// D-019
#[test]
fn data_then_the_end_then_lost() {
    run(async || {
        let (reading, writing) = pipe();
        let recorder = Recorder { keep_after_eof: true, ..Recorder::default() };
        connect_read_pipe(reading, || recorder.clone())?;
        let mut writing = File::from(writing);
        writing.write_all(b"1")?;
        recorder.log.until("data 1").await;
        writing.write_all(b"2345")?;
        recorder.log.until("data 5").await;
        drop(writing);
        recorder.log.until("lost").await;
        assert_eq!(recorder.log.lines(), ["made", "data 1", "data 5", "eof", "lost"]);
        assert_eq!(*recorder.data.borrow(), b"12345");
        Ok(())
    });
}

// D-020
#[test]
fn fifos_sockets_and_terminals_but_no_files() {
    run(async || {
        let dir = common::TempDir::new();
        let fifo = dir.path("fifo");
        common::make_fifo(&fifo);
        let both = File::options().read(true).write(true).open(&fifo)?;
        let recorder = Recorder::default();
        connect_read_pipe(both.try_clone()?, || recorder.clone())?;
        (&both).write_all(b"fifo")?;
        recorder.log.until("data 4").await;

        let (ours, mut theirs) = UnixStream::pair()?;
        let recorder = Recorder::default();
        connect_read_pipe(ours, || recorder.clone())?;
        theirs.write_all(b"socket")?;
        recorder.log.until("data 6").await;

        let file = File::open(std::env::current_exe()?)?;
        let error = connect_read_pipe(file.try_clone()?, Recorder::default).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(connect_write_pipe(file.try_clone()?, Recorder::default).is_err());
        assert!(open_read_pipe(file).is_err());
        Ok(())
    });
}

// D-020 D-021
#[test]
fn a_terminal_that_hangs_up() {
    use rustix::pty;
    run(async || {
        let reports = reports();
        let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY;
        let controller = pty::openpt(flags)?;
        pty::grantpt(&controller)?;
        pty::unlockpt(&controller)?;
        let terminal = program_side(&controller);
        let recorder = Recorder::default();
        connect_read_pipe(controller, || recorder.clone())?;
        (&terminal).write_all(b"hello")?;
        recorder.log.until("data 5").await;
        drop(terminal);
        recorder.log.until_count(3).await;
        // EIO.
        assert!(recorder.log.lines()[2].starts_with("lost "), "{:?}", recorder.log.lines());
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

// D-021
#[test]
fn an_error_of_reading_is_reported_and_ends_the_connection() {
    run(async || {
        let reports = reports();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let ours = TcpStream::connect(listener.local_addr()?)?;
        let (theirs, _) = listener.accept()?;
        let recorder = Recorder::default();
        connect_read_pipe(ours, || recorder.clone())?;
        socket2::SockRef::from(&theirs).set_linger(Some(std::time::Duration::ZERO))?;
        drop(theirs);
        recorder.log.until("lost ConnectionReset").await;
        assert_eq!(recorder.log.lines(), ["made", "lost ConnectionReset"]);
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        assert!(reports.borrow()[0].contains("reading from a pipe failed"), "{reports:?}");
        Ok(())
    });
}

// D-022
#[test]
fn a_transport_may_outlive_its_loop() {
    let kept = RefCell::new(Vec::new());
    run(async || {
        let (reading, writing) = pipe();
        kept.borrow_mut().push(connect_read_pipe(reading, Recorder::default)?);
        kept.borrow_mut().push(connect_write_pipe(writing, Recorder::default)?);
        Ok(())
    });
    assert!(format!("{:?}", kept.borrow()).contains("Transport"));
    kept.take();
}

// D-023 D-026
#[test]
fn writes_go_out_in_order_and_close_flushes() {
    run(async || {
        for eof in [false, true] {
            let (reading, writing) = pipe();
            let recorder = Recorder::default();
            let transport = connect_write_pipe(writing, || recorder.clone())?;
            transport.write(b"small ");
            transport.write(bytes(1_000_000));
            transport.write(b" end");
            assert!(transport.write_buffer_size() > 0);
            if eof {
                transport.write_eof()
            } else {
                transport.close()
            }
            transport.close();
            assert!(transport.is_closing());
            let mut all = Vec::new();
            let mut reader = open_read_pipe(reading)?;
            loop {
                let data = reader.read(100_000).await?;
                if data.is_empty() {
                    break;
                }
                all.extend_from_slice(&data);
            }
            assert!(all == [b"small ", &bytes(1_000_000)[..], b" end"].concat());
            recorder.log.until("lost").await;
            assert_eq!(recorder.log.lines(), ["made", "pause", "resume", "lost"]);
        }
        Ok(())
    });
}

// D-025
#[test]
fn a_reader_that_is_gone_ends_the_writing() {
    run(async || {
        let reports = reports();
        let (reading, writing) = pipe();
        let recorder = Recorder::default();
        let transport = connect_write_pipe(writing, || recorder.clone())?;
        settle().await;
        assert_eq!(recorder.log.lines(), ["made"]);
        drop(reading);
        recorder.log.until("lost").await;
        for _ in 0..9 {
            transport.write(b"ignored");
        }

        let (reading, writing) = pipe();
        let recorder = Recorder::default();
        let transport = connect_write_pipe(writing, || recorder.clone())?;
        transport.write(bytes(1_000_000));
        drop(reading);
        recorder.log.until("lost BrokenPipe").await;
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

// D-027
#[test]
fn abort_drops_what_is_queued() {
    run(async || {
        let (reading, writing) = pipe();
        let recorder = Recorder::default();
        let transport = connect_write_pipe(writing, || recorder.clone())?;
        transport.write(bytes(1_000_000));
        transport.abort();
        recorder.log.until("lost").await;
        let mut rest = Vec::new();
        File::from(reading).read_to_end(&mut rest)?;
        assert!(rest.len() < 1_000_000);
        Ok(())
    });
}

#[test]
fn streams_over_a_pipe() {
    run(async || {
        let (reading, writing) = pipe();
        let (mut reader, writer) = (open_read_pipe(reading)?, open_write_pipe(writing)?);
        writer.write(b"one\ntwo\n");
        assert_eq!(reader.read_line().await?, "one\n");
        let writing = asyncio_task::create_task(async move {
            writer.write(bytes(500_000));
            writer.drain().await?;
            writer.close().await
        });
        assert_eq!(reader.read_line().await?, "two\n");
        assert!(reader.read_to_end().await? == bytes(500_000));
        writing.await.unwrap()?;
        turn().await;
        Ok(())
    });
}

fn is_nonblocking(fd: impl std::os::fd::AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK)
}

fn controller() -> OwnedFd {
    use rustix::pty;
    let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY;
    let controller = pty::openpt(flags).unwrap();
    pty::grantpt(&controller).unwrap();
    pty::unlockpt(&controller).unwrap();
    controller
}

fn program_side(controller: &OwnedFd) -> File {
    let name = rustix::pty::ptsname(controller, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let mode = rustix::fs::Mode::empty();
    rustix::fs::open(name.to_str().unwrap(), flags, mode).unwrap().into()
}

// stdout_flag_left
#[test]
fn an_open_file_that_others_share_is_not_changed() {
    run(async || {
        let (one, other) = UnixStream::pair()?;
        let (reading, writing) = pipe();
        let controller = controller();
        let terminal = program_side(&controller);
        // Without `/proc` a pipe or a terminal is not opened again: docs/PLATFORMS.md.
        let is_reopened = cfg!(all(any(target_os = "linux", target_os = "android"), not(portable)));
        let mut kept = Vec::new();
        for (fd, changed) in [
            (OwnedFd::from(one), false),
            (reading, !is_reopened),
            (terminal.into(), !is_reopened),
            (controller, true),
        ] {
            let shared = fd.try_clone()?;
            let mut reader = open_read_pipe(fd)?;
            let reading = asyncio_task::create_task(async move { reader.read(1).await });
            settle().await;
            assert!(!reading.is_done());
            assert_eq!(is_nonblocking(&shared), changed);
            kept.push(shared);
        }
        for (fd, changed) in [(OwnedFd::from(other), false), (writing, !is_reopened)] {
            let shared = fd.try_clone()?;
            let writer = open_write_pipe(fd)?;
            writer.write(bytes(1_000_000));
            settle().await;
            assert!(writer.transport().write_buffer_size() > 0, "the write would block");
            assert_eq!(is_nonblocking(&shared), changed);
            writer.transport().abort();
        }
        Ok(())
    });
}

#[test]
fn a_descriptor_for_the_other_direction_is_refused() {
    run(async || {
        let (reading, writing) = pipe();
        for error in [open_write_pipe(reading).unwrap_err(), open_read_pipe(writing).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_named_pipe_that_is_open_both_ways_does_not_end() {
    run(async || {
        let dir = common::TempDir::new();
        let fifo = dir.path("fifo");
        common::make_fifo(&fifo);
        let mut reader = open_read_pipe(File::options().read(true).write(true).open(&fifo)?)?;
        for text in [&b"one"[..], b"two"] {
            std::fs::write(&fifo, text)?;
            assert_eq!(reader.read_exactly(3).await?, text);
            settle().await;
        }
        assert!(!reader.at_eof());
        Ok(())
    });
}

// short_reads
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn packets_and_messages_are_whole_however_little_room_there_is() {
    run(async || {
        let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::DIRECT)?;
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair()?;
        for (reading, writing) in [(reading, writing), (ours.into(), OwnedFd::from(theirs))] {
            let mut reader = open_read_pipe(reading)?;
            let data = bytes(30_000);
            let (first, rest) = data.split_at(19_990);
            let mut writing = File::from(writing);
            first.chunks(4000).try_for_each(|part| writing.write_all(part))?;
            let receiving = asyncio_task::create_task(async move {
                // `read_exactly` has room for ten more bytes when the rest arrives.
                let start = reader.read_exactly(20_000).await?;
                let rest = reader.read_exactly(10_000).await?;
                io::Result::Ok([start, rest].concat())
            });
            settle().await;
            rest.chunks(4000).try_for_each(|part| writing.write_all(part))?;
            assert!(receiving.await.unwrap()? == data);
        }
        Ok(())
    });
}

/// A command that runs one test of this binary in a process of its own.
fn this_program(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", part, "--nocapture"]).env("ASYNCIO_NET_PIPE_TEST", "1");
    command
}

fn is_child() -> bool {
    std::env::var_os("ASYNCIO_NET_PIPE_TEST").is_some()
}

#[test]
fn child_copies_its_input() {
    if !is_child() {
        return;
    }
    run(async || {
        let (mut input, output) = (asyncio_net::stdin()?, asyncio_net::stdout()?);
        while let Some(line) = input.next_line().await? {
            output.write(b"copy: ");
            output.write(&line);
        }
        output.close().await
    });
}

#[test]
fn child_does_not_wait_for_its_input() {
    if !is_child() {
        return;
    }
    run(async || {
        let mut input = asyncio_net::stdin()?;
        let reading = asyncio_task::create_task(async move { input.read(1).await });
        settle().await;
        assert!(!reading.is_done());
        Ok(())
    });
}

#[test]
fn standard_streams() {
    let mut child = this_program("child_copies_its_input")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("copy: one\ncopy: two\n"), "{output}");
}

#[test]
fn standard_streams_that_are_files() {
    let dir = common::TempDir::new();
    std::fs::write(dir.path("in"), "one\ntwo\n").unwrap();
    let status = this_program("child_copies_its_input")
        .stdin(File::open(dir.path("in")).unwrap())
        .stdout(File::create(dir.path("out")).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let output = std::fs::read_to_string(dir.path("out")).unwrap();
    assert!(output.contains("copy: one\ncopy: two\n"), "{output}");
}

#[test]
fn a_read_of_standard_input_does_not_hold_up_the_end() {
    let mut child = this_program("child_does_not_wait_for_its_input")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    assert!(child.wait().unwrap().success());
    drop(input);
}
