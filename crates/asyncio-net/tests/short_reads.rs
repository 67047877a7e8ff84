//! A short read does not always mean that the socket is drained. Case short_reads.

mod common;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    JoinedStream, Protocol, StreamReader, Transport, connect_accepted_socket, open_read_pipe,
    sock_recv,
};
use asyncio_task::{create_task, timeout};
use common::{run, settle};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Sends bytes together with a descriptor.
fn send_with_fd(socket: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    let file = File::open("/dev/null")?;
    let fds = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Reads `expected` while `send` sends it, before the reader waits or after.
async fn arrives(
    mut reader: StreamReader,
    expected: &'static str,
    send: impl FnOnce(),
    first: bool,
) {
    let reading = async move {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            received.extend_from_slice(&reader.read(1000).await.unwrap());
        }
        received
    };
    let received = if first {
        send();
        settle().await;
        timeout(Duration::from_secs(300), reading).await
    } else {
        let reading = create_task(timeout(Duration::from_secs(300), reading));
        settle().await;
        send();
        reading.await.unwrap()
    };
    assert_eq!(received.unwrap(), expected.as_bytes(), "sent first: {first}");
}

/// Sends bytes, some of which carry descriptors.
fn send_descriptors_between(theirs: &UnixStream) -> io::Result<()> {
    send_with_fd(theirs, b"1")?;
    (&*theirs).write_all(b"23")?;
    send_with_fd(theirs, b"4")?;
    send_with_fd(theirs, b"5")?;
    (&*theirs).write_all(b"6")
}

#[test]
fn descriptors_between_the_bytes_of_a_unix_socket() {
    run(async || {
        for first in [false, true] {
            let (ours, theirs) = UnixStream::pair()?;
            let (reader, _writer) = JoinedStream::from_std(ours)?.split();
            let send = || send_descriptors_between(&theirs).unwrap();
            arrives(reader, "123456", send, first).await;
        }
        Ok(())
    });
}

#[test]
fn descriptors_between_the_bytes_of_a_protocol() {
    struct Collects(Rc<RefCell<Vec<u8>>>);

    impl Protocol for Collects {
        fn data_received(&mut self, _: &Transport, data: &[u8]) {
            self.0.borrow_mut().extend_from_slice(data);
        }
    }

    run(async || {
        for first in [false, true] {
            let (ours, theirs) = UnixStream::pair()?;
            let received = Rc::new(RefCell::new(Vec::new()));
            if first {
                send_descriptors_between(&theirs)?;
            }
            let protocol = Collects(received.clone());
            let _transport = connect_accepted_socket(ours, || protocol).await?;
            settle().await;
            if !first {
                send_descriptors_between(&theirs)?;
            }
            settle().await;
            assert_eq!(*received.borrow(), b"123456", "sent first: {first}");
        }
        Ok(())
    });
}

#[test]
fn descriptors_between_the_bytes_of_sock_recv() {
    run(async || {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        send_descriptors_between(&theirs)?;
        let mut received = Vec::new();
        while received.len() < 6 {
            let bytes = timeout(Duration::from_secs(300), sock_recv(&ours, 1000)).await;
            received.extend_from_slice(&bytes.unwrap()?);
        }
        assert_eq!(received, b"123456");
        Ok(())
    });
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn another_sender_of_a_unix_socket_that_asks_for_credentials() {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    run(async || {
        for first in [false, true] {
            let (ours, theirs) = UnixStream::pair()?;
            rustix::net::sockopt::set_socket_passcred(&ours, true)?;
            let (reader, _writer) = JoinedStream::from_std(ours)?.split();
            let send = || {
                (&theirs).write_all(b"mine, ").unwrap();
                let output = Stdio::from(OwnedFd::from(theirs.try_clone().unwrap()));
                let child = Command::new("printf").arg("a child's").stdout(output).status();
                assert!(child.unwrap().success());
                (&theirs).write_all(b", mine").unwrap();
            };
            arrives(reader, "mine, a child's, mine", send, first).await;
        }
        Ok(())
    });
}

/// Sends bytes, an urgent byte, and bytes again.
fn send_urgent(theirs: &TcpStream) {
    (&*theirs).write_all(b"before").unwrap();
    rustix::net::send(theirs, b"U", SendFlags::OOB).unwrap();
    (&*theirs).write_all(b"after").unwrap();
}

fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let theirs = TcpStream::connect(listener.local_addr()?)?;
    Ok((listener.accept()?.0, theirs))
}

#[test]
fn urgent_data_between_the_bytes_of_tcp() {
    run(async || {
        for first in [false, true] {
            let (ours, theirs) = tcp_pair()?;
            let (reader, _writer) = JoinedStream::from_std(ours)?.split();
            arrives(reader, "beforeafter", || send_urgent(&theirs), first).await;
        }
        Ok(())
    });
}

// The poll may report the urgent data before a read stops in front of it.
#[test]
fn urgent_data_that_was_there_before_the_reader_looks() {
    run(async || {
        for _ in 0..2 {
            let (ours, theirs) = tcp_pair()?;
            let (mut reader, _writer) = JoinedStream::from_std(ours)?.split();
            let waits = timeout(Duration::from_millis(1), reader.read(1)).await;
            assert!(waits.is_err(), "the socket is registered now");
            arrives(reader, "beforeafter", || send_urgent(&theirs), true).await;
        }
        Ok(())
    });
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn packets_of_a_pipe() {
    run(async || {
        for first in [false, true] {
            let flags = rustix::pipe::PipeFlags::DIRECT | rustix::pipe::PipeFlags::CLOEXEC;
            let (reading, writing) = rustix::pipe::pipe_with(flags)?;
            let mut writing = File::from(writing);
            let send = || {
                for packet in ["one", "two", "three"] {
                    writing.write_all(packet.as_bytes()).unwrap();
                }
            };
            arrives(open_read_pipe(reading)?, "onetwothree", send, first).await;
        }
        Ok(())
    });
}

#[test]
fn lines_of_a_terminal() {
    use rustix::pty;
    run(async || {
        for first in [false, true] {
            let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY;
            let mut controller = File::from(pty::openpt(flags)?);
            pty::grantpt(&controller)?;
            pty::unlockpt(&controller)?;
            let name = pty::ptsname(&controller, Vec::new())?;
            let mut options = File::options();
            std::os::unix::fs::OpenOptionsExt::custom_flags(
                &mut options,
                rustix::fs::OFlags::NOCTTY.bits() as i32,
            );
            let terminal = options.read(true).write(true).open(name.to_str().unwrap())?;
            let mut typed = controller.try_clone()?;
            let send = || typed.write_all(b"one\ntwo\nthree\n").unwrap();
            arrives(open_read_pipe(terminal)?, "one\ntwo\nthree\n", send, first).await;
            controller.flush()?;
        }
        Ok(())
    });
}

fn address_space() -> usize {
    let sizes = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = sizes.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

// A length that a peer claims must not reserve memory at once.
#[test]
fn a_huge_read_exactly_takes_memory_as_bytes_come() {
    const GIBIBYTE: usize = 1024 * 1024 * 1024;
    run(async || {
        let before = address_space();
        let mut feeders = Vec::new();
        let tasks: Vec<_> = (0..100)
            .map(|number| {
                let count = if number == 0 { usize::MAX } else { GIBIBYTE };
                let (feeder, mut reader) = asyncio_net::feed_reader();
                feeder.feed_data(b"x");
                feeders.push(feeder);
                create_task(async move { reader.read_exactly(count).await.map(drop) })
            })
            .collect();
        settle().await;
        // Threads of other tests in this process may take address space as well.
        let taken = address_space().saturating_sub(before);
        assert!(taken < 10 * GIBIBYTE, "{taken}");
        drop(feeders);
        for task in tasks {
            assert!(task.await.unwrap().is_err());
        }
        Ok(())
    });
}
