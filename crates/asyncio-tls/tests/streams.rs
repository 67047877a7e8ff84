//! Streams over TLS: what arrives, what was agreed on, and how connections end.

mod common;

use std::io::{self, ErrorKind};
use std::time::Duration;

use asyncio_net::{
    ClientAddress, SendfileNotAvailableError, SendfileOptions, memory_pair, open_connection,
    sendfile, start_server, stream_over,
};
use asyncio_task::run;
use asyncio_tls::{TlsClient, TlsServer, accept_tls, start_tls};
use common::{Authority, connect, echo, greet, serve};

#[test]
fn lines_go_there_and_back() {
    let authority = Authority::new();
    run(async {
        let server = serve(authority.server(), echo).await;
        let (mut reader, writer, info) = connect(&server, &authority.client(), "localhost").await?;
        assert_eq!((info.version(), info.is_resumed()), ("TLSv1.3", false));
        assert!(info.cipher_suite().starts_with("TLS13_"));
        for n in 0..1000 {
            let line = format!("{n} {}\n", "x".repeat(n));
            writer.write(&line);
            assert_eq!(reader.read_line().await?, line);
        }
        writer.close().await
    })
    .unwrap();
}

#[test]
fn all_that_was_written_arrives_before_the_end() {
    let authority = Authority::new();
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let answer = sent.clone();
    run(async {
        let server = serve(authority.server(), async move |_, writer, _| {
            writer.write(&answer);
            writer.close().await
        })
        .await;
        let (mut reader, _writer, _) = connect(&server, &authority.client(), "localhost").await?;
        assert!(reader.read_to_end().await? == sent);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn sizes_around_a_record_arrive_whole() {
    let authority = Authority::new();
    run(async {
        let server = serve(authority.server(), async |mut reader, writer, _| {
            loop {
                let size = reader.read_exactly(4).await?;
                let size = u32::from_be_bytes(size[..].try_into().unwrap());
                if size == 0 {
                    break writer.close().await;
                }
                let body = reader.read_exactly(size as usize).await?;
                writer.write(&body);
            }
        })
        .await;
        let (mut reader, writer, _) = connect(&server, &authority.client(), "localhost").await?;
        for size in [1, 16_383, 16_384, 16_385, 32_767, 32_768, 65_535, 65_536, 65_537, 200_000] {
            let body: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            writer.write(u32::try_from(size).unwrap().to_be_bytes());
            writer.write(&body);
            assert!(reader.read_exactly(size).await? == body);
        }
        writer.write([0; 4]);
        assert!(reader.read_to_end().await?.is_empty());
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn both_sides_agree_on_a_protocol() {
    let authority = Authority::new();
    run(async {
        let tls = TlsServer::builder()
            .identity(authority.sign(&["localhost"]))
            .alpn(["h2", "http/1.1"])
            .build()?;
        let server = serve(tls, async |_, writer, info| {
            writer.write(info.alpn_protocol().unwrap_or(b"none"));
            writer.close().await
        })
        .await;
        let client = |protocols: &[&str]| {
            let builder = TlsClient::builder().roots_pem(authority.pem().as_bytes()).unwrap();
            builder.alpn(protocols).build().unwrap()
        };
        for (offered, agreed) in
            [(&["http/1.1", "h2"][..], "h2"), (&["http/1.1"], "http/1.1"), (&[], "none")]
        {
            let (mut reader, _writer, info) =
                connect(&server, &client(offered), "localhost").await?;
            assert_eq!(info.alpn_protocol().unwrap_or(b"none"), agreed.as_bytes());
            assert_eq!(reader.read_to_end().await?, agreed.as_bytes());
        }
        assert!(connect(&server, &client(&["other"]), "localhost").await.is_err());
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn sessions_are_resumed_unless_a_side_does_not_want_to() {
    let authority = Authority::new();
    run(async {
        for resumes in [true, false] {
            let tls = TlsServer::builder()
                .identity(authority.sign(&["localhost"]))
                .resumption(resumes)
                .build()?;
            let server = serve(tls, echo).await;
            let client = authority.client();
            let (mut reader, writer, info) = connect(&server, &client, "localhost").await?;
            assert!(!info.is_resumed());
            // The session ticket comes after the handshake.
            greet(&mut reader, &writer).await?;
            let (mut reader, writer, info) = connect(&server, &client, "localhost").await?;
            assert_eq!(info.is_resumed(), resumes);
            greet(&mut reader, &writer).await?;
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn tls_begins_in_the_middle_of_a_conversation() {
    let authority = Authority::new();
    let tls = authority.server();
    run(async {
        let server = start_server("127.0.0.1:0", async move |mut reader, mut writer| {
            assert_eq!(reader.read_line().await?, "STARTTLS\n");
            writer.write("go\n");
            accept_tls(&mut reader, &mut writer, &tls).await?;
            while let Some(line) = reader.next_line().await? {
                writer.write(&line);
            }
            writer.close().await
        })
        .await?;
        let (mut reader, mut writer) = open_connection(server.local_addr()?).await?;
        writer.write("STARTTLS\n");
        assert_eq!(reader.read_line().await?, "go\n");
        start_tls(&mut reader, &mut writer, &authority.client(), "localhost").await?;
        greet(&mut reader, &writer).await
    })
    .unwrap();
}

#[test]
fn an_end_without_a_closing_alert_is_an_error() {
    let authority = Authority::new();
    run(async {
        // A proxy that cuts the connection after the first bytes of the answer.
        let server = serve(authority.server(), echo).await;
        let address = server.local_addr()?;
        let proxy = start_server("127.0.0.1:0", async move |mut reader, writer| {
            let (mut behind, to_behind) = open_connection(address).await?;
            let forward = asyncio_task::create_task(async move {
                while let Ok(bytes) = reader.read(65_536).await {
                    if bytes.is_empty() {
                        break;
                    }
                    to_behind.write(&bytes);
                }
            });
            for _ in 0..2 {
                writer.write(&behind.read(65_536).await?);
                writer.drain().await?;
            }
            forward.cancel();
            writer.close().await
        })
        .await?;
        let (mut reader, _writer, _) = connect(&proxy, &authority.client(), "localhost").await?;
        let error = loop {
            match reader.read(100).await {
                Ok(bytes) => assert!(!bytes.is_empty(), "no clean end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn an_abort_is_no_regular_end() {
    let authority = Authority::new();
    run(async {
        let server = serve(authority.server(), async |mut reader, writer, _| {
            reader.read_line().await?;
            writer.write(b"half of an ans");
            writer.flush().await?;
            writer.transport().abort();
            io::Result::Ok(())
        })
        .await;
        let (mut reader, writer, _) = connect(&server, &authority.client(), "localhost").await?;
        writer.write("now\n");
        assert_eq!(reader.read_to_end().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_not_tls_is_refused_by_both_sides() {
    let authority = Authority::new();
    run(async {
        let tls = authority.server();
        let seen = std::rc::Rc::new(std::cell::Cell::new(None));
        let noting = seen.clone();
        let server = start_server("127.0.0.1:0", async move |mut reader, mut writer| {
            let refused = accept_tls(&mut reader, &mut writer, &tls).await.unwrap_err();
            noting.set(Some(refused.to_string()));
        })
        .await?;
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // The server sends an alert, and closes.
        let _ = reader.read_to_end().await;
        let text = loop {
            match seen.take() {
                Some(text) => break text,
                None => asyncio_task::yield_now().await,
            }
        };
        assert!(text.starts_with("the peer does not speak TLS"), "{text}");

        let plain = start_server("127.0.0.1:0", async |_, writer| {
            writer.write("220 mail.example ready\r\n");
            writer.drain().await
        })
        .await?;
        let error = connect(&plain, &authority.client(), "localhost").await.unwrap_err();
        assert!(error.to_string().starts_with("the peer does not speak TLS"), "{error}");
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_peer_that_says_nothing_or_goes_fails_the_handshake() {
    let authority = Authority::new();
    run(async {
        let silent = start_server("127.0.0.1:0", async |mut reader, _writer| {
            reader.read_to_end().await.map(drop)
        })
        .await?;
        let impatient = TlsClient::builder()
            .roots_pem(authority.pem().as_bytes())?
            .handshake_timeout(Duration::from_millis(20))
            .build()?;
        let error = connect(&silent, &impatient, "localhost").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);

        let going = start_server("127.0.0.1:0", async |mut reader, writer| {
            reader.read(1000).await?;
            writer.close().await
        })
        .await?;
        let error = connect(&going, &authority.client(), "localhost").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn records_may_be_cut_anywhere() {
    let authority = Authority::new();
    run(async {
        let server = serve(authority.server(), echo).await;
        let address = server.local_addr()?;
        // A proxy that forwards each byte on its own.
        let proxy = start_server("127.0.0.1:0", async move |mut reader, writer| {
            let (mut behind, to_behind) = open_connection(address).await?;
            let there = async {
                loop {
                    let bytes = reader.read(4096).await?;
                    if bytes.is_empty() {
                        to_behind.write_eof();
                        break io::Result::Ok(());
                    }
                    for byte in &bytes {
                        to_behind.write(std::slice::from_ref(byte));
                        to_behind.flush().await?;
                    }
                }
            };
            let back = async {
                loop {
                    let bytes = behind.read(4096).await?;
                    if bytes.is_empty() {
                        break writer.close().await;
                    }
                    for byte in &bytes {
                        writer.write(std::slice::from_ref(byte));
                        writer.flush().await?;
                    }
                }
            };
            asyncio_task::try_gather((there, back)).await.map(drop)
        })
        .await?;
        let (mut reader, writer, _) = connect(&proxy, &authority.client(), "localhost").await?;
        for _ in 0..10 {
            greet(&mut reader, &writer).await?;
        }
        writer.close().await
    })
    .unwrap();
}

#[test]
fn a_file_goes_through_the_session_and_not_by_the_system() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let text: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 3) as u8).collect();
    std::fs::write(&path, &text).unwrap();
    run(async {
        let server = start_server("127.0.0.1:0", async move |_, writer| {
            let file = std::fs::File::open(&path)?;
            let transport = writer.transport();
            let only_fast = SendfileOptions::new().fallback(false);
            let error = sendfile(transport, &file, only_fast).await.unwrap_err();
            assert!(error.get_ref().unwrap().is::<SendfileNotAvailableError>(), "{error}");
            sendfile(transport, &file, SendfileOptions::new()).await?;
            writer.close().await
        })
        .tls(&authority.server())
        .await?;
        let address = ("localhost", server.local_addr()?.port());
        let (mut reader, _writer) = open_connection(address).tls(&authority.client()).await?;
        assert!(reader.read_to_end().await? == text);
        io::Result::Ok(())
    })
    .unwrap();
}

/// A stream that reads and writes one byte at a time, so that records are split at every byte.
#[test]
fn a_stream_that_moves_one_byte_at_a_time_carries_tls() {
    let authority = Authority::new();
    run(async {
        let (ours, theirs) = memory_pair(1);
        let client = authority.client().with_server_name("localhost")?;
        let opening = open_connection(ClientAddress::over(ours)).tls(&client);
        let tls = authority.server();
        let serving = async {
            let (mut reader, mut writer) = stream_over(theirs);
            accept_tls(&mut reader, &mut writer, &tls).await?;
            while let Some(line) = reader.next_line().await? {
                writer.write(&line);
            }
            writer.close().await
        };
        let asking = async {
            let (mut reader, writer) = opening.await?;
            for length in [1, 100, 2000] {
                let line = "x".repeat(length) + "\n";
                writer.write(&line);
                assert!(reader.read_line().await? == line);
            }
            writer.close().await
        };
        asyncio_task::try_gather((serving, asking)).await.map(drop)
    })
    .unwrap();
}
