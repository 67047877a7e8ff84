//! HTTPS, on both sides.
#![cfg(feature = "tls")]

mod common;

use std::time::Duration;

use asyncio_http::{App, ClientSession, HttpServer, Peer, serve};
use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
use asyncio_task::{gather, race};
use asyncio_tls::{Identity, TlsClient, TlsServer};
use common::{TestResult, run};
use http::Version;

/// A server for `localhost`, and a client that trusts it.
fn tls() -> TestResult<(TlsServer, TlsClient)> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let chain = made.cert.pem();
    let identity =
        Identity::from_pem(chain.as_bytes(), made.signing_key.serialize_pem().as_bytes())?;
    let server = TlsServer::builder().identity(identity).build()?;
    let client = TlsClient::builder().roots_pem(chain.as_bytes())?.build()?;
    Ok((server, client))
}

async fn start(tls: &TlsServer) -> TestResult<(HttpServer, String)> {
    let app = App::new().get("/", async |peer: Peer| {
        asyncio_task::sleep(Duration::from_millis(1)).await;
        format!("{}", peer.is_tls())
    });
    let server = serve("127.0.0.1:0", app).tls(tls).await?;
    let url = format!("https://localhost:{}/", server.local_addr()?.port());
    Ok((server, url))
}

#[test]
fn http2_is_agreed_on_and_one_connection_serves_all() {
    run(async || {
        let (server, client) = tls()?;
        let (server, url) = start(&server).await?;
        let session = ClientSession::builder().tls(&client).build()?;
        for answer in gather((0..20).map(|_| session.get(&url))).await {
            let answer = answer?;
            assert_eq!(answer.version(), Version::HTTP_2);
            assert_eq!(answer.text().await?, "true");
        }
        assert_eq!((session.connection_count(), server.client_count()), (1, 1));
        server.shutdown(Duration::from_secs(300)).await;
        Ok(())
    });
}

#[test]
fn http1_is_spoken_if_one_side_wants_it() {
    run(async || {
        let (server, client) = tls()?;
        let (old_server, url) = start(&server.with_alpn(["http/1.1"])).await?;
        let session = ClientSession::builder().tls(&client).limit_per_host(3).build()?;
        let get = async |_| {
            let answer = session.get(&url).await?;
            assert_eq!(answer.version(), Version::HTTP_11);
            answer.text().await
        };
        for text in gather((0..10).map(get)).await {
            assert_eq!(text?, "true");
        }
        assert!(session.connection_count() <= 3);
        old_server.shutdown(Duration::from_secs(300)).await;
        let (new_server, url) = start(&server).await?;
        let session = ClientSession::builder().tls(&client).http2(false).build()?;
        assert_eq!(session.get(&url).await?.version(), Version::HTTP_11);
        new_server.shutdown(Duration::from_secs(300)).await;
        Ok(())
    });
}

#[test]
fn a_certificate_that_nobody_has_signed_is_no_connection() {
    run(async || {
        let ((server, _), (_, stranger)) = (tls()?, tls()?);
        let (server, url) = start(&server).await?;
        let session = ClientSession::builder().tls(&stranger).build()?;
        let error = session.get(&url).await.unwrap_err();
        assert!(error.is_connect(), "{error}");
        assert_eq!(session.connection_count(), 0);
        // A client that speaks plain HTTP is refused, and does the server no harm.
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        writer.write("GET / HTTP/1.1\r\n\r\n");
        reader.read_to_end().await?;
        server.shutdown(Duration::from_secs(300)).await;
        Ok(())
    });
}

#[test]
fn a_tunnel_of_a_proxy_carries_https() {
    run(async || {
        let (server, client) = tls()?;
        let (server, url) = start(&server).await?;
        let target = server.local_addr()?;
        let proxy = start_server(
            "127.0.0.1:0",
            async move |mut reader: StreamReader, writer: StreamWriter| {
                let first = reader.read_line().await?;
                assert!(first.starts_with(b"CONNECT localhost:"), "{first:?}");
                while reader.read_line().await? != "\r\n" {}
                writer.write("HTTP/1.1 200 Connection established\r\n\r\n");
                let (mut far_reader, far_writer) = open_connection(target).await?;
                let forth = async {
                    while let Some(bytes) =
                        Some(reader.read(10_000).await?).filter(|b| !b.is_empty())
                    {
                        far_writer.write(&bytes);
                    }
                    std::io::Result::Ok(())
                };
                let back = async {
                    while let Some(bytes) =
                        Some(far_reader.read(10_000).await?).filter(|b| !b.is_empty())
                    {
                        writer.write(&bytes);
                    }
                    std::io::Result::Ok(())
                };
                race((forth, back)).await
            },
        )
        .await?;
        let proxy_url = format!("http://{}", proxy.local_addr()?);
        let session = ClientSession::builder().tls(&client).proxy(&proxy_url).build()?;
        for answer in gather([session.get(&url), session.get(&url)]).await {
            let answer = answer?;
            assert_eq!(answer.version(), Version::HTTP_2);
            assert_eq!(answer.text().await?, "true");
        }
        assert_eq!(proxy.client_count(), 1);
        session.close();
        server.shutdown(Duration::from_secs(300)).await;
        Ok(())
    });
}

#[cfg(feature = "websocket")]
#[test]
fn a_web_socket_over_tls_speaks_http1() {
    run(async || {
        let (server, client) = tls()?;
        let app =
            App::new().get("/", async |upgrade: asyncio_http::websocket::WebSocketUpgrade| {
                upgrade.on_upgrade(async |socket| {
                    while let Some(message) = socket.receive().await? {
                        socket.send(message).await?;
                    }
                    std::io::Result::Ok(())
                })
            });
        let server = serve("127.0.0.1:0", app).tls(&server).await?;
        let url = format!("wss://localhost:{}/", server.local_addr()?.port());
        let session = ClientSession::builder().tls(&client).build()?;
        let socket = session.ws_connect(url).await?;
        socket.send("hello").await?;
        assert_eq!(socket.receive().await?.unwrap().as_text(), Some("hello"));
        socket.close(1000, "").await?;
        server.shutdown(Duration::from_secs(300)).await;
        Ok(())
    });
}
