//! HTTP by hyper: a server that lets its clients finish when it shuts down, and a client.
//!
//! With the feature `hyper`, asyncio's streams implement the traits of `hyper::rt`, so hyper uses
//! them directly. `asyncio::http`, which `aiohttp_server` and `aiohttp_client` show, builds on
//! that.
//!
//! ```text
//! cargo run -p asyncio-examples --features http --example hyper_http
//! cargo run -p asyncio-examples --features http --example hyper_http 127.0.0.1:8888
//! ```
//!
//! Without an address it runs its own client; with one it serves until Ctrl-C.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{
    Event, StreamReader, StreamWriter, create_task, ctrl_c, open_connection, race, sleep,
    start_server, timeout,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};

/// How long clients may take to finish before they are disconnected.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The state that all connections share. They are tasks of one loop, so it needs no lock.
#[derive(Default)]
struct Site {
    visits: Cell<u32>,
    closing: Event,
}

impl Site {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        self.visits.set(self.visits.get() + 1);
        sleep(Duration::from_millis(10)).await; // asks a database
        let text = format!("visit {} of {}\n", self.visits.get(), request.uri().path());
        Ok(Response::new(Full::from(text)))
    }

    /// Serves the requests of one connection. When the site closes, requests in progress are
    /// finished.
    async fn serve(&self, reader: StreamReader, writer: StreamWriter) -> hyper::Result<()> {
        let io = reader.join(writer);
        let service = service_fn(|request| self.answer(request));
        let mut connection =
            pin!(server::conn::http1::Builder::new().serve_connection(io, service));
        let end = async { Some(connection.as_mut().await) };
        let closing = async {
            self.closing.wait().await;
            None
        };
        if let Some(result) = race((end, closing)).await {
            return result;
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}

/// Requests each path in turn, over one connection.
async fn visit(address: SocketAddr, paths: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    let (reader, writer) = open_connection(address).await?;
    let io = reader.join(writer);
    let (mut sender, connection) = client::conn::http1::handshake(io).await?;
    // This task drives the connection while other tasks use the sender.
    let connection = create_task(connection);
    let mut answers = Vec::new();
    for path in paths {
        let request =
            Request::get(*path).header("host", "localhost").body(Full::<Bytes>::default())?;
        let response = timeout(TIMEOUT, sender.send_request(request)).await??;
        let body = response.into_body().collect().await?.to_bytes();
        answers.push(String::from_utf8_lossy(&body).trim_end().to_owned());
    }
    connection.await??; // until the server closes
    Ok(answers)
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let site = Rc::new(Site::default());
    let address = std::env::args().nth(1);
    let server = start_server(address.as_deref().unwrap_or("127.0.0.1:0"), {
        let site = Rc::clone(&site);
        async move |reader, writer| site.serve(reader, writer).await
    })
    .await?;

    if address.is_some() {
        println!("serving on {}", server.local_addr()?);
        ctrl_c().await?;
        site.closing.set();
        server.shutdown(GRACE).await;
        return Ok(());
    }
    let visitor = create_task({
        let address = server.local_addr()?;
        async move { visit(address, &["/", "/news"]).await.map_err(|error| error.to_string()) }
    });
    while site.visits.get() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    // The second request is in progress and is still answered. The idle connection delays the
    // shutdown of no other.
    site.closing.set();
    server.shutdown(GRACE).await;
    let answers = visitor.await??;
    answers.iter().for_each(|answer| println!("{answer}"));
    assert_eq!(answers, ["visit 1 of /", "visit 2 of /news"]);
    Ok(())
}
