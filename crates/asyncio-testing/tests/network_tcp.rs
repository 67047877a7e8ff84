//! Connections on a simulated network: what TCP promises, in virtual time.
#![cfg(feature = "net")]

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    Address, ConnectErrors, Protocol, StreamReader, StreamWriter, Transport, create_connection,
    create_server, getaddrinfo, getnameinfo, open_connection, start_server,
};
use asyncio_task::{create_future, create_task, running_loop, sleep, timeout};
use asyncio_testing::{Network, Simulation};

const MS: Duration = Duration::from_millis(1);

/// Seconds since the beginning of the test.
fn now() -> f64 {
    running_loop().time().as_secs_f64()
}

/// A network without randomness: each packet takes 10 ms.
fn even() -> Network {
    let net = Network::new();
    net.links().latency(10 * MS).spread(Duration::ZERO);
    net
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(&line);
        writer.drain().await?;
    }
    writer.close().await
}

/// The program of a host that serves lines at port 80.
async fn echo_server() -> io::Result<()> {
    start_server(":80", echo).await?.serve_forever().await
}

#[test]
fn a_line_goes_to_another_host_and_back() {
    Simulation::new()
        .seeds(50)
        .run(async || {
            let net = Network::new();
            net.host("server", echo_server);
            let (mut reader, writer) = open_connection("server:80").await?;
            for _ in 0..3 {
                writer.write("hello\n");
                assert_eq!(reader.read_line().await?, "hello\n");
            }
            writer.close().await?;
            assert_eq!(reader.read(1).await?, "");
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn latency_is_exact() {
    Simulation::new()
        .seeds(8)
        .run(async || {
            let net = even();
            net.host("server", echo_server);
            let (mut reader, writer) = open_connection("server:80").await?;
            assert_eq!(now(), 0.020, "a packet there and one back");
            writer.write("hello\n");
            reader.read_line().await?;
            assert_eq!(now(), 0.040);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn delays_are_spread_by_the_seed_within_bounds() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    Simulation::new()
        .seeds(50)
        .run(async || {
            let net = Network::new();
            net.links().latency(10 * MS).spread(5 * MS);
            net.host("server", echo_server);
            let _streams = open_connection("server:80").await?;
            assert!((0.020..=0.030).contains(&now()), "{}", now());
            seen.borrow_mut().push(running_loop().time());
            io::Result::Ok(())
        })
        .unwrap();
    let mut seen = seen.take();
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 40, "{} different delays", seen.len());
}

#[test]
fn addresses_are_those_of_the_hosts() {
    Simulation::new()
        .run(async || {
            let net = even();
            let peers = Rc::new(RefCell::new(Vec::new()));
            let noted = Rc::clone(&peers);
            let host = net.host("server", async move || {
                let noted = Rc::clone(&noted);
                let server = start_server(":80", async move |_, writer: StreamWriter| {
                    noted
                        .borrow_mut()
                        .push((writer.local_addr().unwrap(), writer.peer_addr().unwrap()));
                });
                server.await?.serve_forever().await
            });
            assert_eq!(host.ip().to_string(), "10.0.0.2");
            assert_eq!(net.ip("test").to_string(), "10.0.0.1");
            let (mut reader, writer) = open_connection(("server", 80)).await?;
            assert_eq!(writer.peer_addr()?.to_string(), "10.0.0.2:80");
            assert_eq!(writer.local_addr()?.to_string(), "10.0.0.1:32768");
            let (mut second, other) =
                open_connection("10.0.0.2:80").local_addr("10.0.0.1:5000").await?;
            assert_eq!(other.local_addr()?.port(), 5000);
            reader.read_to_end().await?;
            second.read_to_end().await?;
            let expected = [
                (writer.peer_addr()?, writer.local_addr()?),
                (other.peer_addr()?, other.local_addr()?),
            ];
            assert_eq!(*peers.borrow(), expected);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn names_are_resolved_to_hosts_and_back() {
    Simulation::new()
        .run(async || {
            let net = even();
            net.host("a", async || ());
            let found = getaddrinfo(Some("a"), 80, Default::default()).await?;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].address.to_string(), "10.0.0.2:80");
            let own = getaddrinfo(Some("localhost"), 80, Default::default()).await?;
            assert_eq!(own[0].address.to_string(), "127.0.0.1:80");
            let error = getaddrinfo(Some("b"), 80, Default::default()).await.unwrap_err();
            assert_eq!(error.to_string(), "cannot resolve b:80: the network has no such host");
            let name = getnameinfo("10.0.0.2:80".parse().unwrap()).await?;
            assert_eq!(name, ("a".to_owned(), "80".to_owned()));
            io::Result::Ok(())
        })
        .unwrap();
}

/// The kind of a client's only connection error.
fn kind(error: &io::Error) -> ErrorKind {
    let errors: &ConnectErrors = error.get_ref().unwrap().downcast_ref().unwrap();
    errors.attempts()[0].1.kind()
}

#[test]
fn nobody_listens() {
    Simulation::new().run(async || {
        let net = even();
        net.host("a", async || std::future::pending::<()>().await);
        let error = open_connection("a:80").await.unwrap_err();
        assert_eq!((kind(&error), now()), (ErrorKind::ConnectionRefused, 0.020));
        let error = open_connection("localhost:80").await.unwrap_err();
        assert_eq!((kind(&error), now()), (ErrorKind::ConnectionRefused, 0.020));
        let error = open_connection("10.0.0.77:80").await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::HostUnreachable);
    });
}

#[test]
fn a_server_at_the_loopback_address_is_for_its_own_host_only() {
    Simulation::new().run(async || {
        let net = even();
        net.host("a", async || {
            let server = start_server("127.0.0.1:80", echo).await?;
            let (mut reader, writer) = open_connection("localhost:80").await?;
            writer.write("own\n");
            assert_eq!(reader.read_line().await?, "own\n");
            assert_eq!(now(), 0.0, "connections within a host take no time");
            server.serve_forever().await
        });
        let error = open_connection("a:80").await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn ports() {
    Simulation::new()
        .run(async || {
            let _net = even();
            let server = start_server(":80", echo).await?;
            assert_eq!(server.local_addr()?.to_string(), "0.0.0.0:80");
            for taken in [":80", "10.0.0.1:80", "127.0.0.1:80"] {
                let error = start_server(taken, echo).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AddrInUse, "{taken}");
            }
            let free = start_server("10.0.0.1:0", echo).await?;
            assert_ne!(free.local_addr()?.port(), 0);
            let error = start_server("10.0.0.9:81", echo).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "an address without a host");
            server.close();
            start_server(":80", echo).await?;
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_partition_makes_a_client_wait_and_give_up() {
    Simulation::new().seeds(4).run(async || {
        let net = even();
        net.host("a", echo_server);
        net.partition(["test"], ["a"]);
        let error = open_connection("a:80").await.unwrap_err();
        assert_eq!((kind(&error), now()), (ErrorKind::TimedOut, 127.0));
    });
}

#[test]
fn a_client_connects_after_the_partition() {
    Simulation::new()
        .seeds(4)
        .run(async || {
            let net = even();
            net.host("a", echo_server);
            net.partition(["test"], ["a"]);
            create_task(async move {
                sleep(2500 * MS).await;
                net.heal();
            });
            let (mut reader, writer) = open_connection("a:80").await?;
            assert_eq!(now(), 3.02, "the client has sent SYN after 0, 1 and 3 seconds");
            writer.write("hello\n");
            assert_eq!(reader.read_line().await?, "hello\n");
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_sent_in_a_partition_comes_after_it_in_order() {
    Simulation::new()
        .seeds(4)
        .run(async || {
            let net = even();
            net.host("a", echo_server);
            let (mut reader, writer) = open_connection("a:80").await?;
            writer.write("before\n");
            // The packet is in transit when the network is partitioned, and is lost.
            sleep(5 * MS).await;
            net.partition(["test"], ["a"]);
            writer.write("during\n");
            assert!(timeout(Duration::from_secs(60), reader.read_line()).await.is_err());
            net.heal();
            assert_eq!(reader.read_line().await?, "before\n");
            assert_eq!(reader.read_line().await?, "during\n");
            assert!(now() < 120.0, "{}", now());
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_connection_gives_up_after_a_quarter_of_an_hour() {
    Simulation::new()
        .run(async || {
            let net = even();
            net.host("a", echo_server);
            let (mut reader, writer) = open_connection("a:80").await?;
            net.partition(["test"], ["a"]);
            writer.write("lost\n");
            let error = reader.read_line().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!((924.0..1100.0).contains(&now()), "{}", now());
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_partition_may_be_one_way() {
    Simulation::new()
        .run(async || {
            let net = even();
            let heard = Rc::new(Cell::new(0.0));
            let noted = Rc::clone(&heard);
            net.host("a", async move || {
                let noted = Rc::clone(&noted);
                let server = start_server(":80", async move |mut reader: StreamReader, _writer| {
                    reader.read_line().await?;
                    noted.set(now());
                    io::Result::Ok(())
                });
                server.await?.serve_forever().await
            });
            let (mut reader, writer) = open_connection("a:80").await?;
            net.partition_one_way(["a"], ["test"]);
            writer.write("hello\n");
            // Nothing comes back: neither the end of the stream, nor an acknowledgement.
            let error = reader.read_line().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert_eq!(heard.get(), 0.030, "the line arrived");
            let refused = open_connection("a:80").await.unwrap_err();
            assert_eq!(kind(&refused), ErrorKind::TimedOut);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn an_end_of_stream_comes_after_all_bytes_and_the_other_direction_goes_on() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let net = Network::new();
            net.host("a", async || {
                let count = async |mut reader: StreamReader, writer: StreamWriter| {
                    let length = reader.read_to_end().await?.len();
                    for _ in 0..10 {
                        sleep(100 * MS).await;
                        writer.write(format!("{length}\n"));
                    }
                    writer.close().await
                };
                start_server(":80", count).await?.serve_forever().await
            });
            let (mut reader, writer) = open_connection("a:80").await?;
            writer.write(vec![7; 700_000]);
            writer.write_eof();
            assert_eq!(reader.read_to_end().await?, "700000\n".repeat(10));
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_peer_that_does_not_read_stalls_the_writer() {
    Simulation::new()
        .seeds(10)
        .run(async || {
            let net = even();
            net.window(100_000);
            let go_on = Rc::new(Cell::new(false));
            let (gate, received) = (Rc::clone(&go_on), create_future());
            let result = received.clone();
            net.host("a", async move || {
                let (gate, result) = (Rc::clone(&gate), result.clone());
                let slow = async move |mut reader: StreamReader, _writer: StreamWriter| {
                    while !gate.get() {
                        sleep(Duration::from_secs(1)).await;
                    }
                    let _ = result.set_result(reader.read_to_end().await?.len());
                    io::Result::Ok(())
                };
                start_server(":80", slow).await?.serve_forever().await
            });
            let (_reader, writer) = open_connection("a:80").await?;
            writer.write(vec![0; 1_000_000]);
            assert!(timeout(Duration::from_secs(60), writer.drain()).await.is_err());
            go_on.set(true);
            writer.drain().await?;
            writer.close().await?;
            assert_eq!(received.await.unwrap(), 1_000_000);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn bandwidth_is_exact() {
    Simulation::new()
        .seeds(8)
        .run(async || {
            let net = even();
            net.link("test", "test");
            net.host("a", async || {
                let sink = async |mut reader: StreamReader, writer: StreamWriter| {
                    reader.read_to_end().await?;
                    writer.close().await
                };
                start_server(":80", sink).await?.serve_forever().await
            });
            net.link_one_way("test", "a").bandwidth(1_000_000);
            let (mut reader, writer) = open_connection("a:80").await?;
            let start = now();
            writer.write(vec![0; 3_000_000]);
            writer.write_eof();
            reader.read(1).await?;
            // Three seconds for the bytes, and 10 ms each way.
            assert!((now() - start - 3.02).abs() < 1e-6, "{}", now() - start);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn connections_share_the_bandwidth_of_a_link() {
    Simulation::new()
        .seeds(8)
        .run(async || {
            let net = even();
            net.host("a", async || {
                let sink = async |mut reader: StreamReader, writer: StreamWriter| {
                    reader.read_to_end().await?;
                    writer.close().await
                };
                start_server(":80", sink).await?.serve_forever().await
            });
            net.link_one_way("test", "a").bandwidth(1_000_000);
            let clients = [(), ()].map(|()| {
                create_task(async {
                    let (mut reader, writer) = open_connection("a:80").await?;
                    writer.write(vec![0; 1_000_000]);
                    writer.write_eof();
                    reader.read(1).await?;
                    io::Result::Ok(())
                })
            });
            for client in clients {
                client.await.unwrap()?;
            }
            assert!((2.0..2.1).contains(&now()), "{}", now());
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_part_that_is_lost_comes_again_in_order() {
    Simulation::new()
        .seeds(50)
        .run(async || {
            let net = Network::new();
            net.links().loss(0.2);
            net.host("a", echo_server);
            let (mut reader, writer) = open_connection("a:80").await?;
            for number in 0..20 {
                writer.write(format!("{number}\n"));
                writer.flush().await?;
                sleep(MS).await;
            }
            for number in 0..20 {
                assert_eq!(reader.read_line().await?, format!("{number}\n"));
            }
            io::Result::Ok(())
        })
        .unwrap();
}

/// Notes what happens to it.
struct Noted(Rc<RefCell<Vec<String>>>);

impl Protocol for Noted {
    fn connection_made(&mut self, transport: &Transport) {
        self.0.borrow_mut().push(format!("made {}", transport.peer_address()));
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.0.borrow_mut().push(format!("data {}", data.len()));
        transport.write(data);
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
        let error = error.map_or("none".to_owned(), |error| error.kind().to_string());
        self.0.borrow_mut().push(format!("lost: {error}"));
    }
}

#[test]
fn protocols_and_transports_are_the_same_ones() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let net = even();
            let notes: Rc<RefCell<Vec<String>>> = Rc::default();
            let noted = Rc::clone(&notes);
            net.host("a", async move || {
                let noted = Rc::clone(&noted);
                let server = create_server(":80", move || Noted(Rc::clone(&noted)));
                server.await?.serve_forever().await
            });
            let own: Rc<RefCell<Vec<String>>> = Rc::default();
            let transport = create_connection("a:80", || Noted(Rc::clone(&own))).await?;
            transport.write(b"x");
            sleep(Duration::from_millis(25)).await;
            transport.abort();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(own.borrow()[..2], ["made 10.0.0.2:80", "data 1"]);
            assert_eq!(own.borrow().last().unwrap(), "lost: none");
            let notes = notes.borrow();
            assert_eq!(notes[..2], ["made 10.0.0.1:32768", "data 1"]);
            assert_eq!(notes.last().unwrap(), "lost: connection reset");
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn an_abort_is_a_reset() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let net = Network::new();
            let ended = create_future();
            let result = ended.clone();
            net.host("a", async move || {
                let result = result.clone();
                let read = async move |mut reader: StreamReader, _writer: StreamWriter| {
                    let _ = result.set_result(reader.read_to_end().await.map_err(|e| e.kind()));
                };
                start_server(":80", read).await?.serve_forever().await
            });
            let (_reader, writer) = open_connection("a:80").await?;
            writer.write("hello");
            writer.flush().await?;
            writer.transport().abort();
            assert_eq!(ended.await.unwrap(), Err(ErrorKind::ConnectionReset));
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_full_backlog_keeps_clients_waiting() {
    Simulation::new()
        .run(async || {
            let net = even();
            net.host("a", async || {
                let server = start_server(":80", echo).backlog(1).start_serving(false).await?;
                sleep(Duration::from_secs(10)).await;
                server.serve_forever().await
            });
            let clients = [0; 4].map(|_| {
                create_task(async {
                    let (mut reader, writer) = open_connection("a:80").await?;
                    let connected = now();
                    writer.write("hello\n");
                    reader.read_line().await?;
                    io::Result::Ok(connected)
                })
            });
            let mut times = Vec::new();
            for client in clients {
                times.push(client.await.unwrap()?);
            }
            times.sort_by(f64::total_cmp);
            assert_eq!(times[..2], [0.020, 0.020], "one more than the number, as in Linux");
            assert!(times[2..].iter().all(|time| *time > 10.0), "{times:?}");
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_client_that_gives_up_leaves_nothing() {
    Simulation::new().seeds(30).run(async || {
        let net = Network::new();
        let count = Rc::new(Cell::new(0));
        let noted = Rc::clone(&count);
        net.host("a", async move || {
            let noted = Rc::clone(&noted);
            let read = async move |mut reader: StreamReader, _writer: StreamWriter| {
                noted.set(noted.get() + 1);
                let _ = reader.read_to_end().await;
                noted.set(noted.get() - 1);
            };
            start_server(":80", read).await?.serve_forever().await
        });
        for micros in (0..8000).step_by(500) {
            let _ = timeout(Duration::from_micros(micros), open_connection("a:80")).await;
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!(count.get(), 0);
    });
}

#[test]
fn acceptors_and_addresses_without_a_name_say_what_is_wrong() {
    Simulation::new()
        .run(async || {
            let _net = even();
            let error = asyncio_net::create_acceptor(":80", drop).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let server = start_server(":80", echo).await?;
            assert_eq!(server.addresses(), [Address::Inet("0.0.0.0:80".parse().unwrap())]);
            assert!(server.into_sockets().is_empty(), "there are no descriptors");
            io::Result::Ok(())
        })
        .unwrap();
}
