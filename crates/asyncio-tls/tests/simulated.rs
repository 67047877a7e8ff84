//! TLS between hosts of a simulated network.

mod common;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
use asyncio_task::{create_task, running_loop, sleep, timeout};
use asyncio_testing::{Network, Simulation};
use asyncio_tls::TlsServer;
use common::Authority;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(&line);
        writer.drain().await?;
    }
    writer.close().await
}

/// A network with a host `server` that echoes by TLS.
fn network(authority: &Authority) -> Network {
    let net = Network::new();
    net.links().latency(Duration::from_millis(10)).spread(Duration::ZERO);
    let tls = TlsServer::builder().identity(authority.sign(&["server"])).build().unwrap();
    net.host("server", async move || {
        start_server(":443", echo).tls(&tls).await?.serve_forever().await
    });
    net
}

#[test]
fn a_handshake_and_a_message_take_the_round_trips_that_they_need() {
    let authority = Authority::new();
    let body = async || {
        let _net = network(&authority);
        let (mut reader, writer) = open_connection("server:443").tls(&authority.client()).await?;
        assert_eq!(writer.peer_addr()?.to_string(), "10.0.0.2:443");
        // One for the connection, one for TLS 1.3.
        assert_eq!(running_loop().time().as_secs_f64(), 0.040);
        writer.write("hello\n");
        assert_eq!(reader.read_line().await?, "hello\n");
        assert_eq!(running_loop().time().as_secs_f64(), 0.060);
        writer.close().await?;
        assert_eq!(reader.read(1).await?, "");
        io::Result::Ok(())
    };
    Simulation::new().seeds(10).run(body).unwrap();
}

#[test]
fn the_name_of_the_host_is_checked() {
    let authority = Authority::new();
    Simulation::new().seeds(4).allow_reports(true).run(async || {
        let net = network(&authority);
        let tls = TlsServer::builder().identity(authority.sign(&["other"])).build().unwrap();
        net.host("liar", async move || {
            start_server(":443", echo).tls(&tls).await?.serve_forever().await
        });
        let error = open_connection("liar:443").tls(&authority.client()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    });
}

#[test]
fn a_handshake_outlives_a_partition_and_losses() {
    let authority = Authority::new();
    let body = async || {
        let net = Rc::new(network(&authority));
        net.links().loss(0.05);
        let there = Rc::clone(&net);
        create_task(async move {
            // The first TLS message is in transit.
            sleep(Duration::from_millis(25)).await;
            there.isolate("server");
            sleep(Duration::from_secs(3)).await;
            there.heal();
        });
        let (mut reader, writer) = open_connection("server:443").tls(&authority.client()).await?;
        writer.write("hello\n");
        assert_eq!(reader.read_line().await?, "hello\n");
        assert!(running_loop().time().as_secs_f64() > 3.0);
        writer.close().await
    };
    Simulation::new().seeds(20).run(body).unwrap();
}

#[test]
fn a_handshake_with_nobody_there_any_more_ends() {
    let authority = Authority::new();
    Simulation::new().seeds(10).run(async || {
        let net = network(&authority);
        let client = authority.client();
        let opening = create_task(async move {
            let opening = open_connection("server:443").tls(&client);
            timeout(Duration::from_secs(2000), opening).await
        });
        sleep(Duration::from_millis(25)).await;
        net.isolate("server");
        let error =
            opening.await.unwrap().expect("the handshake's own timeout is shorter").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}
