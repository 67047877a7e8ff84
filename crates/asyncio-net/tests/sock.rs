//! `sock_*` and `sock_sendfile`.

mod common;

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;

use asyncio_loop::running_loop;
use asyncio_net::{
    Address, SendfileNotAvailableError, SendfileOptions, open_connection, sock_accept,
    sock_connect, sock_recv, sock_recv_into, sock_recvfrom, sock_sendall, sock_sendfile,
    sock_sendto,
};
use asyncio_task::{create_task, yield_now};
use common::{TempDir, bytes, dead_address, run, settle};
use socket2::{Domain, Socket, Type};

/// Two non-blocking sockets that are connected.
fn sockets() -> (Rc<TcpStream>, Rc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).unwrap();
    }
    (Rc::new(ours), Rc::new(theirs))
}

fn unconnected() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

// K-001 K-003 K-006 K-007
#[test]
fn connect_accept_send_receive() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let accepting = create_task(async move { sock_accept(&listener).await });
        let client = unconnected();
        sock_connect(&client, address).await?;
        let (accepted, peer) = accepting.await.unwrap()?;
        assert_eq!(Some(Address::from(peer.as_inet().unwrap())), Some(peer));
        let accepted = TcpStream::from(accepted);

        sock_sendall(&client, b"hello").await?;
        assert_eq!(sock_recv(&accepted, 100).await?, "hello");
        sock_sendall(&accepted, b"answer").await?;
        let mut buffer = [0; 4];
        assert_eq!(sock_recv_into(&client, &mut buffer).await?, 4);
        assert_eq!(&buffer, b"answ");
        assert_eq!(sock_recv_into(&client, &mut buffer).await?, 2);
        drop(accepted);
        assert_eq!(sock_recv(&client, 100).await?, "");
        Ok(())
    });
}

// K-001
#[test]
fn a_refused_connection_names_the_address() {
    run(async || {
        let (_kept, address) = dead_address();
        let error = sock_connect(&unconnected(), address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        Ok(())
    });
}

// K-002
#[test]
fn a_name_is_resolved_for_the_sockets_family() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        sock_connect(&unconnected(), ("localhost", port)).await?;
        let error = sock_connect(&unconnected(), ("::1", port)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        Ok(())
    });
}

// K-005
#[test]
fn a_connect_that_is_given_up_can_be_taken_up_again() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let socket = Rc::new(unconnected());
        for _ in 0..2 {
            let connecting = create_task({
                let socket = socket.clone();
                async move { sock_connect(&*socket, address).await }
            });
            yield_now().await;
            connecting.cancel();
            let _ = connecting.await;
        }
        match sock_connect(&*socket, address).await {
            Ok(()) => {}
            Err(error) => assert!(socket.peer_addr().is_ok(), "{error}"),
        }
        sock_sendall(&*socket, b"x").await?;
        Ok(())
    });
}

// K-008 K-009 K-010
#[test]
fn a_receive_that_is_given_up_leaves_the_bytes_to_the_next_one() {
    run(async || {
        let (ours, theirs) = sockets();
        for into in [false, true] {
            let receive = |socket: Rc<TcpStream>| async move {
                if into {
                    let mut buffer = [0; 10];
                    let count = sock_recv_into(&*socket, &mut buffer).await.unwrap();
                    buffer[..count].to_vec()
                } else {
                    sock_recv(&*socket, 10).await.unwrap().to_vec()
                }
            };
            let first = create_task(receive(ours.clone()));
            yield_now().await;
            first.cancel();
            let second = create_task(receive(ours.clone()));
            assert!(first.await.unwrap_err().is_cancelled());
            (&*theirs).write_all(b"hello")?;
            assert_eq!(second.await.unwrap(), b"hello");
        }
        Ok(())
    });
}

// K-012
#[test]
fn a_megabyte_each_way_at_the_same_time() {
    run(async || {
        let (ours, theirs) = sockets();
        let sent = Rc::new(bytes(1_000_000));
        let mut tasks = Vec::new();
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            let (from, to, expected) = (from.clone(), to.clone(), sent.clone());
            let sent = sent.clone();
            tasks.push(create_task(async move { sock_sendall(&*from, &sent).await }));
            tasks.push(create_task(async move {
                let mut received = Vec::new();
                while received.len() < expected.len() {
                    received.extend_from_slice(&sock_recv(&*to, 70_000).await?);
                }
                assert!(received == *expected);
                Ok(())
            }));
        }
        for task in tasks {
            task.await.unwrap()?;
        }
        Ok(())
    });
}

// K-014
#[test]
fn datagrams_wait_for_room() {
    run(async || {
        let dir = TempDir::new();
        let receiver = Rc::new(std::os::unix::net::UnixDatagram::bind(dir.path("socket"))?);
        let sender = std::os::unix::net::UnixDatagram::unbound()?;
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        let receiving = create_task({
            let receiver = receiver.clone();
            async move {
                for round in 0..100 {
                    let (data, sender) = sock_recvfrom(&*receiver, 5000).await?;
                    assert_eq!((data.len(), sender), (1000 + round, Address::Unnamed));
                    yield_now().await;
                }
                io::Result::Ok(())
            }
        });
        for round in 0..100 {
            let path = dir.path("socket");
            let sent = sock_sendto(&sender, &vec![0; 1000 + round], path.as_path()).await?;
            assert_eq!(sent, 1000 + round);
        }
        receiving.await.unwrap()?;

        let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        sock_sendto(&one, b"hello", other.local_addr()?).await?;
        let (data, sender) = sock_recvfrom(&other, 100).await?;
        assert_eq!((&data[..], sender), (&b"hello"[..], one.local_addr()?.into()));
        Ok(())
    });
}

// K-015
#[test]
fn debug_mode_refuses_blocking_sockets() {
    run(async || {
        let (ours, _theirs) = sockets();
        ours.set_nonblocking(false)?;
        running_loop().set_debug(true);
        let errors = [
            sock_recv(&*ours, 1).await.unwrap_err(),
            sock_sendall(&*ours, b"x").await.unwrap_err(),
            sock_accept(&*ours).await.unwrap_err(),
            sock_connect(&*ours, "127.0.0.1:9").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        Ok(())
    });
}

// K-016
#[test]
fn the_socket_of_a_transport_is_refused() {
    run(async || {
        let (ours, _theirs) = sockets();
        let (_reader, writer) = open_connection(ours.try_clone()?).await?;
        let other = writer.transport().with_socket(|socket| socket.try_clone()).unwrap()?;
        assert!(sock_sendall(&other, b"x").await.is_ok(), "a duplicate is another descriptor");
        let refused = writer.transport().with_socket(|socket| {
            let mut receive = Box::pin(sock_recv(&*socket, 1));
            let waker = std::task::Waker::noop();
            match receive.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
                std::task::Poll::Ready(result) => result.unwrap_err().to_string(),
                std::task::Poll::Pending => panic!("not refused"),
            }
        });
        assert!(refused.unwrap().contains("used by a transport"));
        Ok(())
    });
}

fn file(dir: &TempDir, contents: &[u8]) -> File {
    let path = dir.path("file");
    std::fs::write(&path, contents).unwrap();
    File::open(path).unwrap()
}

async fn receive_all(socket: Rc<TcpStream>) -> io::Result<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        let data = sock_recv(&*socket, 100_000).await?;
        if data.is_empty() {
            return Ok(received);
        }
        received.extend_from_slice(&data);
    }
}

// K-017 K-018
#[test]
fn sendfile_sends_the_part_that_was_asked_for() {
    run(async || {
        let dir = TempDir::new();
        let contents = bytes(3_000_000);
        let mut file = file(&dir, &contents);
        for (options, range) in [
            (SendfileOptions::new(), 0..3_000_000),
            (SendfileOptions::new().offset(1000).count(2000), 1000..3000),
            (SendfileOptions::new().offset(2_999_990).count(500), 2_999_990..3_000_000),
            (SendfileOptions::new().offset(9_000_000), 9_000_000..9_000_000),
        ] {
            let (ours, theirs) = sockets();
            let receiving = create_task(receive_all(theirs));
            sock_sendall(&*ours, b"before ").await?;
            let sent = sock_sendfile(&*ours, &file, options).await?;
            assert_eq!(sent, range.end - range.start);
            assert_eq!(file.stream_position()?, range.end);
            sock_sendall(&*ours, b" after").await?;
            drop(ours);
            let part = contents.get(range.start as usize..range.end as usize).unwrap_or_default();
            assert!(receiving.await.unwrap()? == [b"before ", part, b" after"].concat());
        }
        Ok(())
    });
}

// K-019
#[test]
fn a_source_that_cannot_be_sent_by_the_system_is_read() {
    run(async || {
        // Files of /proc have no pages, so `sendfile` cannot send them.
        let Ok(mut file) = File::open("/proc/self/environ") else {
            eprintln!("skipped: no /proc");
            return Ok(());
        };
        let (ours, theirs) = sockets();
        let options = SendfileOptions::new().fallback(false).count(10);
        match sock_sendfile(&*ours, &file, options).await {
            Ok(_) => eprintln!("the system can send it after all"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                assert!(error.get_ref().unwrap().is::<SendfileNotAvailableError>());
                assert_eq!(file.stream_position()?, 0);
            }
        }
        file.seek(SeekFrom::Start(0))?;
        let sent = sock_sendfile(&*ours, &file, SendfileOptions::new()).await?;
        drop(ours);
        let received = receive_all(theirs).await?;
        assert!(received.ends_with(&std::fs::read("/proc/self/environ")?[..sent as usize]));
        Ok(())
    });
}

// K-020
#[test]
fn a_sendfile_that_is_given_up_leaves_the_position() {
    run(async || {
        let dir = TempDir::new();
        let file = Rc::new(file(&dir, &bytes(50_000_000)));
        let (ours, theirs) = sockets();
        let sending = create_task({
            let (ours, file) = (ours.clone(), file.clone());
            async move { sock_sendfile(&*ours, &file, SendfileOptions::new()).await }
        });
        settle().await;
        assert!(!sending.is_done());
        sending.cancel();
        assert!(sending.await.unwrap_err().is_cancelled());
        let position = (&*file).stream_position()?;
        assert!(position > 0 && position < 50_000_000);
        drop(ours);
        assert_eq!(receive_all(theirs).await?.len() as u64, position);
        Ok(())
    });
}

// K-022
#[test]
fn a_count_of_zero_sends_nothing() {
    run(async || {
        let dir = TempDir::new();
        let file = file(&dir, b"contents");
        let (ours, _theirs) = sockets();
        assert_eq!(sock_sendfile(&*ours, &file, SendfileOptions::new().count(0)).await?, 0);
        Ok(())
    });
}

/// Counts the loop's turns, in each of which other tasks can run.
fn count_turns() -> impl Fn() -> u64 {
    let before = running_loop().turns();
    move || running_loop().turns() - before
}

// Case `starvation`: a task whose operations are always ready lets other tasks run.
#[test]
fn starvation() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let clients: Vec<_> = (0..120).map(|_| TcpStream::connect(address)).collect();
        let turns = count_turns();
        for _ in 0..clients.len() {
            sock_accept(&listener).await?;
        }
        assert!(turns() >= 5, "sock_accept: {}", turns());

        let (ours, theirs) = sockets();
        (&*theirs).write_all(&[b'x'; 1000])?;
        let turns = count_turns();
        for _ in 0..500 {
            assert_eq!(sock_recv(&ours, 1).await?, "x");
            sock_recv_into(&ours, &mut [0]).await?;
        }
        assert!(turns() >= 40, "sock_recv: {}", turns());
        let turns = count_turns();
        for _ in 0..1000 {
            sock_sendall(&ours, b"x").await?;
        }
        assert!(turns() >= 40, "sock_sendall: {}", turns());

        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_nonblocking(true)?;
        let (sender, turns) = (UdpSocket::bind("127.0.0.1:0")?, count_turns());
        for _ in 0..200 {
            sock_sendto(&sender, b"x", receiver.local_addr()?).await?;
            sock_recvfrom(&receiver, 1).await?;
        }
        assert!(turns() >= 20, "sock_sendto, sock_recvfrom: {}", turns());

        let directory = TempDir::new();
        let path = directory.path("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        let turns = count_turns();
        for _ in 0..100 {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            client.set_nonblocking(true)?;
            sock_connect(&client, path.as_path()).await?;
            listener.accept()?;
        }
        assert!(turns() >= 5, "sock_connect: {}", turns());
        Ok(())
    });
}
