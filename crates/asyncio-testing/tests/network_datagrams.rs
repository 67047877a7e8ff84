//! Datagrams and Unix sockets on a simulated network.
#![cfg(feature = "net")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    Address, DatagramProtocol, DatagramTransport, StreamReader, StreamWriter,
    create_datagram_endpoint, open_unix_connection, start_unix_server,
};
use asyncio_task::{create_task, running_loop, sleep};
use asyncio_testing::{FailureKind, Network, Simulation};

const SECOND: Duration = Duration::from_secs(1);

/// A protocol that logs what it receives, and sends it back if `answers` is set.
#[derive(Clone, Default)]
struct Noted {
    received: Rc<RefCell<Vec<(String, String)>>>,
    errors: Rc<RefCell<Vec<ErrorKind>>>,
    answers: bool,
}

impl Noted {
    fn texts(&self) -> Vec<String> {
        self.received.borrow().iter().map(|(text, _)| text.clone()).collect()
    }
}

impl DatagramProtocol for Noted {
    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], from: &Address) {
        let text = String::from_utf8_lossy(data).into_owned();
        self.received.borrow_mut().push((text, from.to_string()));
        if self.answers {
            transport.send_to(data, from.clone());
        }
    }

    fn error_received(&mut self, _: &DatagramTransport, error: io::Error) {
        self.errors.borrow_mut().push(error.kind());
    }
}

/// The program of a host with that protocol.
async fn receive(noted: Noted) -> io::Result<()> {
    let transport = create_datagram_endpoint(|| noted).local_addr("0.0.0.0:9").await?;
    sleep(10_000 * SECOND).await;
    transport.close();
    Ok(())
}

#[test]
fn datagrams_go_there_and_back() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let net = Network::new();
            net.links().latency(Duration::from_millis(10)).spread(Duration::ZERO);
            let echo = Noted { answers: true, ..Noted::default() };
            let there = echo.clone();
            net.host("a", async move || receive(there.clone()).await);
            let own = Noted::default();
            let transport = create_datagram_endpoint(|| own.clone()).remote_addr("a:9").await?;
            assert_eq!(transport.local_addr()?.to_string(), "10.0.0.1:32768");
            assert_eq!(transport.peer_addr()?.to_string(), "10.0.0.2:9");
            transport.send("hello");
            transport.send("");
            sleep(Duration::from_millis(19)).await;
            assert!(own.received.borrow().is_empty());
            sleep(Duration::from_millis(2)).await;
            assert_eq!(own.texts(), ["hello", ""]);
            assert_eq!(own.received.borrow()[0].1, "10.0.0.2:9");
            assert_eq!(echo.received.borrow()[0].1, "10.0.0.1:32768");
            let free = create_datagram_endpoint(Noted::default).local_addr("0.0.0.0:0").await?;
            free.send_to("by number", "10.0.0.2:9".parse::<std::net::SocketAddr>().unwrap());
            sleep(SECOND).await;
            assert_eq!(echo.texts(), ["hello", "", "by number"]);
            transport.close();
            io::Result::Ok(())
        })
        .unwrap();
}

/// Sends numbered datagrams over a link; what came, in order.
async fn over(change: impl Fn(&Network)) -> io::Result<Vec<u32>> {
    let net = Network::new();
    let noted = Noted::default();
    let there = noted.clone();
    net.host("a", async move || receive(there.clone()).await);
    net.links().latency(Duration::from_millis(10)).spread(Duration::ZERO);
    change(&net);
    let transport = create_datagram_endpoint(Noted::default).remote_addr("a:9").await?;
    for number in 0..100 {
        transport.send(number.to_string());
        sleep(Duration::from_millis(1)).await;
    }
    sleep(SECOND).await;
    Ok(noted.texts().iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn loss_duplicates_and_order_are_as_the_link_says() {
    Simulation::new().seeds(10).run(async || assert_eq!(over(|_| ()).await.unwrap().len(), 100));
    let counts = Cell::new((0, 0, 0));
    Simulation::new().seeds(30).run(async || {
        let came = over(|net| drop(net.link("test", "a").loss(0.2))).await.unwrap();
        assert!(came.is_sorted() && (50..100).contains(&came.len()), "{}", came.len());
        counts.set((counts.get().0 + came.len(), 0, 0));
    });
    assert!((2300..2500).contains(&counts.get().0), "{counts:?} of 3000 come");
    Simulation::new().seeds(30).run(async || {
        let came = over(|net| drop(net.link("test", "a").duplicate(0.2))).await.unwrap();
        let distinct: HashSet<_> = came.iter().collect();
        assert_eq!(distinct.len(), 100);
        assert!((103..150).contains(&came.len()), "{}", came.len());
    });
    Simulation::new().seeds(30).run(async || {
        let came = over(|net| drop(net.link("test", "a").reorder(0.2))).await.unwrap();
        assert_eq!(came.len(), 100);
        assert!(!came.is_sorted());
    });
    Simulation::new().seeds(30).run(async || {
        let only_back = over(|net| drop(net.link_one_way("a", "test").loss(1.0))).await.unwrap();
        assert_eq!(only_back.len(), 100, "the other direction is another link");
    });
}

#[test]
fn a_partition_drops_datagrams_in_silence() {
    Simulation::new()
        .seeds(10)
        .run(async || {
            let net = Network::new();
            let noted = Noted::default();
            let there = noted.clone();
            net.host("a", async move || receive(there.clone()).await);
            let own = Noted::default();
            let transport = create_datagram_endpoint(|| own.clone()).remote_addr("a:9").await?;
            transport.send("under way");
            net.partition(["test"], ["a"]);
            transport.send("lost");
            sleep(SECOND).await;
            net.heal();
            transport.send("after");
            sleep(SECOND).await;
            assert_eq!(noted.texts(), ["after"]);
            assert!(own.errors.borrow().is_empty());
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn nobody_receives() {
    Simulation::new()
        .seeds(10)
        .run(async || {
            let net = Network::new();
            net.host("a", async || ());
            let own = Noted::default();
            let transport = create_datagram_endpoint(|| own.clone()).remote_addr("a:9").await?;
            transport.send("hello");
            let free = Noted::default();
            let unconnected =
                create_datagram_endpoint(|| free.clone()).local_addr("0.0.0.0:0").await?;
            unconnected.send_to("hello", transport.peer_addr()?);
            sleep(SECOND).await;
            assert_eq!(*own.errors.borrow(), [ErrorKind::ConnectionRefused]);
            assert!(free.errors.borrow().is_empty(), "the endpoint is not connected");
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn ports_lengths_and_broadcasts() {
    Simulation::new()
        .seeds(4)
        .run(async || {
            let net = Network::new();
            let noted = Noted::default();
            for name in ["a", "b"] {
                let there = noted.clone();
                net.host(name, async move || receive(there.clone()).await);
            }
            let own = Noted::default();
            let first = create_datagram_endpoint(|| own.clone()).local_addr("0.0.0.0:9").await?;
            let taken = create_datagram_endpoint(Noted::default).local_addr("10.0.0.1:9").await;
            assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
            let everybody: std::net::SocketAddr = "255.255.255.255:9".parse().unwrap();
            first.send_to("not allowed", everybody);
            first.send_to(vec![0; 65_508], "10.0.0.2:9".parse::<std::net::SocketAddr>().unwrap());
            sleep(SECOND).await;
            let expected = [ErrorKind::PermissionDenied, ErrorKind::InvalidInput];
            assert_eq!(*own.errors.borrow(), expected);
            let loud = create_datagram_endpoint(Noted::default)
                .local_addr("0.0.0.0:0")
                .allow_broadcast(true)
                .await?;
            loud.send_to("to all", everybody);
            sleep(SECOND).await;
            assert_eq!(noted.texts(), ["to all", "to all"]);
            first.close();
            sleep(SECOND).await;
            create_datagram_endpoint(Noted::default).local_addr("10.0.0.1:9").await?;
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn bandwidth_holds_for_datagrams() {
    Simulation::new()
        .run(async || {
            let net = Network::new();
            let noted = Noted::default();
            let there = noted.clone();
            net.host("a", async move || receive(there.clone()).await);
            net.links().latency(Duration::ZERO).spread(Duration::ZERO);
            net.link("test", "a").bandwidth(1000);
            let transport = create_datagram_endpoint(Noted::default).remote_addr("a:9").await?;
            for _ in 0..10 {
                transport.send([b'x'; 100]);
            }
            sleep(Duration::from_millis(550)).await;
            assert_eq!(noted.received.borrow().len(), 5);
            sleep(SECOND).await;
            assert_eq!(noted.received.borrow().len(), 10);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn unix_sockets_are_for_one_host() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let net = Network::new();
            let shout = async |mut reader: StreamReader, writer: StreamWriter| {
                writer.write(reader.read_line().await?.to_ascii_uppercase());
                writer.close().await
            };
            let server = start_unix_server("/run/app.socket", shout).await?;
            assert_eq!(server.addresses()[0].to_string(), "/run/app.socket");
            let taken = start_unix_server("/run/app.socket", shout).await.unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            let (mut reader, writer) = open_unix_connection("/run/app.socket").await?;
            assert_eq!(writer.transport().peer_address().to_string(), "/run/app.socket");
            writer.write("hello\n");
            assert_eq!(reader.read_to_end().await?, "HELLO\n");
            writer.close().await?;
            assert_eq!(running_loop().time().as_nanos(), 0, "a local datagram takes no time");
            let host = net.host("a", async || {
                let error = open_unix_connection("/run/app.socket").await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
            });
            host.ended().await;
            server.close();
            let error = open_unix_connection("/run/app.socket").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(
                !std::path::Path::new("/run/app.socket").exists(),
                "no file in the file system"
            );
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn unix_datagrams() {
    Simulation::new()
        .seeds(10)
        .run(async || {
            let _net = Network::new();
            let path = std::path::Path::new("/run/notify");
            let noted = Noted::default();
            let receiver = create_datagram_endpoint(|| noted.clone()).local_addr(path).await?;
            let sender = create_datagram_endpoint(Noted::default).remote_addr(path).await?;
            sender.send("READY=1");
            sleep(SECOND).await;
            assert_eq!(*noted.received.borrow(), [("READY=1".to_owned(), "unnamed".to_owned())]);
            let missing = std::path::Path::new("/run/nobody");
            let error = create_datagram_endpoint(Noted::default).remote_addr(missing).await;
            assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
            receiver.close();
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_full_backlog_of_a_unix_socket_keeps_clients_waiting() {
    let hello = async |_: StreamReader, writer: StreamWriter| {
        writer.write("hello");
        writer.close().await
    };
    let clients = async || {
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(create_task(async {
                let (mut reader, writer) = open_unix_connection("/run/full").await?;
                let answer = reader.read_to_end().await?;
                writer.close().await?;
                io::Result::Ok(answer)
            }));
        }
        clients
    };
    let body = async || {
        let _net = Network::new();
        let server = start_unix_server("/run/full", hello).backlog(1).start_serving(false).await?;
        let clients = clients().await;
        sleep(100 * SECOND).await;
        assert!(clients.iter().all(|client| !client.is_done()));
        server.start_serving();
        for client in clients {
            assert_eq!(client.await.unwrap()?, "hello");
        }
        assert_eq!(running_loop().time().as_secs_f64(), 100.0, "local sockets take no time");
        io::Result::Ok(())
    };
    Simulation::new().seeds(20).run(body).unwrap();
    // A server that never accepts makes a deadlock, which is reported; virtual time does not go on
    // forever.
    let never = Simulation::new().shrink_runs(0).check(async || {
        let _net = Network::new();
        let server = start_unix_server("/run/full", hello).backlog(1).start_serving(false);
        let _server = server.await?;
        for client in clients().await {
            client.await.unwrap()?;
        }
        io::Result::Ok(())
    });
    assert_eq!(never.unwrap_err().kind(), FailureKind::Deadlock);
}

#[test]
fn a_sender_of_unix_datagrams_waits_for_its_receiver() {
    let body = async || {
        let _net = Network::new();
        let path = std::path::Path::new("/run/log");
        let noted = Noted::default();
        let receiver = create_datagram_endpoint(|| noted.clone()).local_addr(path).await?;
        let sender = create_datagram_endpoint(Noted::default).remote_addr(path).await?;
        for number in 0..1000 {
            sender.send(format!("{number:01000}"));
        }
        assert!(sender.write_buffer_size() > 0, "more than the receiver has room for");
        sleep(SECOND).await;
        let numbers = noted.texts().iter().map(|text| text.parse().unwrap()).collect::<Vec<u32>>();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        receiver.close();
        io::Result::Ok(())
    };
    Simulation::new().seeds(20).run(body).unwrap();
}
