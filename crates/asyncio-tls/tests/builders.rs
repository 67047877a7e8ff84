//! `.tls(…)` of connections that open and of servers, for streams.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    ClientAddress, StreamReader, StreamWriter, memory_pair, open_connection, open_unix_connection,
    start_server, start_unix_server,
};
use asyncio_task::{create_task, gather, run, try_gather};
use asyncio_tls::{TlsClient, TlsInfo, TlsServer};
use common::{Authority, echo_lines, greet, reports, until};

// E-001
#[test]
fn the_name_that_is_checked_is_the_host_unless_another_is_given() {
    let authority = Authority::new();
    let client = authority.client();
    run(async {
        // The server's certificate is valid for the host's name and for its address.
        let tls = TlsServer::builder().identity(authority.sign(&["localhost", "127.0.0.1"]));
        let server = start_server("127.0.0.1:0", echo_lines).tls(&tls.build()?).await?;
        let port = server.local_addr()?.port();
        let (mut reader, writer) = open_connection(("localhost", port)).tls(&client).await?;
        greet(&mut reader, &writer).await?;
        let (mut reader, writer) = open_connection(server.local_addr()?).tls(&client).await?;
        greet(&mut reader, &writer).await?;
        let other = client.with_server_name("other.example")?;
        let refused = open_connection(("localhost", port)).tls(&other).await.unwrap_err();
        assert!(refused.to_string().contains("not valid for name"), "{refused}");

        // If the address is not one host, a server name has to be given; otherwise no connection is
        // made.
        let (ours, _theirs) = UnixStream::pair()?;
        let error = open_connection(ours).tls(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let two = vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.2:1".parse().unwrap()];
        let error = open_connection(two).tls(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-001
#[test]
fn the_check_of_the_name_alone_can_be_switched_off() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    run(async {
        let any_name = TlsClient::builder()
            .roots_pem(authority.pem().as_bytes())?
            .danger_accept_any_name()
            .build()?;
        for (signer, is_trusted) in [(&authority, true), (&strangers, false)] {
            let tls = TlsServer::builder().identity(signer.sign(&["other.example"])).build()?;
            let server = start_server("127.0.0.1:0", echo_lines).tls(&tls).await?;
            let opened = open_connection(server.local_addr()?).tls(&any_name).await;
            assert_eq!(opened.is_ok(), is_trusted);
            let socket = std::net::TcpStream::connect(server.local_addr()?)?;
            assert_eq!(open_connection(socket).tls(&any_name).await.is_ok(), is_trusted);
        }
        io::Result::Ok(())
    })
    .unwrap();
}

// E-002
#[test]
fn a_unix_connection_needs_a_name_to_check() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    run(async {
        let server = start_unix_server(&path, echo_lines).tls(&authority.server()).await?;
        let error = open_unix_connection(&path).tls(&authority.client()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("server_name"), "{error}");
        assert_eq!(server.client_count(), 0, "the socket was not connected");
        let named = authority.client().with_server_name("localhost")?;
        let (mut reader, writer) = open_unix_connection(&path).tls(&named).await?;
        greet(&mut reader, &writer).await
    })
    .unwrap();
}

// E-006, E-007
#[test]
fn a_certificate_that_does_not_verify_fails_the_connect_and_the_server_goes_on() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    run(async {
        let reports = reports();
        let served = Rc::new(Cell::new(0));
        let counted = served.clone();
        let handler = async move |reader: StreamReader, writer: StreamWriter| {
            counted.set(counted.get() + 1);
            echo_lines(reader, writer).await
        };
        let server = start_server("127.0.0.1:0", handler).tls(&authority.server()).await?;
        let address = ("localhost", server.local_addr()?.port());
        let error = open_connection(address).tls(&strangers.client()).await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<asyncio_tls::rustls::Error>());
        let elsewhere = authority.client().with_server_name("other.example")?;
        let error = open_connection(address).tls(&elsewhere).await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<asyncio_tls::rustls::Error>());
        until(|| server.client_count() == 0).await;
        assert_eq!(served.get(), 0);

        let (mut reader, writer) = open_connection(address).tls(&authority.client()).await?;
        greet(&mut reader, &writer).await?;
        assert_eq!(served.get(), 1);
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-009
#[test]
fn a_peer_that_goes_in_the_handshake_resets_the_connection() {
    let authority = Authority::new();
    run(async {
        let going = start_server("127.0.0.1:0", async |mut reader, writer| {
            reader.read(1000).await?;
            writer.close().await
        })
        .await?;
        let connecting = open_connection(going.local_addr()?).tls(&authority.client());
        let error = connecting.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        // The client ends in the handshake: the server's handler does not run, and nothing is
        // reported.
        let reports = reports();
        let served = Rc::new(Cell::new(false));
        let noted = served.clone();
        let never = async move |_: StreamReader, _: StreamWriter| noted.set(true);
        let server = start_server("127.0.0.1:0", never).tls(&authority.server()).await?;
        let (_, writer) = open_connection(server.local_addr()?).await?;
        until(|| server.client_count() == 1).await;
        writer.close().await?;
        until(|| server.client_count() == 0).await;
        assert!(!served.get());
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-010
#[test]
fn a_connect_that_is_given_up_in_the_handshake_closes_the_connection() {
    let authority = Authority::new();
    run(async {
        let reports = reports();
        let silent = start_server("127.0.0.1:0", async |mut reader, _writer| {
            reader.read_to_end().await.map(drop)
        })
        .await?;
        let address = silent.local_addr()?;
        let connecting = open_connection(address).tls(&authority.client()).into_future();
        let connecting = create_task(connecting);
        until(|| silent.client_count() == 1).await;
        connecting.cancel();
        assert!(connecting.await.is_err());
        until(|| silent.client_count() == 0).await;

        // The client's own handshake timeout.
        let impatient = TlsClient::builder()
            .roots_pem(authority.pem().as_bytes())?
            .handshake_timeout(Duration::from_millis(10))
            .build()?;
        let error = open_connection(address).tls(&impatient).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        until(|| silent.client_count() == 0).await;
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

// E-003: the timeouts belong to `TlsClient` and `TlsServer`, so they cannot be set without TLS.
#[test]
fn a_server_gives_a_handshake_so_much_time_and_no_more() {
    let authority = Authority::new();
    let strict = TlsServer::builder()
        .identity(authority.sign(&["localhost"]))
        .handshake_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    // With virtual time, sent bytes must arrive at once, which TCP does not promise.
    let folder = tempfile::tempdir().unwrap();
    common::run_in_virtual_time(async || {
        for (tls, limit) in [(authority.server(), 60), (strict, 5)] {
            let path = folder.path().join(limit.to_string());
            let _server = start_unix_server(&path, echo_lines).tls(&tls).await?;
            let mut slow = Vec::new();
            for _ in 0..20 {
                slow.push(open_unix_connection(&path).await?);
            }
            let before = asyncio_loop::running_loop().time();
            // Clients without a handshake delay no other client.
            let client = authority.client().with_server_name("localhost")?;
            let (mut reader, writer) = open_unix_connection(&path).tls(&client).await?;
            greet(&mut reader, &writer).await?;
            for (reader, _) in &mut slow {
                assert_eq!(reader.read_to_end().await?, "");
            }
            let took = asyncio_loop::running_loop().time() - before;
            assert!(took >= Duration::from_secs(limit), "{took:?}");
            assert!(took < Duration::from_secs(limit + 5), "{took:?}");
        }
        Ok(())
    });
}

// E-011
#[test]
fn what_was_agreed_on_and_what_is_below_can_be_asked_for() {
    let authority = Authority::new();
    run(async {
        let agreed = Rc::new(RefCell::new(None));
        let noted = agreed.clone();
        let tls = TlsServer::builder()
            .identity(authority.sign(&["localhost"]))
            .client_roots_pem(authority.pem().as_bytes())?
            .alpn(["h2", "http/1.1"])
            .build()?;
        let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
            noted.replace(writer.extra::<TlsInfo>());
            reader.read_to_end().await?;
            writer.close().await
        };
        let server = start_server("127.0.0.1:0", handler).tls(&tls).await?;
        let client = TlsClient::builder()
            .roots_pem(authority.pem().as_bytes())?
            .identity(authority.sign(&["a client"]))
            .alpn(["http/1.1"])
            .build()?;
        let address = server.local_addr()?;
        let (_reader, writer) = open_connection(("localhost", address.port())).tls(&client).await?;
        let info = writer.extra::<TlsInfo>().expect("TLS");
        assert_eq!(info.version(), "TLSv1.3");
        assert_eq!(info.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(info.peer_certificates().len(), 1);
        assert!([128, 256].contains(&info.cipher_bits()), "{info:?}");
        assert!(!info.is_resumed());
        assert_eq!(writer.peer_addr()?, address);
        let transport = writer.transport().clone();
        assert!(transport.with_socket(|socket| socket.tcp_nodelay()).unwrap()?);

        writer.close().await?;
        until(|| agreed.borrow().is_some()).await;
        let seen = agreed.take().unwrap();
        assert_eq!(seen.server_name(), Some("localhost"));
        assert_eq!(seen.peer_certificates().len(), 1);
        // The socket is closed, but its addresses are still known.
        assert!(transport.with_socket(|_| ()).is_none());
        assert_eq!(transport.peer_addr()?, address);

        let plain = start_server("127.0.0.1:0", echo_lines).await?;
        let (_reader, writer) = open_connection(plain.local_addr()?).await?;
        assert!(writer.extra::<TlsInfo>().is_none());
        io::Result::Ok(())
    })
    .unwrap();
}

// E-012
#[test]
fn twenty_five_clients_exchange_megabytes_both_ways() {
    let authority = Authority::new();
    const SIZE: usize = 2_000_000;
    // All clients share one thread, so on a busy machine a handshake waits for the megabytes of
    // others.
    const LIMIT: Duration = Duration::from_secs(900);
    let identity = authority.sign(&["localhost"]);
    let tls = TlsServer::builder()
        .identity(identity)
        .handshake_timeout(LIMIT)
        .shutdown_timeout(LIMIT)
        .build()
        .unwrap();
    run(async {
        let server = start_server("127.0.0.1:0", async |mut reader, writer| {
            loop {
                let bytes = reader.read(100_000).await?;
                if bytes.is_empty() {
                    break writer.close().await;
                }
                writer.write_bytes(bytes);
                writer.drain().await?;
            }
        })
        .tls(&tls)
        .await?;
        let address = ("localhost", server.local_addr()?.port());
        let tls = TlsClient::builder()
            .roots_pem(authority.pem().as_bytes())?
            .handshake_timeout(LIMIT)
            .shutdown_timeout(LIMIT)
            .build()?;
        let client = async |number: u8| {
            let (mut reader, writer) = open_connection(address).tls(&tls).await?;
            let sent: Vec<u8> = (0..SIZE).map(|n| (n / 251) as u8 ^ number).collect();
            let send = async {
                for part in sent.chunks(70_001) {
                    writer.write(part);
                    writer.drain().await?;
                }
                io::Result::Ok(())
            };
            let receive = async { Ok(reader.read_exactly(SIZE).await?) };
            let (_, received) = try_gather((send, receive)).await?;
            assert!(received == sent);
            writer.close().await
        };
        for done in gather((0..25).map(client)).await {
            done?;
        }
        io::Result::Ok(())
    })
    .unwrap();
}

// E-027
#[test]
fn tls_stands_in_tls() {
    let authority = Authority::new();
    run(async {
        let reports = reports();
        let (outer, inner) = (authority.server(), authority.server());
        let server = start_server("127.0.0.1:0", echo_lines).tls(&outer).tls(&inner).await?;
        let address = ("localhost", server.local_addr()?.port());
        let client = authority.client();
        let (mut reader, writer) = open_connection(address).tls(&client).tls(&client).await?;
        for _ in 0..100 {
            greet(&mut reader, &writer).await?;
        }
        let long = "x".repeat(60_000) + "\n";
        writer.write(&long);
        assert!(reader.read_line().await? == long);
        writer.close().await?;
        server.shutdown(Duration::from_secs(60)).await;
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn tls_stands_on_any_stream() {
    let authority = Authority::new();
    run(async {
        let (ours, theirs) = memory_pair(1000);
        let client = authority.client().with_server_name("localhost")?;
        let opening = open_connection(ClientAddress::over(ours)).tls(&client);
        let tls = authority.server();
        let (opened, accepted) = gather((opening, async {
            let (mut reader, mut writer) = asyncio_net::stream_over(theirs);
            asyncio_tls::accept_tls(&mut reader, &mut writer, &tls).await?;
            io::Result::Ok((reader, writer))
        }))
        .await;
        let ((mut reader, writer), (mut peer, answer)) = (opened?, accepted?);
        let echo = create_task(async move {
            let line = peer.read_line().await?;
            answer.write(&line);
            peer.read_to_end().await?;
            answer.close().await
        });
        greet(&mut reader, &writer).await?;
        writer.close().await?;
        echo.await.unwrap()
    })
    .unwrap();
}
