//! One port served by several loops on several threads.

mod common;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use asyncio_net::{
    ConnectedSocket, Intake, ServerAddress, StreamReader, StreamWriter, create_acceptor,
    create_server, open_connection, round_robin, start_server,
};
use asyncio_task::{LoopThread, create_task, to_thread, yield_now};
use common::{Echo, reports, run};

const LOOPBACK: &str = "127.0.0.1:0";
const IN_TIME: Duration = Duration::from_secs(300);

/// Sends the server's number, and then echoes lines.
async fn serve(number: u8, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    writer.write([number]);
    while let Some(line) = reader.next_line().await? {
        writer.write(&line);
        writer.drain().await?;
    }
    writer.close().await
}

fn loop_threads<const N: usize>() -> io::Result<[LoopThread; N]> {
    let threads: io::Result<Vec<_>> = (0..N).map(|_| LoopThread::start()).collect();
    Ok(threads?.try_into().expect("the requested number of threads"))
}

/// Starts a server without a listener on the loop; it serves the sockets that are handed over.
fn start_worker(worker: &LoopThread, number: u8) -> io::Result<Intake> {
    let start = move || async move {
        let handler = async move |reader, writer| serve(number, reader, writer).await;
        start_server(ServerAddress::nothing(), handler).await.map(|server| server.intake())
    };
    worker.run(start).expect("it starts")
}

/// Starts a server on the loop whose port other loops listen on as well.
fn start_sharing(worker: &LoopThread, number: u8, address: SocketAddr) -> io::Result<SocketAddr> {
    let start = move || async move {
        let handler = async move |reader, writer| serve(number, reader, writer).await;
        start_server(address, handler).reuse_port(true).await?.local_addr()
    };
    worker.run(start).expect("it starts")
}

/// Connects, and returns the number of the server that accepted.
fn connect(address: SocketAddr) -> io::Result<(TcpStream, u8)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(IN_TIME))?;
    let mut number = [0];
    stream.read_exact(&mut number)?;
    Ok((stream, number[0]))
}

fn who_answers(address: SocketAddr, clients: usize) -> io::Result<BTreeSet<u8>> {
    (0..clients).map(|_| connect(address).map(|(_, number)| number)).collect()
}

fn is_over(mut stream: impl Read) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// Two connected TCP sockets.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(LOOPBACK)?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    ours.set_read_timeout(Some(IN_TIME))?;
    Ok((ours, listener.accept()?.0))
}

#[test]
fn a_port_is_shared_until_loops_are_closed() -> io::Result<()> {
    let [first, second, third] = loop_threads()?;
    let address = start_sharing(&first, 1, LOOPBACK.parse().unwrap())?;
    start_sharing(&second, 2, address)?;
    start_sharing(&third, 3, address)?;
    // The system chooses by a hash of the addresses: that one of three is left out has a chance of
    // 1 in 10^17.
    assert_eq!(who_answers(address, 100)?, [1, 2, 3].into());
    second.stop();
    assert_eq!(who_answers(address, 100)?, [1, 3].into());
    first.stop();
    assert_eq!(who_answers(address, 10)?, [3].into());
    third.stop();
    assert_eq!(connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    Ok(())
}

#[test]
fn a_closed_loop_does_not_listen_though_its_server_is_kept() -> io::Result<()> {
    let server = asyncio_task::run(create_server(LOOPBACK, || Echo).into_future());
    let server = server?;
    assert!(!server.is_serving() && server.addresses().is_empty());
    Ok(())
}

#[test]
fn sockets_are_handed_out_by_turns_and_closed_loops_are_left_out() {
    run(async || {
        let [first, second, third] = loop_threads()?;
        let intakes =
            vec![start_worker(&first, 1)?, start_worker(&second, 2)?, start_worker(&third, 3)?];
        let closed = intakes[1].clone();
        let acceptor = create_acceptor(LOOPBACK, round_robin(intakes)).await?;
        let address = acceptor.local_addr()?;
        let ask = async || {
            let (mut reader, _writer) = open_connection(address).await?;
            io::Result::Ok(reader.read_exactly(1).await?[0])
        };
        for expected in [1, 2, 3, 1, 2, 3, 1] {
            assert_eq!(ask().await?, expected);
        }
        second.stop();
        assert!(closed.is_closed());
        for expected in [3, 1, 3, 1] {
            assert_eq!(ask().await?, expected);
        }
        drop((first, third));
        let (mut reader, _writer) = open_connection(address).await?;
        assert_eq!(reader.read_to_end().await.unwrap_or_default(), "", "no server is left");
        assert_eq!(acceptor.client_count(), 0);
        Ok(())
    });
}

#[test]
fn many_clients_at_once() {
    run(async || {
        let [first, second] = loop_threads()?;
        let intakes = vec![start_worker(&first, 1)?, start_worker(&second, 2)?];
        let acceptor = create_acceptor(LOOPBACK, round_robin(intakes.clone())).await?;
        let address = acceptor.local_addr()?;
        let clients: Vec<_> = (0..200)
            .map(|client| {
                create_task(async move {
                    let (mut reader, writer) = open_connection(address).await?;
                    writer.write(format!("{client}\n").as_bytes());
                    let number = reader.read_exactly(1).await?[0];
                    assert_eq!(reader.read_line().await?, format!("{client}\n"));
                    io::Result::Ok((number, (reader, writer)))
                })
            })
            .collect();
        let mut answered = [0; 3];
        let mut open = Vec::new();
        for client in clients {
            let (number, streams) = client.await.unwrap()?;
            answered[usize::from(number)] += 1;
            open.push(streams);
        }
        assert_eq!(answered, [0, 100, 100]);
        assert!(intakes.iter().all(|intake| intake.client_count() == 100));
        Ok(())
    });
}

#[test]
fn what_nobody_takes_is_closed() {
    run(async || {
        // This server never starts to serve.
        let server = start_server(ServerAddress::nothing(), async |_, _| ());
        let server = server.start_serving(false).await?;
        let intake = server.intake();
        let (ours, theirs) = pair()?;
        intake.hand_over(theirs).expect("the server may still start");
        assert_eq!(intake.client_count(), 1);
        server.close();
        assert!(is_over(ours));

        let (ours, theirs) = UnixStream::pair()?;
        let refused = intake.hand_over(theirs).unwrap_err();
        assert!(matches!(refused, ConnectedSocket::Unix(_)));
        drop(refused);
        assert!(is_over(ours));
        assert_eq!(intake.client_count(), 0);
        Ok(())
    });
}

#[test]
fn what_waits_when_a_loop_or_a_server_goes_is_closed() -> io::Result<()> {
    // A server that is dropped before it has started.
    let intake = asyncio_task::run(async {
        let server = start_server(ServerAddress::nothing(), async |_, _| ());
        let server = server.start_serving(false).await?;
        io::Result::Ok(server.intake())
    })?;
    assert!(intake.is_closed());

    // The loop ends in the turn in which the sockets are handed over.
    let (intake, clients) = asyncio_task::run(async {
        let server = start_server(ServerAddress::nothing(), async |_, _| ()).await?;
        yield_now().await;
        let mut clients = Vec::new();
        for _ in 0..10 {
            let (ours, theirs) = pair()?;
            server.intake().hand_over(theirs).expect("it is open");
            clients.push(ours);
        }
        io::Result::Ok((server.intake(), clients))
    })?;
    assert!(intake.is_closed());
    assert!(clients.into_iter().all(is_over));
    Ok(())
}

#[test]
fn nothing_is_left_open_when_a_loop_stops_amid_hand_overs() -> io::Result<()> {
    const EACH: usize = 100;
    let [worker] = loop_threads()?;
    let intake = start_worker(&worker, 9)?;
    let hand_over = || {
        let intake = intake.clone();
        std::thread::spawn(move || -> io::Result<Vec<_>> {
            (0..EACH)
                .map(|_| {
                    let (ours, theirs) = UnixStream::pair()?;
                    ours.set_read_timeout(Some(IN_TIME))?;
                    // A refused socket is dropped, and so closed, here.
                    let _ = intake.hand_over(theirs);
                    Ok(ours)
                })
                .collect()
        })
    };
    let threads = [hand_over(), hand_over(), hand_over()];
    // By now the loop has served some of the sockets, but not all.
    let (first, theirs) = UnixStream::pair()?;
    intake.hand_over(theirs).expect("it serves");
    (&first).read_exact(&mut [0])?;
    worker.stop();
    assert!(intake.is_closed());
    for thread in threads {
        for mut client in thread.join().expect("no panic")? {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer)?;
            assert!(answer.is_empty() || answer == [9]);
        }
    }
    Ok(())
}

#[test]
fn what_is_handed_over_early_waits() {
    run(async || {
        let server =
            start_server(ServerAddress::nothing(), async |_, writer| writer.write(b"late"));
        let server = server.start_serving(false).await?;
        let (ours, theirs) = pair()?;
        server.intake().hand_over(theirs).expect("it is not closed");
        server.start_serving();
        let (mut reader, _writer) = open_connection(ours).await?;
        assert_eq!(reader.read_to_end().await?, "late");
        Ok(())
    });
}

#[test]
fn protocols_and_listeners_have_an_intake_too() {
    run(async || {
        let server = create_server(LOOPBACK, || Echo).await?;
        let (mut ours, theirs) = UnixStream::pair()?;
        server.intake().hand_over(theirs).expect("it serves");
        ours.write_all(b"by hand")?;
        let (mut reader, _writer) = open_connection(ours).await?;
        assert_eq!(reader.read_exactly(7).await?, "by hand");

        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write(b"by port");
        assert_eq!(reader.read_exactly(7).await?, "by port");
        assert_eq!(server.client_count(), 2);
        assert_eq!(server.intake().client_count(), 2);
        Ok(())
    });
}

#[test]
fn shutdown_ends_the_clients_that_were_handed_over() {
    run(async || {
        let server = start_server(ServerAddress::nothing(), async |mut reader: StreamReader, _| {
            reader.read_to_end().await
        })
        .await?;
        let acceptor = create_acceptor(LOOPBACK, round_robin(vec![server.intake()])).await?;
        let (mut reader, _writer) = open_connection(acceptor.local_addr()?).await?;
        while server.client_count() == 0 {
            yield_now().await;
        }
        acceptor.shutdown(IN_TIME).await;
        assert_eq!(server.client_count(), 1, "closing the listener leaves the clients connected");
        server.shutdown(Duration::ZERO).await;
        assert_eq!(server.client_count(), 0);
        assert_eq!(reader.read_to_end().await.unwrap_or_default(), "");
        Ok(())
    });
}

#[test]
fn a_handler_of_another_thread_names_the_peer() {
    run(async || {
        let reports = reports();
        let server = start_server(ServerAddress::nothing(), async |_, _| {
            Err::<(), _>(io::Error::other("no service today"))
        })
        .await?;
        let (mut ours, theirs) = pair()?;
        let name = ours.local_addr()?.to_string();
        let intake = server.intake();
        to_thread(move || intake.hand_over(theirs).expect("it serves")).await.unwrap();
        to_thread(move || ours.read(&mut [0])).await.unwrap()?;
        assert!(reports.borrow()[0].contains("no service today"), "{reports:?}");
        assert!(reports.borrow()[0].contains(&name), "{reports:?}");
        Ok(())
    });
}

#[test]
fn an_open_connection_moves_to_another_loop() {
    run(async || {
        let [worker] = loop_threads()?;
        let intake = start_worker(&worker, 7)?;
        let reception = start_server(LOOPBACK, async move |mut reader: StreamReader, writer| {
            writer.write(&reader.read_line().await?);
            let (socket, rest) = reader.join(writer).into_std().await?;
            assert!(rest.is_empty(), "the client waits for the answer");
            intake.hand_over(socket).expect("it serves");
            io::Result::Ok(())
        })
        .await?;
        let (mut reader, writer) = open_connection(reception.local_addr()?).await?;
        writer.write(b"hello\n");
        assert_eq!(reader.read_line().await?, "hello\n");
        assert_eq!(reader.read_exactly(1).await?[0], 7);
        assert_eq!(reception.client_count(), 0, "the client belongs to the other server");
        reception.shutdown(Duration::ZERO).await;
        writer.write(b"still there?\n");
        assert_eq!(reader.read_line().await?, "still there?\n");
        Ok(())
    });
}

#[test]
fn an_acceptor_survives_a_panic() {
    run(async || {
        let reports = reports();
        let server = start_server(ServerAddress::nothing(), async |_, writer| {
            writer.write(b"hello");
        })
        .await?;
        let intake = server.intake();
        let mut first = true;
        let acceptor = create_acceptor(LOOPBACK, move |socket| {
            assert!(!std::mem::take(&mut first), "the acceptor panics at the first socket");
            intake.hand_over(socket).expect("it serves");
        })
        .await?;
        let (mut reader, _writer) = open_connection(acceptor.local_addr()?).await?;
        assert_eq!(reader.read_to_end().await.unwrap_or_default(), "");
        assert!(reports.borrow()[0].contains("panics at the first socket"), "{reports:?}");
        let (mut reader, _writer) = open_connection(acceptor.local_addr()?).await?;
        assert_eq!(reader.read_to_end().await?, "hello");
        Ok(())
    });
}

#[test]
fn an_intake_of_an_acceptor_hands_on() {
    run(async || {
        let server = create_server(ServerAddress::nothing(), || Echo).await?;
        let acceptor = create_acceptor(LOOPBACK, round_robin(vec![server.intake()])).await?;
        let (ours, theirs) = pair()?;
        acceptor.intake().hand_over(theirs).expect("it serves");
        let (mut reader, writer) = open_connection(ours).await?;
        writer.write(b"x");
        assert_eq!(reader.read(9).await?, "x");
        Ok(())
    });
}
