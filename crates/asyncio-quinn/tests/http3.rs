//! HTTP/3 by the crate h3, over endpoints of the loop.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use asyncio_quinn::LoopRuntime;
use asyncio_task::{Task, create_task, gather, run, running_loop, yield_now};
use bytes::{Buf, Bytes};
use common::{Outcome, bind, tls_configs};
use h3::client::SendRequest;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig};

fn endpoints() -> Outcome<(Endpoint, Endpoint)> {
    let (mut server, mut client) = tls_configs()?;
    server.alpn_protocols = vec![b"h3".to_vec()];
    client.alpn_protocols = vec![b"h3".to_vec()];
    let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    let client_config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
    let runtime = Arc::new(LoopRuntime::new(&running_loop()));
    let new = |config| Endpoint::new(EndpointConfig::default(), config, bind(), runtime.clone());
    let (server, mut client) = (new(Some(server))?, new(None)?);
    client.set_default_client_config(client_config);
    Ok((server, client))
}

/// Answers each request with its path; a request for `/forever` is answered when the client has
/// gone.
fn serve(server: Endpoint, in_use: Rc<Cell<u32>>) -> Task<Outcome> {
    create_task(async move {
        let incoming = server.accept().await.ok_or("no connection")?;
        let quic = h3_quinn::Connection::new(incoming.await?);
        let mut connection = h3::server::Connection::<_, Bytes>::new(quic).await?;
        // Ends at the end of the connection, or with an error if the client has gone.
        while let Ok(Some(resolver)) = connection.accept().await {
            let in_use = Rc::clone(&in_use);
            drop(create_task(async move {
                let (request, mut stream) = resolver.resolve_request().await?;
                let path = request.uri().path().to_owned();
                if path == "/forever" {
                    in_use.set(in_use.get() + 1);
                    while let Ok(Some(_)) = stream.recv_data().await {}
                    in_use.set(in_use.get() - 1);
                    return Ok(());
                }
                stream.send_response(http::Response::new(())).await?;
                stream.send_data(Bytes::from(path)).await?;
                stream.finish().await?;
                Outcome::Ok(())
            }));
        }
        Ok(())
    })
}

async fn ask(
    mut sender: SendRequest<h3_quinn::OpenStreams, Bytes>,
    path: &str,
) -> Outcome<Vec<u8>> {
    let request = http::Request::get(format!("https://localhost{path}")).body(())?;
    let mut stream = sender.send_request(request).await?;
    if path != "/forever" {
        stream.finish().await?;
    }
    assert_eq!(stream.recv_response().await?.status(), 200);
    let mut body = Vec::new();
    while let Some(mut piece) = stream.recv_data().await? {
        body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(body)
}

#[test]
fn requests_are_answered_side_by_side_and_a_cancelled_one_ends_alone() -> Outcome {
    run(async {
        let (server, client) = endpoints()?;
        let in_use = Rc::new(Cell::new(0));
        let serving = serve(server.clone(), Rc::clone(&in_use));
        let connecting = client.connect(server.local_addr()?, "localhost")?;
        let quic = h3_quinn::Connection::new(connecting.await?);
        let (mut driver, sender) = h3::client::new(quic).await?;
        let driving = create_task(async move { driver.wait_idle().await });

        let paths: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();
        let asking = paths.iter().map(|path| ask(sender.clone(), path));
        for (path, answer) in paths.iter().zip(gather(asking).await) {
            assert_eq!(answer?, path.as_bytes());
        }

        let forever = create_task({
            let sender = sender.clone();
            async move { ask(sender, "/forever").await.is_ok() }
        });
        while in_use.get() == 0 {
            yield_now().await;
        }
        forever.cancel();
        assert!(forever.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(ask(sender.clone(), "/next").await?, b"/next");
        while in_use.get() > 0 {
            yield_now().await;
        }

        drop(sender);
        drop(driving.await?);
        client.close(0_u8.into(), b"done");
        client.wait_idle().await;
        serving.await??;
        server.close(0_u8.into(), b"done");
        server.wait_idle().await;
        Ok(())
    })
}
