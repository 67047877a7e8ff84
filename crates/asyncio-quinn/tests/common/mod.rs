//! Endpoints over loopback, and a socket that loses datagrams.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::error::Error;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use asyncio_quinn::LoopRuntime;
use asyncio_task::{Task, create_task, running_loop};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, Endpoint, EndpointConfig, Runtime, ServerConfig,
    UdpPoller,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A socket that loses each `every`-th datagram; none for 0.
#[derive(Debug)]
pub struct Lossy {
    socket: Arc<dyn AsyncUdpSocket>,
    every: usize,
    sent: AtomicUsize,
    pub lost: AtomicUsize,
}

impl AsyncUdpSocket for Lossy {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        if self.every > 0 && number % self.every == 0 {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

pub struct Pair {
    pub server: Endpoint,
    pub client: Endpoint,
    pub address: SocketAddr,
    /// The socket of the client.
    pub lossy: Arc<Lossy>,
}

pub fn bind() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// A server for `localhost`, and a client that trusts it.
pub fn tls_configs() -> Outcome<(rustls::ServerConfig, rustls::ClientConfig)> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(cert)], key.into())?;
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((server, client))
}

/// A server, and a client that loses each `every`-th datagram that it sends.
pub fn endpoints(every: usize) -> Outcome<Pair> {
    let (server, client) = tls_configs()?;
    let server_config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    let client_config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));

    let runtime = Arc::new(LoopRuntime::new(&running_loop()));
    let config = EndpointConfig::default;
    let server = Endpoint::new(config(), Some(server_config), bind(), runtime.clone())?;
    let socket = runtime.wrap_udp_socket(bind())?;
    let lossy =
        Arc::new(Lossy { socket, every, sent: AtomicUsize::new(0), lost: AtomicUsize::new(0) });
    let mut client = Endpoint::new_with_abstract_socket(config(), None, lossy.clone(), runtime)?;
    client.set_default_client_config(client_config);
    let address = server.local_addr()?;
    Ok(Pair { server, client, address, lossy })
}

/// Echoes each stream.
pub fn serve(server: &Endpoint) -> Task<()> {
    let server = server.clone();
    create_task(async move {
        while let Some(incoming) = server.accept().await {
            if let Ok(connection) = incoming.await {
                drop(create_task(echo(connection)));
            }
        }
    })
}

async fn echo(connection: Connection) {
    while let Ok((mut sending, mut receiving)) = connection.accept_bi().await {
        drop(create_task(async move {
            while let Some(piece) = receiving.read_chunk(64 * 1024, true).await? {
                sending.write_chunk(piece.bytes).await?;
            }
            sending.finish()?;
            sending.stopped().await?;
            Outcome::Ok(())
        }));
    }
}

/// Sends these bytes on a new stream, and receives the echo at the same time.
pub async fn round_trip(connection: &Connection, bytes: &[u8]) -> Outcome<Vec<u8>> {
    let (mut sending, mut receiving) = connection.open_bi().await?;
    let send = async {
        sending.write_all(bytes).await?;
        sending.finish()?;
        Outcome::Ok(())
    };
    let receive = async { Ok(receiving.read_to_end(bytes.len()).await?) };
    let (sent, received) = asyncio_task::gather((send, receive)).await;
    sent?;
    received
}

/// Bytes that depend on their position.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 251 + index) as u8).collect()
}

pub async fn end(pair: Pair, serving: Task<()>) -> Outcome {
    pair.client.close(0_u8.into(), b"done");
    pair.client.wait_idle().await;
    pair.server.close(0_u8.into(), b"done");
    pair.server.wait_idle().await;
    Ok(serving.await?)
}
