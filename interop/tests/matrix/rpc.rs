//! hyper without a server of ours, and gRPC.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use asyncio::http::rt::{LoopExecutor, LoopTimer};
use asyncio::http::serve;
use asyncio::{JoinedStream, Task, create_task, open_connection, start_server};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::health_reporter;
use tower::util::ThenLayer;

use crate::row::{Gate, InUse, Outcome, Row, until};
use crate::web::GRACE;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            &["hyper"],
            "HTTP/1, server and client, over our streams",
            async || hyper_natural(Http::One).await,
            async || hyper_cancelled(Http::One).await,
            async || hyper_shutdown(Http::One).await,
        )
        .note("streams have `hyper::rt`'s traits"),
        Row::new(
            &["hyper", "h2"],
            "HTTP/2, server and client, over our streams",
            async || hyper_natural(Http::Two).await,
            async || hyper_cancelled(Http::Two).await,
            async || hyper_shutdown(Http::Two).await,
        )
        .note("`http::rt::{LoopExecutor, LoopTimer}`"),
        Row::new(
            &["tonic"],
            "`Server` and `Channel`",
            tonic_natural,
            tonic_cancelled,
            tonic_shutdown,
        ),
        Row::new(
            &["tonic", "hyper"],
            "services under `http::serve`, clients over hyper's HTTP/2",
            grpc_natural,
            grpc_cancelled,
            grpc_shutdown,
        )
        .note("a `tower::Service` of ten lines around hyper's sender"),
    ]
}

// hyper.

#[derive(Clone, Copy, PartialEq)]
enum Http {
    One,
    Two,
}

/// The server's response to a path: `/waits` waits at the gate, `/forever` never ends, others end
/// at once.
#[derive(Clone)]
struct Site {
    in_use: InUse,
    gate: Gate,
}

impl Site {
    fn new() -> Self {
        Self { in_use: InUse::default(), gate: Gate::new() }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let _used = self.in_use.enter();
        match request.uri().path() {
            "/waits" => self.gate.pass().await,
            "/forever" => std::future::pending().await,
            _ => {}
        }
        Ok(Response::new(Full::from(request.uri().path().to_owned())))
    }

    async fn serve(&self, http: Http, io: JoinedStream) -> hyper::Result<()> {
        let site = self.clone();
        let service = service_fn(move |request| {
            let site = site.clone();
            async move { site.answer(request).await }
        });
        match http {
            Http::One => {
                let mut builder = server::conn::http1::Builder::new();
                builder.timer(LoopTimer).serve_connection(io, service).await
            }
            Http::Two => {
                let mut builder = server::conn::http2::Builder::new(LoopExecutor);
                builder.timer(LoopTimer).serve_connection(io, service).await
            }
        }
    }
}

async fn listen(site: &Site, http: Http) -> Outcome<(asyncio::Server, SocketAddr)> {
    let site = site.clone();
    let server = start_server("127.0.0.1:0", async move |reader, writer| {
        let reader: asyncio::StreamReader = reader;
        // The cancelled requests are those of clients that disconnect.
        let _ = site.serve(http, reader.join(writer)).await;
    })
    .await?;
    let address = server.local_addr()?;
    Ok((server, address))
}

enum Sender {
    One(client::conn::http1::SendRequest<Full<Bytes>>),
    Two(client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn connect(http: Http, address: SocketAddr) -> Outcome<(Self, Task<hyper::Result<()>>)> {
        let (reader, writer) = open_connection(address).await?;
        let io = reader.join(writer);
        match http {
            Http::One => {
                let (sender, connection) = client::conn::http1::handshake(io).await?;
                Ok((Self::One(sender), create_task(connection)))
            }
            Http::Two => {
                let (sender, connection) = client::conn::http2::handshake(LoopExecutor, io).await?;
                Ok((Self::Two(sender), create_task(connection)))
            }
        }
    }

    async fn ask(&mut self, path: &str) -> hyper::Result<Bytes> {
        let uri = format!("http://localhost{path}");
        let request = Request::get(uri).header("host", "localhost").body(Full::default());
        let request = request.expect("a request");
        let answer = match self {
            Self::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        Ok(answer.into_body().collect().await?.to_bytes())
    }
}

async fn hyper_natural(http: Http) -> Outcome {
    let (server, address) = listen(&Site::new(), http).await?;
    let (mut sender, connection) = Sender::connect(http, address).await?;
    for path in ["/one", "/two", "/three"] {
        assert_eq!(sender.ask(path).await?, path);
    }
    drop(sender);
    connection.await??;
    server.shutdown(GRACE).await;
    Ok(())
}

async fn hyper_cancelled(http: Http) -> Outcome {
    let site = Site::new();
    let (server, address) = listen(&site, http).await?;
    let (mut sender, connection) = Sender::connect(http, address).await?;
    let again = match &sender {
        Sender::Two(sender) => Some(Sender::Two(sender.clone())),
        Sender::One(_) => None,
    };
    let asking = create_task(async move { sender.ask("/forever").await });
    until(async || Ok(site.in_use.count() == 1)).await?;
    asking.cancel();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()));
    // A cancelled HTTP/2 request resets its stream; HTTP/1 has to close the connection.
    until(async || Ok(site.in_use.count() == 0)).await?;
    if let Some(mut again) = again {
        assert_eq!(again.ask("/next").await?, "/next");
    }
    let _ = connection.await?;
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

async fn hyper_shutdown(http: Http) -> Outcome {
    let site = Site::new();
    let (server, address) = listen(&site, http).await?;
    let (mut sender, connection) = Sender::connect(http, address).await?;
    let asking = create_task(async move { sender.ask("/waits").await });
    site.gate.has_one().await;
    server.close();
    site.gate.open();
    assert_eq!(asking.await??, "/waits");
    let _ = connection.await?;
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

// gRPC. The service is `tonic-health`, whose code is generated already: one call with a single
// answer, and one with a stream of answers.

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

/// The gate at which answers wait, if there is one.
macro_rules! wait_at {
    ($gate:expr) => {{
        let gate: Option<Gate> = $gate;
        ThenLayer::new(move |answer| {
            let gate = gate.clone();
            async move {
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                answer
            }
        })
    }};
}

type Serving =
    (Endpoint, tokio::sync::oneshot::Sender<()>, Task<Result<(), tonic::transport::Error>>);

async fn start_tonic(
    gate: Option<Gate>,
) -> Outcome<(tonic_health::server::HealthReporter, Serving)> {
    let (reporter, service) = health_reporter();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let endpoint = Endpoint::from_shared(format!("http://{}", incoming.local_addr()?))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = Server::builder().layer(wait_at!(gate)).add_service(service);
    let ending = async { stopped.await.unwrap_or_default() };
    let serving = create_task(serving.serve_with_incoming_shutdown(incoming, ending));
    Ok((reporter, (endpoint, stop, serving)))
}

/// A client watches a service whose state changes.
macro_rules! watch_changes {
    ($reporter:expr, $client:expr) => {{
        let status = tonic_health::ServingStatus::NotServing;
        $reporter.set_service_status("pump", tonic_health::ServingStatus::Serving).await;
        let answer = $client.check(of("pump")).await?.into_inner();
        assert_eq!(answer.status, SERVING);
        let mut changes = $client.watch(of("pump")).await?.into_inner();
        assert_eq!(changes.message().await?.ok_or("an end")?.status, SERVING);
        $reporter.set_service_status("pump", status).await;
        assert_eq!(changes.message().await?.ok_or("an end")?.status, NOT_SERVING);
        assert_eq!(
            $client.check(of("none")).await.expect_err("there is none").code(),
            tonic::Code::NotFound
        );
    }};
}

/// A client is cancelled while it waits for a change; its channel serves other requests.
macro_rules! cancel_watching {
    ($client:expr) => {{
        let mut watching = $client.clone();
        let (first, has_first) = tokio::sync::oneshot::channel();
        let watching = create_task(async move {
            let mut changes = watching.watch(of("")).await?.into_inner();
            let _ = first.send(changes.message().await?.map(|answer| answer.status));
            changes.message().await.map(drop)
        });
        assert_eq!(has_first.await?, Some(SERVING));
        watching.cancel();
        assert!(watching.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!($client.check(of("")).await?.into_inner().status, SERVING);
    }};
}

async fn tonic_natural() -> Outcome {
    let (reporter, (endpoint, stop, serving)) = start_tonic(None).await?;
    let mut client = HealthClient::new(endpoint.connect().await?);
    watch_changes!(reporter, client);
    drop((client, stop));
    Ok(serving.await??)
}

async fn tonic_cancelled() -> Outcome {
    let (_reporter, (endpoint, stop, serving)) = start_tonic(None).await?;
    let mut client: HealthClient<Channel> = HealthClient::new(endpoint.connect().await?);
    cancel_watching!(client);
    drop((client, stop));
    Ok(serving.await??)
}

async fn tonic_shutdown() -> Outcome {
    let gate = Gate::new();
    let (_reporter, (endpoint, stop, serving)) = start_tonic(Some(gate.clone())).await?;
    let mut client = HealthClient::new(endpoint.connect().await?);
    let asking = create_task(async move { client.check(of("")).await });
    gate.has_one().await;
    drop(stop);
    asyncio::yield_now().await;
    gate.open();
    assert_eq!(asking.await??.into_inner().status, SERVING);
    Ok(serving.await??)
}

/// hyper's sender as a service that tonic's clients accept.
#[derive(Clone)]
struct OverHyper {
    sender: client::conn::http2::SendRequest<tonic::body::Body>,
    origin: String,
}

impl tower::Service<Request<tonic::body::Body>> for OverHyper {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, hyper::Result<Self::Response>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        let uri = format!("{}{}", self.origin, request.uri().path());
        *request.uri_mut() = uri.parse().expect("an address");
        Box::pin(self.sender.send_request(request))
    }
}

async fn connect_hyper(address: SocketAddr) -> Outcome<HealthClient<OverHyper>> {
    let (reader, writer) = open_connection(address).await?;
    let io = reader.join(writer);
    let (sender, connection) = client::conn::http2::handshake(LoopExecutor, io).await?;
    drop(create_task(connection));
    Ok(HealthClient::new(OverHyper { sender, origin: format!("http://{address}") }))
}

async fn grpc_natural() -> Outcome {
    let (reporter, service) = health_reporter();
    let router = Routes::new(service).prepare().into_axum_router();
    let server = serve("127.0.0.1:0", router).await?;
    let mut client = connect_hyper(server.local_addr()?).await?;
    watch_changes!(reporter, client);
    drop(client);
    server.shutdown(GRACE).await;
    Ok(())
}

async fn grpc_cancelled() -> Outcome {
    let (_reporter, service) = health_reporter();
    let router = Routes::new(service).prepare().into_axum_router();
    let server = serve("127.0.0.1:0", router).await?;
    let mut client = connect_hyper(server.local_addr()?).await?;
    cancel_watching!(client);
    drop(client);
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

async fn grpc_shutdown() -> Outcome {
    let gate = Gate::new();
    let (_reporter, service) = health_reporter();
    let router = Routes::new(service).prepare().into_axum_router();
    let server = serve("127.0.0.1:0", router.layer(wait_at!(Some(gate.clone())))).await?;
    let mut client = connect_hyper(server.local_addr()?).await?;
    let asking = create_task(async move { client.check(of("")).await });
    gate.has_one().await;
    let stopping = create_task(async move { server.shutdown(GRACE).await });
    asyncio::yield_now().await;
    gate.open();
    assert_eq!(asking.await??.into_inner().status, SERVING);
    Ok(stopping.await?)
}
