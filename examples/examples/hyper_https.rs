//! HTTPS by hyper and asyncio-tls: a server for HTTP/1.1 and HTTP/2, and clients for both.
//!
//! ```text
//! cargo run -p asyncio-examples --features http,tls --example hyper_https
//! cargo run -p asyncio-examples --features http,tls --example hyper_https 127.0.0.1:8443 CHAIN KEY
//! ```
//!
//! Without an address it runs its own client; with one it serves until Ctrl-C.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::Duration;

use asyncio::tls::{Identity, TlsClient, TlsInfo, TlsServer};
use asyncio::{
    Server, StreamReader, StreamWriter, create_task, ctrl_c, open_connection, start_server, timeout,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};

/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs hyper's HTTP/2 tasks.
#[derive(Clone, Copy)]
struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        drop(create_task(future));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("{} by {:?}\n", request.uri().path(), request.version());
    Ok(Response::new(Full::from(text)))
}

/// Serves one client after its handshake. The agreed protocol tells which version of HTTP it uses.
async fn serve(reader: StreamReader, writer: StreamWriter) -> hyper::Result<()> {
    let is_http2 = speaks_http2(&writer);
    let io = reader.join(writer);
    if is_http2 {
        server::conn::http2::Builder::new(Tasks).serve_connection(io, service_fn(answer)).await
    } else {
        server::conn::http1::Builder::new().serve_connection(io, service_fn(answer)).await
    }
}

fn speaks_http2(writer: &StreamWriter) -> bool {
    writer.extra::<TlsInfo>().is_some_and(|info| info.alpn_protocol() == Some(b"h2"))
}

async fn start(address: &str, tls: &TlsServer) -> io::Result<Server> {
    start_server(address, serve).tls(&tls.with_alpn(["h2", "http/1.1"])).await
}

/// Requests the text at a path, with the protocol that the server and `tls` agree on.
async fn get(address: (&str, u16), tls: &TlsClient, path: &str) -> Result<String, Box<dyn Error>> {
    let (reader, writer) = open_connection(address).tls(tls).await?;
    let is_http2 = speaks_http2(&writer);
    let io = reader.join(writer);
    let request = Request::get(format!("https://{}{path}", address.0))
        .header("host", address.0)
        .body(Full::<Bytes>::default())?;
    // A task of its own drives the connection. It ends when the sender is dropped.
    let response = if is_http2 {
        let (mut sender, connection) = client::conn::http2::handshake(Tasks, io).await?;
        create_task(connection);
        timeout(TIMEOUT, sender.send_request(request)).await??
    } else {
        let (mut sender, connection) = client::conn::http1::handshake(io).await?;
        create_task(connection);
        timeout(TIMEOUT, sender.send_request(request)).await??
    };
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [address, chain, key] = &arguments[..] {
        let server = start(address, &TlsServer::from_pem_files(chain, key)?).await?;
        println!("serving on {}", server.local_addr()?);
        ctrl_c().await?;
        server.shutdown(TIMEOUT).await;
        return Ok(());
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes())?;
    let server = start("127.0.0.1:0", &TlsServer::builder().identity(identity).build()?).await?;

    let address = ("localhost", server.local_addr()?.port());
    let tls = TlsClient::builder().roots_pem(chain.as_bytes())?.build()?;
    let old = get(address, &tls.with_alpn(["http/1.1"]), "/news").await?;
    let new = get(address, &tls.with_alpn(["h2", "http/1.1"]), "/news").await?;
    print!("{old}{new}");
    assert_eq!((&*old, &*new), ("/news by HTTP/1.1\n", "/news by HTTP/2.0\n"));
    Ok(())
}
