//! `Server`: binding, serving, closing, Unix sockets.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::context_var;
use asyncio_net::{
    Address, Endpoint, Protocol, Server, ServerAddress, StreamReader, StreamWriter, Transport,
    create_server, create_unix_server, open_connection, open_unix_connection, start_server,
    start_unix_server,
};
use asyncio_task::{catch_cancel, create_task, sleep, timeout};
use common::{
    Echo, Log, Recorder, Silent, TempDir, reports, run, run_in_virtual_time, settle, until,
};
use socket2::{Domain, Socket, Type};

const LOOPBACK: &str = "127.0.0.1:0";

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

// V-001
#[test]
fn port_zero_is_a_free_port_and_each_client_has_its_own_protocol() {
    run(async || {
        let made = Rc::new(Cell::new(0));
        let count = made.clone();
        let server = create_server(LOOPBACK, move || {
            count.set(count.get() + 1);
            Echo
        })
        .await?;
        assert_ne!(server.local_addr()?.port(), 0);
        assert_eq!(server.addresses(), [Address::from(server.local_addr()?)]);
        for round in 1..4 {
            let (mut reader, writer) = open_connection(server.local_addr()?).await?;
            writer.write(b"x");
            assert_eq!(reader.read(9).await?, "x");
            assert_eq!(made.get(), round);
        }
        Ok(())
    });
}

// V-002
#[test]
fn hosts_are_bound_once_each() {
    run(async || {
        let hosts = Endpoint::hosts(["127.0.0.1", "127.0.0.2", "127.0.0.1"], 0);
        let server = create_server(hosts, || Echo).await?;
        let addresses = server.addresses();
        assert_eq!(addresses.len(), 2);
        for address in addresses {
            let (mut reader, writer) = open_connection(address.as_inet().unwrap()).await?;
            writer.write(b"x");
            assert_eq!(reader.read(9).await?, "x");
        }
        Ok(())
    });
}

// V-003
#[test]
fn no_host_is_every_interface() {
    run(async || {
        // Port 0 would give each socket a port of its own, so the test reserves a port first.
        let kept = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        kept.set_reuse_address(true)?;
        kept.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        let port = kept.local_addr()?.as_socket().unwrap().port();
        let server = create_server((None, port), || Echo).await?;
        assert_eq!(server.addresses().len(), if has_ipv6() { 2 } else { 1 });
        let mut clients = vec![format!("127.0.0.1:{port}")];
        if has_ipv6() {
            clients.push(format!("[::1]:{port}"));
        }
        for client in clients {
            let (mut reader, writer) = open_connection(client).await?;
            writer.write(b"x");
            assert_eq!(reader.read(9).await?, "x");
        }
        Ok(())
    });
}

// V-004
#[test]
fn an_address_in_use_is_named_and_nothing_stays_open() {
    run(async || {
        let taken = TcpListener::bind(LOOPBACK)?;
        let port = taken.local_addr()?.port();
        let hosts = Endpoint::hosts(["127.0.0.2", "127.0.0.1"], port);
        let error = create_server(hosts, || Echo).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port))?;
        Ok(())
    });
}

#[test]
fn what_cannot_be_a_host_is_refused_by_the_name_it_was_given() {
    run(async || {
        let error = create_server("8888", || Echo).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let text = "no host to listen on: \"8888\"; a port alone is \":8888\"";
        assert_eq!(error.to_string(), text);
        let error = create_server("/not/a/host", || Echo).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot resolve /not/a/host: "), "{error}");
        assert_eq!(Endpoint::from("[::1]"), Endpoint::from(("::1", "")));
        Ok(())
    });
}

// V-005
#[test]
fn an_address_that_the_machine_lacks_is_passed_over() {
    run(async || {
        let hosts = Endpoint::hosts(["198.51.100.77", "127.0.0.1"], 0);
        let server = create_server(hosts, || Echo).await?;
        assert_eq!(server.addresses().len(), 1);

        let hosts = Endpoint::hosts(["198.51.100.77", "203.0.113.77"], 0);
        let error = create_server(hosts, || Echo).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(
            error.to_string().contains("198.51.100.77")
                && error.to_string().contains("203.0.113.77")
        );
        Ok(())
    });
}

// V-008
#[test]
fn socket_options_are_set_as_asked() {
    run(async || {
        let check = |server: &Server, reuse_port, keep_alive| {
            server.with_sockets(|socket| {
                assert!(socket.reuse_address().unwrap());
                assert_eq!(socket.reuse_port().unwrap(), reuse_port);
                assert_eq!(socket.keepalive().unwrap(), keep_alive);
            });
        };
        check(&create_server(LOOPBACK, || Echo).await?, false, false);
        let server = create_server(LOOPBACK, || Echo).reuse_port(true).keep_alive(true).await?;
        check(&server, true, true);
        create_server(server.local_addr()?, || Echo).reuse_port(true).await?;
        Ok(())
    });
}

// V-009
#[test]
fn a_server_may_start_to_serve_later() {
    run(async || {
        let server = create_server(LOOPBACK, || Echo).start_serving(false).await?;
        assert!(!server.is_serving());
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write(b"x");
        settle().await;
        assert_eq!(server.client_count(), 0);
        server.start_serving();
        server.start_serving();
        assert!(server.is_serving());
        assert_eq!(reader.read(9).await?, "x");
        Ok(())
    });
}

// V-010
#[test]
fn a_backlog_is_accepted_in_one_go() {
    run(async || {
        let server = create_server(LOOPBACK, || Echo).start_serving(false).backlog(20).await?;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(open_connection(server.local_addr()?).await?);
        }
        settle().await;
        server.start_serving();
        common::turn().await;
        common::turn().await;
        assert_eq!(server.client_count(), 20);
        Ok(())
    });
}

// V-010
#[test]
fn clients_of_one_step_are_served_before_the_next_are_accepted() {
    /// A protocol that logs its calls.
    struct Notes(Log);
    impl Protocol for Notes {
        fn connection_made(&mut self, _: &Transport) {
            self.0.add("made");
        }
        fn data_received(&mut self, _: &Transport, _: &[u8]) {
            self.0.add("data");
        }
    }
    run(async || {
        let log = Log::default();
        let factory = {
            let log = log.clone();
            move || Notes(log.clone())
        };
        let server = create_server(LOOPBACK, factory).start_serving(false).await?;
        let mut clients = Vec::new();
        for _ in 0..90 {
            clients.push(std::net::TcpStream::connect(server.local_addr()?)?);
            clients.last().unwrap().write_all(b"x")?;
        }
        settle().await;
        server.start_serving();
        log.until_count(180).await;
        let lines = log.lines();
        let first_data = lines.iter().position(|line| line == "data").unwrap();
        assert!(first_data <= 16, "{first_data}");
        Ok(())
    });
}

// V-012
#[test]
fn a_factory_that_panics_costs_one_connection() {
    run(async || {
        let reports = reports();
        let first = Cell::new(true);
        let server = create_server(LOOPBACK, move || {
            assert!(!first.replace(false), "no protocol for you");
            Echo
        })
        .await?;
        let (mut reader, client) = open_connection(server.local_addr()?).await?;
        assert_eq!(reader.read(1).await?, "");
        let peer = client.local_addr().unwrap().to_string();
        let report = reports.borrow_mut().pop().unwrap();
        assert!(report.contains("no protocol for you") && report.contains(&peer), "{report}");
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write(b"x");
        assert_eq!(reader.read(1).await?, "x");
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}

// V-013 V-015
#[test]
fn serve_forever_ends_with_the_server() {
    run(async || {
        let server = create_server(LOOPBACK, || Echo).start_serving(false).await?;
        let serving = create_task({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write(b"x");
        assert_eq!(reader.read(1).await?, "x");
        server.close();
        settle().await;
        assert!(!serving.is_done(), "a connection is open");
        writer.close().await?;
        serving.await.unwrap()
    });
}

// V-013 V-017
#[test]
fn giving_serve_forever_up_closes_the_server() {
    run(async || {
        let server = create_server(LOOPBACK, || Echo).await?;
        let serving = create_task({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        common::turn().await;
        assert!(server.is_serving());
        serving.cancel();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(!server.is_serving());
        server.wait_closed().await;
        Ok(())
    });
}

// V-013
#[test]
fn serve_forever_when_cancelled_waits_for_the_connections() {
    run(async || {
        let server = create_server(LOOPBACK, || Echo).await?;
        let serving = create_task({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write(b"before");
        assert_eq!(reader.read_exactly(6).await?, "before");
        serving.cancel();
        settle().await;
        assert!(!server.is_serving());
        assert!(!serving.is_done(), "a connection is open");
        writer.write(b"after");
        assert_eq!(reader.read_exactly(5).await?, "after");
        writer.close().await?;
        assert!(serving.await.unwrap_err().is_cancelled());
        assert_eq!(server.client_count(), 0);
        Ok(())
    });
}

// V-017
#[test]
fn a_timeout_around_serve_forever_waits_for_the_connections() {
    run_in_virtual_time(async || {
        let server = start_server(LOOPBACK, async |_, writer| {
            sleep(Duration::from_secs(10)).await;
            writer.close().await
        })
        .await?;
        let _client = open_connection(server.local_addr()?).await?;
        until(|| server.client_count() == 1).await;
        let start = asyncio_loop::running_loop().time();
        assert!(timeout(Duration::from_secs(3), server.serve_forever()).await.is_err());
        assert_eq!(server.client_count(), 0);
        assert_eq!(asyncio_loop::running_loop().time() - start, Duration::from_secs(10));
        Ok(())
    });
}

// V-013
#[test]
fn a_client_that_never_ends_holds_a_cancelled_serve_forever_up_for_ten_seconds() {
    run_in_virtual_time(async || {
        let ended = Rc::new(Cell::new(None));
        let end = Rc::clone(&ended);
        let server = start_server(LOOPBACK, async move |mut reader, _writer| {
            let outcome = catch_cancel(reader.read(1)).await;
            end.set(Some(outcome.is_err()));
        })
        .await?;
        let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
        until(|| server.client_count() == 1).await;
        let start = asyncio_loop::running_loop().time();
        assert!(timeout(Duration::from_secs(3), server.serve_forever()).await.is_err());
        assert_eq!(asyncio_loop::running_loop().time() - start, Duration::from_secs(13));
        assert_eq!((server.client_count(), ended.get()), (0, Some(true)));
        assert_eq!(reader.read(1).await?, "");
        Ok(())
    });
}

// V-019 V-020
#[test]
fn wait_closed_waits_for_the_server_and_its_connections() {
    run(async || {
        for close_server_first in [true, false] {
            let server = create_server(LOOPBACK, || Echo).await?;
            let (mut reader, writer) = open_connection(server.local_addr()?).await?;
            writer.write(b"x");
            assert_eq!(reader.read(1).await?, "x");
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let server = server.clone();
                    create_task(async move { server.wait_closed().await })
                })
                .collect();
            settle().await;
            if close_server_first {
                server.close()
            } else {
                writer.close().await?
            }
            settle().await;
            assert!(waiting.iter().all(|task| !task.is_done()));
            if close_server_first {
                writer.close().await?
            } else {
                server.close()
            }
            for task in waiting {
                task.await.unwrap();
            }
            server.wait_closed().await;
            assert_eq!(server.addresses(), []);
        }
        Ok(())
    });
}

// V-021
#[test]
fn the_last_client_and_the_server_may_close_in_one_turn() {
    run(async || {
        let recorder = Recorder::default();
        let server = create_server(LOOPBACK, {
            let recorder = recorder.clone();
            move || recorder.clone()
        })
        .await?;
        let _client = open_connection(server.local_addr()?).await?;
        recorder.log.until("made").await;
        let closing = create_task({
            let server = server.clone();
            async move {
                server.close();
                recorder.transport().close();
            }
        });
        server.wait_closed().await;
        closing.await.unwrap();
        Ok(())
    });
}

// V-022
#[test]
fn close_clients_sends_what_was_written() {
    run(async || {
        let server = start_server(LOOPBACK, async |_, writer| {
            writer.write(common::bytes(2_000_000));
            sleep(Duration::from_secs(3600)).await;
        })
        .await?;
        let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
        assert_eq!(reader.read_exactly(1).await?, "\0");
        server.close();
        server.close_clients();
        assert_eq!(reader.read_to_end().await?.len(), 2_000_000 - 1);
        server.wait_closed().await;
        Ok(())
    });
}

// V-023
#[test]
fn abort_clients_does_not_wait_for_a_peer_that_does_not_read() {
    run(async || {
        let log = Log::default();
        let server = start_server(LOOPBACK, {
            let log = log.clone();
            async move |_, writer| {
                // More bytes than the sockets' buffers hold.
                writer.write(vec![0; 20_000_000]);
                log.add("full");
                sleep(Duration::from_secs(3600)).await;
            }
        })
        .await?;
        let _silent = asyncio_net::create_connection(server.local_addr()?, || Silent).await?;
        log.until("full").await;
        server.close();
        server.close_clients();
        settle().await;
        assert_eq!(server.client_count(), 1, "full of unsent bytes");
        server.abort_clients();
        server.wait_closed().await;
        Ok(())
    });
}

#[test]
fn shutdown_gives_clients_the_grace_period_and_no_more() {
    run_in_virtual_time(async || {
        let log = Log::default();
        let server = start_server(LOOPBACK, {
            let log = log.clone();
            async move |_reader, writer| {
                let seconds = log.lines().len() as u64;
                log.add("served");
                sleep(Duration::from_secs(seconds * 100)).await;
                writer.write(b"done");
                log.add("done");
                writer.close().await
            }
        })
        .await?;
        let mut clients = Vec::new();
        // The first client is served at once.
        for count in [2, 3] {
            clients.push(open_connection(server.local_addr()?).await?);
            log.until_count(count).await;
        }
        let start = asyncio_loop::running_loop().time();
        server.shutdown(Duration::from_secs(10)).await;
        assert_eq!(asyncio_loop::running_loop().time() - start, Duration::from_secs(10));
        assert_eq!(log.lines(), ["served", "done", "served"]);
        assert_eq!(clients[0].0.read_to_end().await?, "done");
        assert_eq!(clients[1].0.read_to_end().await?, "");
        Ok(())
    });
}

#[test]
fn shutdown_is_done_when_the_clients_are() {
    run_in_virtual_time(async || {
        let server = create_server(LOOPBACK, || Echo).await?;
        let (_reader, writer) = open_connection(server.local_addr()?).await?;
        until(|| server.client_count() == 1).await;
        let start = asyncio_loop::running_loop().time();
        let closing = create_task(async move {
            sleep(Duration::from_secs(1)).await;
            writer.close().await?;
            // Keeps the virtual clock from jumping until the server has noticed the close.
            settle().await;
            io::Result::Ok(())
        });
        server.shutdown(Duration::from_secs(1000)).await;
        assert!(asyncio_loop::running_loop().time() - start < Duration::from_secs(1000));
        closing.await.unwrap()
    });
}

// V-024
#[test]
fn a_stale_socket_file_is_replaced_and_another_file_is_not() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        drop(UnixListener::bind(&path)?);
        assert!(path.exists());
        let server = create_unix_server(&path, || Echo).await?;
        let (mut reader, writer) = open_unix_connection(&path).await?;
        writer.write(b"x");
        assert_eq!(reader.read(1).await?, "x");
        assert_eq!(server.addresses(), [Address::Unix(path)]);

        let path = dir.path("file");
        std::fs::write(&path, "precious")?;
        let error = create_unix_server(&path, || Echo).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(&path)?, b"precious");
        Ok(())
    });
}

// V-025 V-027
#[test]
fn close_removes_the_socket_file_unless_told_otherwise() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        create_unix_server(&path, || Echo).await?.close();
        assert!(!path.exists());

        let socket = UnixListener::bind(&path)?;
        create_server(socket.try_clone()?, || Echo).await?.close();
        assert!(path.exists(), "the socket was not made by the server");
        create_server(socket, || Echo).cleanup_socket(true).await?.close();
        assert!(!path.exists());

        create_unix_server(&path, || Echo).cleanup_socket(false).await?.close();
        assert!(std::fs::metadata(&path)?.file_type().is_socket());

        let server = create_unix_server(&path, || Echo).await?;
        std::fs::remove_file(&path)?;
        let successor = UnixListener::bind(&path)?;
        server.close();
        assert!(path.exists(), "the file belongs to another server");
        drop(successor);

        let without_file = UnixListener::bind(dir.path("another"))?;
        std::fs::remove_file(dir.path("another"))?;
        create_server(without_file, || Echo).await?.close();
        Ok(())
    });
}

// V-009
#[test]
fn a_server_that_is_started_after_its_loop_is_closed() {
    let server = Rc::new(RefCell::new(None));
    run(async || {
        server.replace(Some(create_server(LOOPBACK, || Echo).start_serving(false).await?));
        Ok(())
    });
    let server = server.take().unwrap();
    server.start_serving();
    assert!(!server.is_serving() && server.addresses().is_empty());
}

#[test]
fn clients_wait_while_a_unix_server_has_no_room() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let server = create_unix_server(&path, || Echo).backlog(1).start_serving(false).await?;
        let clients: Vec<_> = (0..50)
            .map(|_| {
                let path = path.clone();
                create_task(async move {
                    let (mut reader, writer) = open_unix_connection(&path).await?;
                    writer.write(b"hello");
                    reader.read_exactly(5).await.map_err(io::Error::from)
                })
            })
            .collect();
        settle().await;
        server.start_serving();
        for client in clients {
            assert_eq!(client.await.unwrap()?, "hello");
        }
        Ok(())
    });
}

#[test]
fn errors_name_the_path() {
    run(async || {
        let dir = TempDir::new();
        let (long, missing) = (dir.path(&"x".repeat(200)), dir.path("missing/socket"));
        for path in [&long, &missing] {
            let errors = [
                create_unix_server(path, || Echo).await.map(drop),
                open_unix_connection(path).await.map(drop),
            ];
            for error in errors.map(Result::unwrap_err) {
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
        }
        Ok(())
    });
}

#[test]
fn sockets_that_are_taken_go_on_listening() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let server = create_unix_server(&path, || Echo).await?;
        let sockets = server.clone().into_sockets();
        assert!(!server.is_serving() && server.addresses().is_empty());
        assert!(path.exists());
        let (mut reader, writer) = open_unix_connection(&path).await?;
        writer.write(b"hello");

        let listeners = sockets.into_iter().map(UnixListener::from);
        for listener in listeners {
            create_server(listener, || Echo).await?;
        }
        assert_eq!(reader.read(9).await?, "hello");
        Ok(())
    });
}

#[test]
fn streams_over_unix_sockets() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let server = start_unix_server(&path, async |mut reader, writer| {
            assert_eq!(writer.transport().peer_address(), Address::Unnamed);
            while let Some(line) = reader.next_line().await? {
                writer.write(&line);
            }
            writer.close().await
        })
        .await?;
        // D-017
        let (mut reader, writer) = open_unix_connection(path.as_os_str()).await?;
        assert_eq!(writer.transport().peer_address(), Address::Unix(path.clone()));
        writer.write(b"one\ntwo\n");
        writer.write_eof();
        assert_eq!(reader.read_to_end().await?, "one\ntwo\n");
        server.close();
        let error = open_unix_connection(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        Ok(())
    });
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
#[test]
fn abstract_names() {
    run(async || {
        let name = format!("\0asyncio-net-{}", std::process::id());
        let server = create_unix_server(&name, || Echo).await?;
        assert_eq!(server.addresses(), [Address::Abstract(name[1..].into())]);
        let (mut reader, writer) = open_unix_connection(&name).await?;
        writer.write(b"x");
        assert_eq!(reader.read(1).await?, "x");
        Ok(())
    });
}

// V-014
#[test]
fn serve_forever_of_a_closed_server_or_a_second_time_is_an_error() {
    run(async || {
        let server = create_server(LOOPBACK, || Echo).await?;
        let serving = create_task({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        settle().await;
        let second = timeout(Duration::from_secs(60), server.serve_forever());
        let error = second.await.expect("the call returns at once").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert!(server.is_serving(), "the first call goes on");
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write("x");
        assert_eq!(reader.read(9).await?, "x");
        writer.close().await?;
        server.close();
        serving.await.unwrap()?;
        let error = server.serve_forever().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        Ok(())
    });
}

// V-007
#[test]
fn a_socket_that_cannot_accept_is_refused() {
    run(async || {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        bound.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())?;
        let error = create_server(TcpListener::from(bound), || Echo).await.unwrap_err();
        assert!(error.to_string().contains("does not listen"), "{error}");
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let socket = TcpListener::from(OwnedFd::from(datagrams));
        let error = create_server(socket, || Echo).await.unwrap_err();
        assert!(error.to_string().contains("stream socket"), "{error}");
        let (datagrams, _) = std::os::unix::net::UnixDatagram::pair()?;
        let socket = UnixListener::from(OwnedFd::from(datagrams));
        let error = create_server(socket, || Echo).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let (connected, _) = std::os::unix::net::UnixStream::pair()?;
        let socket = UnixListener::from(OwnedFd::from(connected));
        let error = create_server(socket, || Echo).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn case_server_shutdown_link() {
    run_in_virtual_time(async || {
        let log = Log::default();
        let server = start_server(ServerAddress::nothing(), {
            let log = log.clone();
            move |_: StreamReader, _: StreamWriter| {
                let log = log.clone();
                async move {
                    let inner = async move {
                        let slept = catch_cancel(sleep(Duration::from_secs(5))).await;
                        log.add(if slept.is_ok() { "ran on" } else { "was cancelled" });
                    };
                    let _ = create_task(inner).await;
                }
            }
        })
        .await?;
        let (_ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        assert!(server.intake().hand_over(theirs).is_ok());
        settle().await;
        server.shutdown(Duration::from_millis(20)).await;
        settle().await;
        assert_eq!(log.lines(), ["was cancelled"]);
        Ok(())
    });
}

context_var! {
    static MAKER: &'static str = "nobody";
}

/// A protocol that logs in whose context its methods run.
#[derive(Clone)]
struct Contexts(Log);

impl Contexts {
    fn note(&self, method: &str) {
        self.0.add(format!("{method} {}", MAKER.get()));
    }
}

impl Protocol for Contexts {
    fn connection_made(&mut self, _: &Transport) {
        self.note("made");
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.note("data");
        if data == b"pause" {
            transport.pause_reading();
            let transport = transport.clone();
            drop(create_task(async move {
                MAKER.set("task");
                transport.resume_reading();
                transport.write(vec![0; 4_000_000]);
            }));
        }
    }
    fn eof_received(&mut self, _: &Transport) -> bool {
        self.note("eof");
        false
    }
    fn connection_lost(&mut self, _: &Transport, _: Option<io::Error>) {
        self.note("lost");
    }
    fn resume_writing(&mut self, _: &Transport) {
        self.note("resume");
    }
}

#[test]
fn case_context_leak() {
    run(async || {
        let log = Log::default();
        MAKER.set("server");
        let server = create_server(ServerAddress::nothing(), {
            let log = log.clone();
            move || Contexts(log.clone())
        })
        .await?;
        // The intake's task is started by code with another context.
        MAKER.set("client");
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        assert!(server.intake().hand_over(theirs).is_ok());
        let (mut reader, writer) = open_connection(ours).await?;
        writer.write("pause");
        reader.read_exactly(4_000_000).await.map_err(io::Error::from)?;
        let called = async |method: &str| {
            while !log.lines().iter().any(|line| line.starts_with(method)) {
                common::turn().await;
            }
        };
        called("resume").await;
        writer.write("again");
        writer.close().await?;
        called("lost").await;
        let lines = log.lines();
        assert!(lines.iter().all(|line| line.ends_with(" server")), "{lines:?}");
        Ok(())
    });
}
