//! QUIC and HTTP/3.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use asyncio::quinn::LoopRuntime;
use asyncio::{Task, create_task, running_loop};
use bytes::{Buf, Bytes};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig};

use crate::row::{Gate, InUse, Outcome, Row, until};
use crate::streams::tls_configs;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            &["quinn"],
            "QUIC, server and client, by `Endpoint::new`",
            || quic_natural(endpoints),
            || quic_cancelled(endpoints),
            || quic_shutdown(endpoints),
        )
        .note("`quinn::LoopRuntime` of the feature `quinn` is its runtime"),
        Row::new(
            &["quinn"],
            "QUIC, by `Endpoint::server` and `Endpoint::client`",
            || quic_natural(tokios_endpoints),
            || quic_cancelled(tokios_endpoints),
            || quic_shutdown(tokios_endpoints),
        )
        .note("they look for tokio's runtime"),
        Row::new(
            &["h3", "h3-quinn"],
            "HTTP/3, server and client",
            h3_natural,
            h3_cancelled,
            h3_shutdown,
        )
        .note("over endpoints with `quinn::LoopRuntime`"),
    ]
}

/// A server, a client, and the server's address.
type Endpoints = Outcome<(Endpoint, Endpoint, SocketAddr)>;

fn configs(protocol: &[u8]) -> Outcome<(ServerConfig, ClientConfig)> {
    let (mut server, mut client) = tls_configs()?;
    server.alpn_protocols = vec![protocol.to_vec()];
    client.alpn_protocols = vec![protocol.to_vec()];
    let server = Arc::new(QuicServerConfig::try_from(server)?);
    let client = Arc::new(QuicClientConfig::try_from(client)?);
    Ok((ServerConfig::with_crypto(server), ClientConfig::new(client)))
}

/// Endpoints with this project's runtime.
fn endpoints(protocol: &[u8]) -> Endpoints {
    let (server_config, client_config) = configs(protocol)?;
    let runtime = Arc::new(LoopRuntime::new(&running_loop()));
    let new = |config| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        Endpoint::new(EndpointConfig::default(), config, socket, runtime.clone())
    };
    let (server, mut client) = (new(Some(server_config))?, new(None)?);
    client.set_default_client_config(client_config);
    let address = server.local_addr()?;
    Ok((server, client, address))
}

/// Endpoints with the runtime that quinn finds by itself.
fn tokios_endpoints(protocol: &[u8]) -> Endpoints {
    let (server_config, client_config) = configs(protocol)?;
    let server = Endpoint::server(server_config, "127.0.0.1:0".parse()?)?;
    let mut client = Endpoint::client("127.0.0.1:0".parse()?)?;
    client.set_default_client_config(client_config);
    let address = server.local_addr()?;
    Ok((server, client, address))
}

// QUIC: each stream is a request that is answered in capitals.

async fn answer(connection: Connection, in_use: InUse, gate: Option<Gate>) {
    while let Ok((mut sending, mut receiving)) = connection.accept_bi().await {
        let used = in_use.enter();
        let gate = gate.clone();
        drop(create_task(async move {
            let _used = used;
            let request = receiving.read_to_end(1024).await?;
            if let Some(gate) = gate {
                gate.pass().await;
            }
            sending.write_all(&request.to_ascii_uppercase()).await?;
            sending.finish()?;
            // Ending a stream does not mean that its bytes have arrived, so wait until the peer has
            // them all.
            sending.stopped().await?;
            Outcome::Ok(())
        }));
    }
}

fn serve_quic(server: &Endpoint, in_use: &InUse, gate: Option<Gate>) -> Task<()> {
    let (server, in_use) = (server.clone(), in_use.clone());
    create_task(async move {
        while let Some(incoming) = server.accept().await {
            if let Ok(connection) = incoming.await {
                drop(create_task(answer(connection, in_use.clone(), gate.clone())));
            }
        }
    })
}

async fn ask(connection: &Connection, text: &str) -> Outcome<Vec<u8>> {
    let (mut sending, mut receiving) = connection.open_bi().await?;
    sending.write_all(text.as_bytes()).await?;
    sending.finish()?;
    Ok(receiving.read_to_end(1024).await?)
}

/// Closes both endpoints, and waits for the server's tasks.
async fn end(server: Endpoint, client: Endpoint, serving: Task<()>) -> Outcome {
    client.close(0_u8.into(), b"done");
    client.wait_idle().await;
    server.close(0_u8.into(), b"done");
    server.wait_idle().await;
    Ok(serving.await?)
}

async fn quic_natural(endpoints: fn(&[u8]) -> Endpoints) -> Outcome {
    let (server, client, address) = endpoints(b"capitals")?;
    let serving = serve_quic(&server, &InUse::default(), None);
    let connection = client.connect(address, "localhost")?.await?;
    let asking = (0..20).map(|number| {
        let connection = connection.clone();
        create_task(async move { ask(&connection, &format!("text {number}")).await.ok() })
    });
    for (number, answer) in asyncio::gather(asking).await.into_iter().enumerate() {
        let expected = format!("TEXT {number}").into_bytes();
        assert_eq!(answer?, Some(expected));
    }
    end(server, client, serving).await
}

/// One stream ends in the middle; the connection serves the next one.
async fn quic_cancelled(endpoints: fn(&[u8]) -> Endpoints) -> Outcome {
    let (server, client, address) = endpoints(b"capitals")?;
    let in_use = InUse::default();
    let serving = serve_quic(&server, &in_use, None);
    let connection = client.connect(address, "localhost")?.await?;
    let asking = create_task({
        let connection = connection.clone();
        async move {
            let (mut sending, mut receiving) = connection.open_bi().await?;
            sending.write_all(b"a part").await?;
            // This request is never finished, so it gets no answer.
            receiving.read_to_end(1024).await?;
            Outcome::Ok(())
        }
    });
    until(async || Ok(in_use.count() == 1)).await?;
    asking.cancel();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()));
    // quinn finishes a stream that is dropped, so the server sees its end.
    assert_eq!(ask(&connection, "next").await?, b"NEXT");
    until(async || Ok(in_use.count() == 0)).await?;
    drop(connection);
    end(server, client, serving).await
}

async fn quic_shutdown(endpoints: fn(&[u8]) -> Endpoints) -> Outcome {
    let (server, client, address) = endpoints(b"capitals")?;
    let gate = Gate::new();
    let in_use = InUse::default();
    let serving = serve_quic(&server, &in_use, Some(gate.clone()));
    let connection = client.connect(address, "localhost")?.await?;
    let asking = create_task({
        let connection = connection.clone();
        async move { ask(&connection, "in flight").await.ok() }
    });
    gate.has_one().await;
    // The server accepts no more connections, and finishes this one.
    server.set_server_config(None);
    gate.open();
    assert_eq!(asking.await?.as_deref(), Some(&b"IN FLIGHT"[..]));
    until(async || Ok(in_use.count() == 0)).await?;
    end(server, client, serving).await
}

// HTTP/3: a request for a path is answered with the path.

async fn serve_h3(
    server: Endpoint,
    in_use: InUse,
    gate: Option<Gate>,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) -> Outcome {
    let incoming = server.accept().await.ok_or("no connection")?;
    let quic = h3_quinn::Connection::new(incoming.await?);
    let mut connection = h3::server::Connection::<_, Bytes>::new(quic).await?;
    let mut is_ending = false;
    loop {
        let resolver = tokio::select! {
            accepted = connection.accept() => match accepted {
                Ok(Some(resolver)) => resolver,
                // Ends at the end of the connection, or with an error if the client has gone.
                Ok(None) | Err(_) => return Ok(()),
            },
            _ = &mut stop, if !is_ending => {
                is_ending = true;
                connection.shutdown(0).await?;
                continue;
            }
        };
        let (used, gate) = (in_use.enter(), gate.clone());
        drop(create_task(async move {
            let _used = used;
            let (request, mut stream) = resolver.resolve_request().await?;
            let path = request.uri().path().to_owned();
            if path == "/forever" {
                // The client disconnects, so its stream ends.
                while stream.recv_data().await?.is_some() {}
                return Ok(());
            }
            if let Some(gate) = gate {
                gate.pass().await;
            }
            stream.send_response(hyper::Response::new(())).await?;
            stream.send_data(Bytes::from(path)).await?;
            stream.finish().await?;
            Outcome::Ok(())
        }));
    }
}

type H3Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

async fn ask_h3(sender: &mut H3Sender, path: &str) -> Outcome<Bytes> {
    let request = hyper::Request::get(format!("https://localhost{path}")).body(())?;
    let mut stream = sender.send_request(request).await?;
    stream.finish().await?;
    let answer = stream.recv_response().await?;
    assert_eq!(answer.status(), 200);
    let mut body = Vec::new();
    while let Some(mut piece) = stream.recv_data().await? {
        body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(body.into())
}

struct H3 {
    server: Endpoint,
    client: Endpoint,
    serving: Task<Outcome>,
    stop: tokio::sync::oneshot::Sender<()>,
    driving: Task<()>,
    sender: H3Sender,
}

async fn start_h3(in_use: &InUse, gate: Option<Gate>) -> Outcome<H3> {
    let (server, client, address) = endpoints(b"h3")?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let serving = create_task(serve_h3(server.clone(), in_use.clone(), gate, stopped));
    let quic = h3_quinn::Connection::new(client.connect(address, "localhost")?.await?);
    let (mut driver, sender) = h3::client::new(quic).await?;
    let driving = create_task(async move {
        driver.wait_idle().await;
    });
    Ok(H3 { server, client, serving, stop, driving, sender })
}

impl H3 {
    async fn end(self) -> Outcome {
        drop(self.sender);
        self.driving.await?;
        self.client.close(0_u8.into(), b"done");
        self.client.wait_idle().await;
        self.serving.await??;
        self.server.close(0_u8.into(), b"done");
        self.server.wait_idle().await;
        Ok(())
    }
}

async fn h3_natural() -> Outcome {
    let mut h3 = start_h3(&InUse::default(), None).await?;
    for path in ["/one", "/two", "/three"] {
        assert_eq!(ask_h3(&mut h3.sender, path).await?, path);
    }
    h3.end().await
}

async fn h3_cancelled() -> Outcome {
    let in_use = InUse::default();
    let mut h3 = start_h3(&in_use, None).await?;
    let mut sender = h3.sender.clone();
    let asking = create_task(async move {
        let request = hyper::Request::post("https://localhost/forever").body(())?;
        let mut stream = sender.send_request(request).await?;
        stream.recv_response().await?;
        Outcome::Ok(())
    });
    until(async || Ok(in_use.count() == 1)).await?;
    asking.cancel();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(ask_h3(&mut h3.sender, "/next").await?, "/next");
    until(async || Ok(in_use.count() == 0)).await?;
    h3.end().await
}

async fn h3_shutdown() -> Outcome {
    let gate = Gate::new();
    let mut h3 = start_h3(&InUse::default(), Some(gate.clone())).await?;
    let mut sender = h3.sender.clone();
    let asking = create_task(async move { ask_h3(&mut sender, "/late").await.ok() });
    gate.has_one().await;
    let (never, _) = tokio::sync::oneshot::channel();
    let _ = std::mem::replace(&mut h3.stop, never).send(());
    asyncio::yield_now().await;
    gate.open();
    assert_eq!(asking.await?, Some(Bytes::from("/late")));
    h3.end().await
}
