//! OpenSSL's programs `s_client` and `s_server`.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
use asyncio_task::run;
use asyncio_tls::{TlsClient, TlsInfo, TlsServer, accept_tls};

use super::common::{Authority, reports, until};
use super::program::{Files, Program};

const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

/// Starts `s_client`, which checks the certificate for `localhost`.
fn client(files: &Files, address: SocketAddr, more: &[&str]) -> Option<Program> {
    let (address, roots) = (address.to_string(), files.roots());
    let args = ["s_client", "-connect", &address, "-CAfile", &roots, "-verify_return_error"];
    let names = ["-ign_eof", "-servername", "localhost", "-verify_hostname", "localhost"];
    Program::start("openssl", &[&args[..], &names, more].concat())
}

/// Starts `s_server`, which reverses each line. Returns the program and its address.
fn server(files: &Files, more: &[&str]) -> Option<(Program, SocketAddr)> {
    let (chain, key) = files.sign("localhost");
    let args = ["s_server", "-accept", "127.0.0.1:0", "-rev", "-cert", &chain, "-key", &key];
    let mut server = Program::start("openssl", &[&args[..], more].concat())?;
    let address = server.wait_for("ACCEPT ").parse().unwrap();
    Some((server, address))
}

/// Answers one line, and closes with an alert.
async fn answer(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    writer.write("you said ");
    writer.write(&reader.read_line().await?);
    writer.close().await
}

async fn turn(address: SocketAddr, client: &TlsClient) -> io::Result<TlsInfo> {
    let address = ("localhost", address.port());
    let (mut reader, writer) = open_connection(address).tls(client).await?;
    writer.write("abc\n");
    assert_eq!(reader.read_line().await?, "cba\n");
    let info = writer.extra::<TlsInfo>().expect("TLS");
    writer.close().await?;
    Ok(info)
}

#[test]
fn its_client_trusts_us_and_resumes() {
    let files = Files::new();
    run(async {
        let server = start_server("127.0.0.1:0", answer).tls(&files.authority.server()).await?;
        let address = server.local_addr()?;
        for (version, name) in VERSIONS {
            let session = files.text(version);
            for resume in [["-sess_out", &session], ["-sess_in", &session]] {
                let args = [&[version][..], &resume].concat();
                let Some(mut client) = client(&files, address, &args) else { return Ok(()) };
                client.type_in("hello\n");
                let (_, text) = client.finish().await;
                assert!(text.contains("you said hello"), "{text}");
                assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
                let kind = if resume[0] == "-sess_in" { "Reused" } else { "New" };
                assert!(text.contains(&format!("{kind}, {name}")), "{text}");
            }
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn its_client_gets_the_protocol_and_the_certificate_that_it_asks_for() {
    let files = Files::new();
    run(async {
        let tls = TlsServer::builder()
            .identity(files.authority.sign(&["other.example"]))
            .identity_for("localhost", files.authority.sign(&["localhost"]))
            .client_roots_pem(files.authority.pem().as_bytes())?
            .alpn(["h2", "http/1.1"])
            .build()?;
        let server = start_server("127.0.0.1:0", answer).tls(&tls).await?;
        let (chain, key) = files.sign("a-client");
        for (version, _) in VERSIONS {
            let args = [version, "-alpn", "spdy,http/1.1", "-cert", &chain, "-key", &key];
            let Some(mut known) = client(&files, server.local_addr()?, &args) else {
                return Ok(());
            };
            known.type_in("hello\n");
            let (_, text) = known.finish().await;
            assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
            assert!(text.contains("you said hello"), "{text}");
            // A client without a certificate.
            let Some(mut unknown) = client(&files, server.local_addr()?, &[version]) else {
                return Ok(());
            };
            unknown.type_in("hello\n");
            let (succeeded, text) = unknown.finish().await;
            assert!(!succeeded && !text.contains("you said"), "{text}");
            assert!(text.contains("alert certificate required") || version == "-tls1_2", "{text}");
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn its_client_refuses_what_it_should() {
    let (files, strangers) = (Files::new(), Authority::new());
    run(async {
        let reports = reports();
        let expired = files.authority.sign_expired(&["localhost"]);
        for identity in [strangers.sign(&["localhost"]), expired] {
            let tls = TlsServer::builder().identity(identity).build()?;
            let server = start_server("127.0.0.1:0", answer).tls(&tls).await?;
            for (version, _) in VERSIONS {
                let client = client(&files, server.local_addr()?, &[version]);
                let Some(client) = client else { return Ok(()) };
                let (succeeded, text) = client.finish().await;
                assert!(!succeeded, "{text}");
            }
        }
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

/// rustls does not renegotiate. The client gets an alert and gives up; the server goes on.
#[test]
fn its_client_cannot_renegotiate() {
    let files = Files::new();
    run(async {
        let reports = reports();
        let ends = Rc::new(RefCell::new(Vec::new()));
        let server = start_server("127.0.0.1:0", {
            let ends = ends.clone();
            async move |mut reader: StreamReader, writer: StreamWriter| {
                while let Ok(line) = reader.read_line().await {
                    writer.write("you said ");
                    writer.write(&line);
                }
                let end = reader.read(1).await.map_err(|error| error.kind());
                ends.borrow_mut().push(end);
            }
        })
        .tls(&files.authority.server())
        .await?;
        let address = server.local_addr()?.to_string();
        let roots = files.roots();
        // Without `-ign_eof`, `s_client` takes a line that begins with `R` as the command to
        // renegotiate.
        let args = ["s_client", "-connect", &address, "-CAfile", &roots, "-tls1_2"];
        for _ in 0..2 {
            let Some(mut client) = Program::start("openssl", &args) else { return Ok(()) };
            client.type_in("hello\n");
            let mut client = client.wait_on_a_thread("you said hello").await;
            client.type_in("R\n");
            let (_, text) = client.finish().await;
            assert!(text.contains("no renegotiation"), "{text}");
        }
        // The client ends with an alert.
        until(|| ends.borrow().len() == 2).await;
        assert!(ends.borrow().iter().all(|end| *end == Err(io::ErrorKind::InvalidData)));
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

/// TLS 1.3 changes keys in the middle of a conversation (RFC 8446, 4.6.3), when either side asks.
#[test]
fn its_client_asks_for_new_keys() {
    let files = Files::new();
    run(async {
        let reports = reports();
        let server = start_server("127.0.0.1:0", async |mut reader, writer| {
            while let Some(line) = reader.next_line().await? {
                writer.write("you said ");
                writer.write(&line);
            }
            writer.close().await
        })
        .tls(&files.authority.server())
        .await?;
        let (address, roots) = (server.local_addr()?.to_string(), files.roots());
        let args = ["s_client", "-connect", &address, "-CAfile", &roots, "-tls1_3"];
        let Some(mut client) = Program::start("openssl", &args) else { return Ok(()) };
        client.type_in("hello\n");
        let mut client = client.wait_on_a_thread("you said hello").await;
        for _ in 0..3 {
            // `K` updates the client's keys and requests new keys from the server.
            client.type_in("K\n");
            client = client.wait_on_a_thread("KEYUPDATE").await;
            client.type_in("again\n");
            client = client.wait_on_a_thread("you said again").await;
        }
        client.type_in("Q\n");
        client.finish().await;
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn its_client_starts_tls_in_a_conversation_by_smtp() {
    let files = Files::new();
    run(async {
        let tls = files.authority.server();
        let server = start_server("127.0.0.1:0", async move |mut reader, mut writer| {
            writer.write("220 mail.example ESMTP\r\n");
            assert!(reader.read_line().await?.starts_with(b"EHLO"));
            writer.write("250-mail.example\r\n250 STARTTLS\r\n");
            assert_eq!(reader.read_line().await?, "STARTTLS\r\n");
            writer.write("220 go ahead\r\n");
            accept_tls(&mut reader, &mut writer, &tls).await?;
            answer(reader, writer).await
        })
        .await?;
        for (version, name) in VERSIONS {
            let args = [version, "-starttls", "smtp"];
            let Some(mut client) = client(&files, server.local_addr()?, &args) else {
                return Ok(());
            };
            client.type_in("hello\n");
            let (_, text) = client.finish().await;
            assert!(text.contains("you said hello"), "{text}");
            assert!(text.contains(name), "{text}");
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn our_client_trusts_its_server_and_resumes() {
    let files = Files::new();
    for (version, name) in VERSIONS {
        let Some((_server, address)) = server(&files, &[version]) else { return };
        let client = files.authority.client();
        for resumes in [false, true] {
            let info = run(turn(address, &client)).unwrap();
            assert_eq!((info.version(), info.is_resumed()), (name, resumes));
        }
    }
}

#[test]
fn our_client_gets_the_protocol_and_the_certificate_that_it_asks_for() {
    let files = Files::new();
    let (chain, key) = files.sign("other.example");
    let second = ["-servername", "other.example", "-cert2", &chain, "-key2", &key];
    let roots = files.roots();
    let asks = ["-Verify", "1", "-CAfile", &roots, "-verify_return_error", "-alpn", "http/1.1"];
    for (version, _) in VERSIONS {
        let args = [&[version][..], &second, &asks].concat();
        let Some((_server, address)) = server(&files, &args) else { return };
        let builder = || {
            let roots = files.authority.pem();
            let client = TlsClient::builder().roots_pem(roots.as_bytes()).unwrap();
            client.alpn(["h2", "http/1.1"])
        };
        let known = builder().identity(files.authority.sign(&["a client"])).build().unwrap();
        let info = run(turn(address, &known)).unwrap();
        assert_eq!(info.alpn_protocol(), Some(&b"http/1.1"[..]));
        // `s_server` selects no protocol under its second name.
        run(turn(address, &known.with_server_name("other.example").unwrap())).unwrap();
        assert!(
            run(turn(address, &builder().build().unwrap())).is_err(),
            "refused without a certificate"
        );
    }
}
