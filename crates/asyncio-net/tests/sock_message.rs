//! Messages with descriptors and credentials, between processes too.

mod common;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;

use asyncio_net::{DescriptorStream, sock_recv, sock_recvmsg, sock_sendmsg, stream_over};
use asyncio_task::create_task;
use common::{TempDir, pipe, run, settle};
use rustix::io::{FdFlags, fcntl_getfd};

fn streams() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
}

fn datagrams() -> (UnixDatagram, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
}

fn files(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| File::open("/dev/null").unwrap().into()).collect()
}

#[test]
fn descriptors_travel_with_the_first_byte_of_a_stream() {
    run(async || {
        let (ours, theirs) = streams();
        let (mut reading, writing) = pipe()?;
        sock_sendmsg(&ours, b"one").descriptor(&writing).await?;
        sock_sendmsg(&ours, b"two").await?;
        drop(writing);
        let message = sock_recvmsg(&theirs, 2).descriptors(3).await?;
        assert_eq!((&message.data[..], message.descriptors.len()), (&b"on"[..], 1));
        for descriptor in message.descriptors {
            assert!(fcntl_getfd(&descriptor)?.contains(FdFlags::CLOEXEC));
            File::from(descriptor).write_all(b"hello")?;
        }
        let mut text = String::new();
        reading.read_to_string(&mut text)?;
        assert_eq!(text, "hello");
        let message = sock_recvmsg(&theirs, 9).descriptors(3).await?;
        assert!(message.data == "etwo" || message.data == "e", "{message:?}");
        assert!(message.descriptors.is_empty() && message.credentials.is_none());
        Ok(())
    });
}

#[test]
fn more_descriptors_than_wanted_are_closed_and_told() {
    run(async || {
        for (sent, most) in [(1, 0), (2, 1), (3, 1), (5, 4), (4, 4)] {
            let (ours, theirs) = datagrams();
            let descriptors = files(sent);
            let mut message = sock_sendmsg(&ours, b"x");
            for descriptor in &descriptors {
                message = message.descriptor(descriptor);
            }
            message.await?;
            let message = sock_recvmsg(&theirs, 9).descriptors(most).await?;
            assert_eq!(message.descriptors.len(), most.min(sent));
            assert_eq!(message.lost_descriptors, sent > most);
            assert!(!message.is_cut);
        }
        Ok(())
    });
}

#[test]
fn a_datagram_that_is_cut_says_so() {
    run(async || {
        let (ours, theirs) = datagrams();
        for text in [&b"hello"[..], b"hell"] {
            ours.send(text)?;
            let message = sock_recvmsg(&theirs, 4).await?;
            assert_eq!((&message.data[..], message.is_cut), (&b"hell"[..], text.len() > 4));
        }
        Ok(())
    });
}

#[test]
fn descriptors_without_a_byte_go_on_datagrams_only() {
    run(async || {
        let descriptor = &files(1)[0];
        let (ours, theirs) = datagrams();
        sock_sendmsg(&ours, b"").descriptor(descriptor).await?;
        let message = sock_recvmsg(&theirs, 9).descriptors(1).await?;
        assert_eq!((message.data.len(), message.descriptors.len()), (0, 1));

        let (ours, _theirs) = streams();
        let error = sock_sendmsg(&ours, b"").descriptor(descriptor).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn a_receive_that_is_given_up_leaves_the_descriptors_to_the_next_one() {
    run(async || {
        let (ours, theirs) = streams();
        let theirs = Rc::new(theirs);
        let receive = |socket: Rc<UnixStream>| async move {
            sock_recvmsg(&*socket, 9).descriptors(1).await.map(|message| message.descriptors.len())
        };
        let first = create_task(receive(theirs.clone()));
        settle().await;
        first.cancel();
        let second = create_task(receive(theirs));
        assert!(first.await.unwrap_err().is_cancelled());
        sock_sendmsg(&ours, b"x").descriptor(&files(1)[0]).await?;
        assert_eq!(second.await.unwrap()?, 1);
        Ok(())
    });
}

#[test]
fn a_send_waits_for_room() {
    run(async || {
        let (ours, theirs) = datagrams();
        let mut sent = 0;
        while ours.send(b"full").is_ok() {
            sent += 1;
        }
        let sending =
            create_task(async move { sock_sendmsg(&ours, b"last").descriptor(&files(1)[0]).await });
        settle().await;
        assert!(!sending.is_done());
        for _ in 0..sent {
            assert_eq!(sock_recv(&theirs, 9).await?, "full");
        }
        assert_eq!(sending.await.unwrap()?, 4);
        assert_eq!(sock_recvmsg(&theirs, 9).descriptors(1).await?.descriptors.len(), 1);
        Ok(())
    });
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const PART: &str = "ASYNCIO_NET_MESSAGE_TEST";

/// A child process whose standard input is a socket: it receives a file, writes to it, and sends it
/// back.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn child_receives_a_file() {
    use rustix::net::sockopt::set_socket_passcred;

    if std::env::var_os(PART).is_none() {
        return;
    }
    run(async || {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        set_socket_passcred(&socket, true)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        let message = sock_recvmsg(&socket, 9).descriptors(1).await?;
        assert_eq!(message.data, "a file");
        let sender = message.credentials.expect("credentials were requested");
        let file = File::from(message.descriptors.into_iter().next().expect("it was sent"));
        write!(&file, "from {} to {}", sender.pid, std::process::id())?;
        sock_sendmsg(&socket, b"done").await?;
        Ok(())
    });
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn a_file_for_another_process_and_the_credentials_of_both() {
    use std::process::{Command, Stdio};

    use rustix::net::sockopt::set_socket_passcred;

    run(async || {
        let (ours, theirs) = streams();
        set_socket_passcred(&ours, true)?;
        set_socket_passcred(&theirs, true)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "child_receives_a_file", "--nocapture"])
            .env(PART, "1")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let (mut reading, writing) = pipe()?;
        sock_sendmsg(&ours, b"a file").descriptor(&writing).await?;
        drop(writing);
        let answer = sock_recvmsg(&ours, 9).await?;
        assert_eq!(answer.data, "done");
        assert_eq!(answer.credentials.unwrap().pid as u32, child.id());
        let mut text = String::new();
        reading.read_to_string(&mut text)?;
        assert_eq!(text, format!("from {} to {}", std::process::id(), child.id()));
        assert!(child.wait()?.success());
        Ok(())
    });
}

/// The inode number of the file that a descriptor refers to.
fn inode(descriptor: impl AsFd) -> u64 {
    rustix::fs::fstat(descriptor).unwrap().st_ino
}

#[test]
fn a_stream_passes_descriptors_in_order_beside_many_bytes() {
    run(async || {
        let (ours, theirs) = UnixStream::pair()?;
        let (ours, theirs) = (DescriptorStream::new(ours)?, DescriptorStream::new(theirs)?);
        let (_ours_reader, writer) = stream_over(ours.clone());
        let (mut reader, _their_writer) = stream_over(theirs.clone());
        let mut expected = Vec::new();
        let sending = {
            let ours = ours.clone();
            let pipes: Vec<_> = (0..100).map(|_| pipe().unwrap().1).collect();
            expected.extend(pipes.iter().map(inode));
            create_task(async move {
                for (number, pipe) in pipes.into_iter().enumerate() {
                    ours.pass([pipe]);
                    writer.write(number.to_be_bytes());
                    writer.write(vec![0; 7000]);
                    writer.drain().await?;
                }
                writer.close().await
            })
        };
        for (number, inode_of_it) in expected.into_iter().enumerate() {
            assert_eq!(reader.read_exactly(8).await?, number.to_be_bytes()[..]);
            let descriptor = theirs.take().expect("a descriptor arrives before the bytes after it");
            assert_eq!(inode(&descriptor), inode_of_it);
            reader.read_exactly(7000).await?;
        }
        assert_eq!(reader.read_to_end().await?, "");
        assert!(theirs.take().is_none());
        sending.await.unwrap()
    });
}

#[test]
fn a_stream_passes_more_descriptors_than_go_at_once() {
    run(async || {
        let (ours, theirs) = UnixStream::pair()?;
        let (ours, theirs) = (DescriptorStream::new(ours)?, DescriptorStream::new(theirs)?);
        let (_our_reader, writer) = stream_over(ours.clone());
        let (mut reader, _their_writer) = stream_over(theirs.clone());
        ours.pass(files(300));
        writer.write(b"all");
        writer.flush().await?;
        assert_eq!(reader.read_exactly(3).await?, "all");
        let taken = std::iter::from_fn(|| theirs.take()).count();
        assert_eq!(taken, 300);

        // A sender is paused when its receiver does not read.
        for _ in 0..3 {
            ours.pass(files(200));
            writer.write(b"x");
            writer.flush().await?;
        }
        let error = reader.read_exactly(3).await.unwrap_err();
        assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidData);
        Ok(())
    });
}

#[test]
fn a_descriptor_of_a_stream_that_is_closed_is_not_kept() {
    run(async || {
        let (ours, mut theirs) = UnixStream::pair()?;
        let ours = DescriptorStream::new(ours)?;
        let (_reader, writer) = stream_over(ours.clone());
        let (mut reading, writing) = pipe()?;
        ours.pass([writing]);
        writer.write(b"x");
        writer.close().await?;
        // The receiver reads without room for descriptors, so the system closes the descriptor.
        theirs.read_exact(&mut [0])?;
        assert_eq!(reading.read(&mut [0])?, 0);
        Ok(())
    });
}

#[test]
fn a_stream_of_descriptors_takes_only_unix_stream_sockets() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let tcp = TcpStream::connect(listener.local_addr()?)?;
        let others: [OwnedFd; 3] =
            [UnixDatagram::pair()?.0.into(), tcp.into(), UdpSocket::bind("127.0.0.1:0")?.into()];
        for other in others {
            let error = DescriptorStream::new(other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "not a Unix stream socket");
        }
        let no_socket = DescriptorStream::new(pipe()?.0).unwrap_err();
        assert!(no_socket.raw_os_error().is_some(), "{no_socket}");
        // A named one is accepted like the ends of a pair.
        let folder = TempDir::new();
        let path = folder.path("socket");
        let _listener = UnixListener::bind(&path)?;
        DescriptorStream::new(UnixStream::connect(&path)?)?;
        Ok(())
    });
}
