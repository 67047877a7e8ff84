//! `sock_*` operations that are dropped, closed or reset, made twice, or made on another loop.

mod common;

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::EventLoop;
use asyncio_net::{
    sock_accept, sock_connect, sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into,
    sock_sendall, sock_sendto,
};
use asyncio_task::{Task, create_task};
use common::{TempDir, deaf_socket, run, settle, silent_address};
use socket2::{SockRef, Socket};

/// More bytes than a connection accepts while its peer does not read.
static MUCH: &[u8] = &[7; 20_000_000];

fn listener() -> Rc<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    Rc::new(listener)
}

/// Two connected sockets; ours is non-blocking, and its buffers are small.
fn connected() -> (Rc<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Rc::new(ours), theirs)
}

fn datagrams() -> Rc<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    Rc::new(socket)
}

fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn waits<T>(task: &Task<T>) {
    settle().await;
    assert!(!task.is_done());
}

async fn give_up<T: std::fmt::Debug>(task: Task<T>) {
    waits(&task).await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// The operations that receive, with the bytes as their result.
const RECEIVES: usize = 4;

fn receive(which: usize, socket: &Rc<UdpSocket>) -> Task<io::Result<Vec<u8>>> {
    let socket = socket.clone();
    create_task(async move {
        let mut buffer = [0; 9];
        let count = match which {
            0 => return Ok(sock_recv(&*socket, 9).await?.to_vec()),
            1 => return Ok(sock_recvfrom(&*socket, 9).await?.0.to_vec()),
            2 => sock_recv_into(&*socket, &mut buffer).await?,
            _ => sock_recvfrom_into(&*socket, &mut buffer).await?.0,
        };
        Ok(buffer[..count].to_vec())
    })
}

// K-003 K-010
#[test]
fn an_accept_that_is_given_up_leaves_the_connection_to_the_next_one() {
    run(async || {
        let listener = listener();
        let accept = |listener: Rc<TcpListener>| async move { sock_accept(&*listener).await };
        give_up(create_task(accept(listener.clone()))).await;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (_, peer) = accept(listener).await?;
        assert_eq!(peer.as_inet(), client.local_addr().ok());
        Ok(())
    });
}

// K-008 K-009 K-010
#[test]
fn every_receive_that_is_given_up_leaves_the_datagram_to_the_next_one() {
    run(async || {
        for which in 0..RECEIVES {
            let socket = datagrams();
            give_up(receive(which, &socket)).await;
            let next = receive(which, &socket);
            UdpSocket::bind("127.0.0.1:0")?.send_to(b"hello", socket.local_addr()?)?;
            assert_eq!(next.await.unwrap()?, b"hello");
        }
        Ok(())
    });
}

// K-012
#[test]
fn a_send_that_is_given_up_has_sent_the_beginning() {
    run(async || {
        let (ours, mut theirs) = connected();
        let sending = create_task({
            let ours = ours.clone();
            async move { sock_sendall(&*ours, MUCH).await }
        });
        give_up(sending).await;
        ours.shutdown(Shutdown::Write)?;
        let mut received = Vec::new();
        theirs.read_to_end(&mut received)?;
        assert!(!received.is_empty() && received.len() < MUCH.len());
        Ok(())
    });
}

// K-014
#[test]
fn a_datagram_whose_sending_is_given_up_is_not_sent() {
    run(async || {
        let dir = TempDir::new();
        let receiver = UnixDatagram::bind(dir.path("socket"))?;
        let sender = Rc::new(UnixDatagram::unbound()?);
        sender.set_nonblocking(true)?;
        let mut sent = 0;
        while sender.send_to(b"full", dir.path("socket")).is_ok() {
            sent += 1;
        }
        let path = dir.path("socket");
        let sending = create_task({
            let sender = sender.clone();
            async move { sock_sendto(&*sender, b"given up", path.as_path()).await }
        });
        give_up(sending).await;
        for _ in 0..sent {
            assert_eq!(receiver.recv(&mut [0; 99])?, 4);
        }
        receiver.set_nonblocking(true)?;
        settle().await;
        assert_eq!(receiver.recv(&mut [0; 99]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sock_sendto(&*sender, b"hello", dir.path("socket").as_path()).await?, 5);
        Ok(())
    });
}

// K-005
#[test]
fn a_connect_that_is_given_up_and_a_second_one_that_waits() {
    run(async || {
        let (_listener, clients, address) = silent_address();
        let socket = Rc::new(Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?);
        socket.set_nonblocking(true)?;
        let connect = |socket: Rc<Socket>| async move { sock_connect(&*socket, address).await };
        give_up(create_task(connect(socket.clone()))).await;
        let second = create_task(connect(socket.clone()));
        waits(&second).await;
        second.cancel();
        drop(clients);
        Ok(())
    });
}

// K-006 K-012
#[test]
fn the_end_of_the_peer_ends_a_receive_and_a_send_that_wait() {
    run(async || {
        let (ours, theirs) = connected();
        let receiving = create_task({
            let ours = ours.clone();
            async move { sock_recv(&*ours, 9).await }
        });
        waits(&receiving).await;
        theirs.shutdown(Shutdown::Write)?;
        assert_eq!(receiving.await.unwrap()?, "");
        assert_eq!(sock_recv(&*ours, 9).await?, "", "and again");

        let sending = create_task({
            let ours = ours.clone();
            async move { sock_sendall(&*ours, MUCH).await }
        });
        waits(&sending).await;
        // Closing a socket with unread bytes resets the connection.
        drop(theirs);
        let error = sending.await.unwrap().unwrap_err();
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error}");
        Ok(())
    });
}

// K-006
#[test]
fn a_reset_ends_a_receive_that_waits() {
    run(async || {
        let (ours, theirs) = connected();
        let receiving = create_task({
            let ours = ours.clone();
            async move { sock_recv(&*ours, 9).await }
        });
        waits(&receiving).await;
        reset(theirs);
        let error = receiving.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_socket_that_is_shut_down_ends_the_operations_that_wait() {
    run(async || {
        let (ours, _theirs) = connected();
        let receiving = create_task({
            let ours = ours.clone();
            async move { sock_recv(&*ours, 9).await }
        });
        let sending = create_task({
            let ours = ours.clone();
            async move { sock_sendall(&*ours, MUCH).await }
        });
        waits(&receiving).await;
        waits(&sending).await;
        ours.shutdown(Shutdown::Both)?;
        assert_eq!(receiving.await.unwrap()?, "");
        assert_eq!(sending.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);

        let listener = listener();
        let accepting = create_task({
            let listener = listener.clone();
            async move { sock_accept(&*listener).await }
        });
        waits(&accepting).await;
        SockRef::from(&*listener).shutdown(Shutdown::Both)?;
        assert_eq!(accepting.await.unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

// K-001
#[test]
fn a_refusal_of_an_earlier_datagram_is_told_to_each_operation() {
    run(async || {
        let dead = deaf_socket();
        for which in 0..RECEIVES {
            let socket = datagrams();
            socket.connect(dead.local_addr()?)?;
            let receiving = receive(which, &socket);
            waits(&receiving).await;
            socket.send(b"nobody is there")?;
            let error = receiving.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        Ok(())
    });
}

#[test]
fn several_that_wait_for_one_socket_are_all_served() {
    run(async || {
        let listener = listener();
        let accepting: Vec<_> = (0..5)
            .map(|_| {
                let listener = listener.clone();
                create_task(async move { sock_accept(&*listener).await })
            })
            .collect();
        settle().await;
        let clients: Vec<_> =
            (0..5).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
        for task in accepting {
            task.await.unwrap()?;
        }
        drop(clients);

        for which in 0..RECEIVES {
            let socket = datagrams();
            let receiving: Vec<_> = (0..4).map(|_| receive(which, &socket)).collect();
            settle().await;
            // Dropped operations do not block others.
            receiving[0].cancel();
            receiving[2].cancel();
            let peer = UdpSocket::bind("127.0.0.1:0")?;
            peer.send_to(b"one", socket.local_addr()?)?;
            settle().await;
            peer.send_to(b"two", socket.local_addr()?)?;
            let mut received = Vec::new();
            for (number, task) in receiving.into_iter().enumerate() {
                match task.await {
                    Ok(data) => received.push(data?),
                    Err(error) => assert!(error.is_cancelled() && number % 2 == 0),
                }
            }
            received.sort();
            assert_eq!(received, [b"one", b"two"]);
        }
        Ok(())
    });
}

#[test]
fn one_that_is_not_polled_any_more_keeps_nobody_out() {
    run(async || {
        let (ours, mut theirs) = connected();
        let mut forgotten = pin!(sock_recv(&*ours, 9));
        poll_fn(|cx| {
            assert!(forgotten.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let receiving = create_task({
            let ours = ours.clone();
            async move { sock_recv(&*ours, 9).await }
        });
        waits(&receiving).await;
        theirs.write_all(b"hello")?;
        assert_eq!(receiving.await.unwrap()?, "hello");
        Ok(())
    });
}

#[test]
fn two_loops_wait_for_one_socket() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let answers = std::thread::scope(|scope| {
        let receive = || {
            scope.spawn(|| asyncio_task::run(async { sock_recv(&ours, 5).await.unwrap().to_vec() }))
        };
        let threads = [receive(), receive()];
        theirs.write_all(b"first").unwrap();
        theirs.write_all(b"other").unwrap();
        threads.map(|thread| thread.join().unwrap())
    });
    let mut answers = answers.concat();
    answers.sort_unstable();
    let mut sent = b"firstother".to_vec();
    sent.sort_unstable();
    assert_eq!(answers, sent);
}

#[test]
fn a_socket_is_used_in_one_loop_after_another() {
    let (ours, mut theirs) = connected();
    for _ in 0..2 {
        run(async || {
            let waiting = create_task({
                let ours = ours.clone();
                async move { sock_recv(&*ours, 9).await }
            });
            waits(&waiting).await;
            Ok(())
        });
        theirs.write_all(b"hello").unwrap();
        run(async || {
            assert_eq!(sock_recv(&*ours, 9).await?, "hello");
            Ok(())
        });
    }
}

//
#[test]
fn an_operation_that_was_begun_in_another_loop_is_an_error() {
    let (ours, _theirs) = connected();
    let [first, second] = [(); 2].map(|()| EventLoop::new().unwrap());
    let mut receiving = Box::pin(sock_recv(&*ours, 9));
    let begun = poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx).is_pending()));
    assert!(first.run_until_complete(begun).unwrap());
    let resumed = poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx)));
    let Poll::Ready(Err(error)) = second.run_until_complete(resumed).unwrap() else {
        panic!("the operation waits in the other loop");
    };
    assert!(error.to_string().contains("another loop"), "{error}");
}
