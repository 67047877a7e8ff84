//! Servers and clients of HTTP/1: axum, tower-http, tracing, reqwest.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asyncio::http::websocket::WebSocketUpgrade;
use asyncio::http::{ClientSession, HttpServer, local, local_stream, serve};
use asyncio::{create_task, open_connection, sleep};
use axum::extract::{Query, Request, ws};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing::{Instrument, info, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::row::{Gate, InUse, Outcome, Row, until};

pub(crate) const GRACE: Duration = Duration::from_secs(30);
const FOREVER: Duration = Duration::from_secs(3600);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            &["axum"],
            "`http::serve`: JSON, queries, SSE, upgrades, web sockets",
            axum_natural,
            axum_cancelled,
            axum_shutdown,
        )
        .note("`http::websocket::WebSocketUpgrade`; `local` around what is not `Send`"),
        Row::new(
            &["axum"],
            "`http::serve`, with axum's `WebSocketUpgrade`",
            ws_natural,
            ws_cancelled,
            ws_shutdown,
        )
        .note("it calls `tokio::spawn`"),
        Row::new(&["axum"], "`axum::serve`", served_natural, served_cancelled, served_shutdown)
            .note("its listener is tokio's"),
        Row::new(
            &["tower-http", "tower"],
            "`TraceLayer` under `http::serve`",
            trace_natural,
            trace_cancelled,
            trace_shutdown,
        ),
        Row::new(
            &["tower-http"],
            "`TimeoutLayer` under `http::serve`",
            limit_natural,
            limit_cancelled,
            limit_shutdown,
        )
        .note("its clock is tokio's; alone, use `asyncio::timeout`"),
        Row::new(
            &["tracing", "tracing-subscriber"],
            "spans of tasks, by `instrument`",
            spans_natural,
            spans_cancelled,
            spans_shutdown,
        ),
        Row::new(
            &["reqwest"],
            "client: JSON, streamed bodies",
            reqwest_natural,
            reqwest_cancelled,
            reqwest_shutdown,
        )
        .note("alone, use `http::ClientSession`"),
    ]
}

pub(crate) async fn start(router: Router) -> Outcome<(HttpServer, String)> {
    let server = serve("127.0.0.1:0", router).await?;
    let url = format!("http://{}", server.local_addr()?);
    Ok((server, url))
}

/// Pages that take long, and one that does not.
fn slow_router(in_use: &InUse, gate: &Gate) -> Router {
    let (in_use, gate) = (in_use.clone(), gate.clone());
    let waits = async move || {
        gate.pass().await;
        "late, but whole"
    };
    let forever = async move || {
        let _used = in_use.enter();
        local(sleep(FOREVER)).await;
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/waits", get(waits))
        .route("/forever", get(forever))
        .route("/pieces", get(pieces))
}

/// A response with one piece at once, and the next one after an hour.
async fn pieces() -> impl IntoResponse {
    local_stream(stream::iter([0, 3600]).then(async |seconds| {
        sleep(Duration::from_secs(seconds)).await;
        io::Result::Ok("piece")
    }))
}

// axum on our server.

async fn events() -> impl IntoResponse {
    let event = |number: i32| Ok::<_, Infallible>(Event::default().data(number.to_string()));
    Sse::new(stream::iter(1..4).map(event))
}

/// An upgraded protocol that sends received bytes back in capitals.
async fn capitals(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    drop(create_task(async move {
        let mut stream = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
        let mut buffer = [0; 64];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return io::Result::Ok(());
            }
            stream.write_all(&buffer[..count].to_ascii_uppercase()).await?;
        }
    }));
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "capitals")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        while let Some(message) = socket.receive().await? {
            socket.send(message).await?;
        }
        io::Result::Ok(())
    })
}

async fn search(Query(query): Query<HashMap<String, String>>) -> String {
    query["word"].clone()
}

async fn axum_natural() -> Outcome {
    let router = Router::new()
        .route(
            "/sum",
            post(async |Json(numbers): Json<Vec<u32>>| Json(numbers.iter().sum::<u32>())),
        )
        .route("/search", get(search))
        .route("/events", get(events))
        .route("/capitals", get(capitals))
        .route("/echo", get(echo));
    let (server, url) = start(router).await?;
    let session = ClientSession::new();
    let sum: u32 = session.post(format!("{url}/sum")).json(&[1, 2, 3]).await?.json().await?;
    assert_eq!(sum, 6);
    let found = session.get(format!("{url}/search")).query(&[("word", "a b")]).await?;
    assert_eq!(found.text().await?, "a b");
    let events = session.get(format!("{url}/events")).await?;
    assert_eq!(events.text().await?, "data: 1\n\ndata: 2\n\ndata: 3\n\n");

    let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    let head = "host: localhost\r\nconnection: upgrade\r\nupgrade: capitals";
    writer.write(format!("GET /capitals HTTP/1.1\r\n{head}\r\n\r\n"));
    let head = reader.read_until(b"\r\n\r\n").await?;
    assert!(head.starts_with(b"HTTP/1.1 101"), "{head:?}");
    writer.write("hello");
    assert_eq!(reader.read_exactly(5).await?, "HELLO");
    writer.close();
    writer.wait_closed().await?;

    let socket = session.ws_connect(format!("{url}/echo")).await?;
    socket.send("hello").await?;
    let answer = socket.receive().await?.ok_or("no answer")?;
    assert_eq!(answer.as_text(), Some("hello"));
    socket.close(1000, "").await?;
    server.shutdown(GRACE).await;
    Ok(())
}

/// The client disconnects while its request is handled: the handler is cancelled, and the next
/// request of the session gets its own response.
async fn client_goes(url: &str, in_use: &InUse) -> Outcome {
    let session = ClientSession::builder().limit(1).build()?;
    let request = session.get(format!("{url}/forever"));
    let asking = create_task(async move { request.await.map(drop) });
    until(async || Ok(in_use.count() == 1)).await?;
    asking.cancel();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()));
    until(async || Ok(in_use.count() == 0)).await?;
    assert_eq!(session.get(format!("{url}/")).await?.text().await?, "hello");
    Ok(())
}

async fn axum_cancelled() -> Outcome {
    let in_use = InUse::default();
    let (server, url) = start(slow_router(&in_use, &Gate::new())).await?;
    client_goes(&url, &in_use).await?;
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

/// A request that is in flight at the shutdown is still answered.
async fn ends_in_flight(router: Router, gate: Gate) -> Outcome {
    let (server, url) = start(router).await?;
    let session = ClientSession::new();
    let request = session.get(format!("{url}/waits"));
    let asking = create_task(async move { request.await?.text().await });
    gate.has_one().await;
    let stopping = create_task({
        let server = server.clone();
        async move { server.shutdown(GRACE).await }
    });
    until(async || Ok(server.local_addr().is_err())).await?;
    assert!(session.get(format!("{url}/")).await.is_err(), "it listens no more");
    gate.open();
    assert_eq!(asking.await??, "late, but whole");
    stopping.await?;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

async fn axum_shutdown() -> Outcome {
    let gate = Gate::new();
    ends_in_flight(slow_router(&InUse::default(), &gate), gate).await
}

// axum's own web sockets.

fn ws_router(in_use: &InUse) -> Router {
    let in_use = in_use.clone();
    let echo = async move |upgrade: ws::WebSocketUpgrade| {
        upgrade.on_upgrade(async move |mut socket| {
            let _used = in_use.enter();
            // The answer to a close leaves with the next `recv`.
            while let Some(Ok(message)) = socket.recv().await {
                let is_close = matches!(message, ws::Message::Close(_));
                if !is_close && socket.send(message).await.is_err() {
                    break;
                }
            }
        })
    };
    Router::new().route("/", any(echo))
}

async fn ws_natural() -> Outcome {
    let in_use = InUse::default();
    let (server, url) = start(ws_router(&in_use)).await?;
    let socket = ClientSession::new().ws_connect(&url).await?;
    for text in ["hello", "and once more"] {
        socket.send(text).await?;
        let answer = socket.receive().await?.ok_or("no answer")?;
        assert_eq!(answer.as_text(), Some(text));
    }
    socket.close(1000, "").await?;
    until(async || Ok(in_use.count() == 0)).await?;
    server.shutdown(GRACE).await;
    Ok(())
}

async fn ws_cancelled() -> Outcome {
    let in_use = InUse::default();
    let (server, url) = start(ws_router(&in_use)).await?;
    let socket = ClientSession::new().ws_connect(&url).await?;
    let receiving = create_task(async move { socket.receive().await.map(drop) });
    until(async || Ok(in_use.count() == 1)).await?;
    receiving.cancel();
    assert!(receiving.await.is_err_and(|error| error.is_cancelled()));
    until(async || Ok(in_use.count() == 0)).await?;
    server.shutdown(GRACE).await;
    Ok(())
}

/// A web socket is closed when the grace period is over, and so is axum's task for it.
async fn ws_shutdown() -> Outcome {
    let in_use = InUse::default();
    let (server, url) = start(ws_router(&in_use)).await?;
    let socket = ClientSession::new().ws_connect(&url).await?;
    until(async || Ok(in_use.count() == 1)).await?;
    socket.send("in flight").await?;
    let answer = socket.receive().await?.ok_or("no answer")?;
    assert_eq!(answer.as_text(), Some("in flight"));
    server.shutdown(Duration::from_millis(10)).await;
    assert!(!matches!(socket.receive().await, Ok(Some(_))), "it is cut off");
    until(async || Ok(in_use.count() == 0)).await
}

// axum's own server.

type Served = (String, tokio::sync::oneshot::Sender<()>, asyncio::Task<io::Result<()>>);

async fn serve_by_axum(router: Router) -> Outcome<Served> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let ending = async { stopped.await.unwrap_or_default() };
    let serving = axum::serve(listener, router).with_graceful_shutdown(ending);
    Ok((url, stop, create_task(serving)))
}

async fn served_natural() -> Outcome {
    let router = slow_router(&InUse::default(), &Gate::new());
    let (url, stop, serving) = serve_by_axum(router).await?;
    let session = ClientSession::new();
    assert_eq!(session.get(&url).await?.text().await?, "hello");
    drop((session, stop));
    Ok(serving.await??)
}

/// The server's tasks are tokio's, but they too end when their client disconnects.
async fn served_cancelled() -> Outcome {
    let in_use = InUse::default();
    let router = Router::new().route("/", get(async || "hello")).route("/forever", {
        let in_use = in_use.clone();
        get(async move || {
            let _used = in_use.enter();
            std::future::pending::<()>().await;
        })
    });
    let (url, stop, serving) = serve_by_axum(router).await?;
    client_goes(&url, &in_use).await?;
    drop(stop);
    Ok(serving.await??)
}

async fn served_shutdown() -> Outcome {
    let gate = Gate::new();
    let (url, stop, serving) = serve_by_axum(slow_router(&InUse::default(), &gate)).await?;
    let request = ClientSession::new().get(format!("{url}/waits"));
    let asking = create_task(async move { request.await?.text().await });
    gate.has_one().await;
    drop(stop);
    asyncio::yield_now().await;
    gate.open();
    assert_eq!(asking.await??, "late, but whole");
    Ok(serving.await??)
}

// tower-http.

fn traced(in_use: &InUse, gate: &Gate) -> Router {
    slow_router(in_use, gate).layer(TraceLayer::new_for_http())
}

async fn trace_natural() -> Outcome {
    let (seen, _guard) = collect_spans();
    let (server, url) = start(traced(&InUse::default(), &Gate::new())).await?;
    assert_eq!(ClientSession::new().get(&url).await?.text().await?, "hello");
    server.shutdown(GRACE).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.opened.get("request"), Some(&1), "{seen:?}");
    assert_eq!(seen.open(), 0, "{seen:?}");
    Ok(())
}

async fn trace_cancelled() -> Outcome {
    let (seen, _guard) = collect_spans();
    let in_use = InUse::default();
    let (server, url) = start(traced(&in_use, &Gate::new())).await?;
    client_goes(&url, &in_use).await?;
    server.shutdown(GRACE).await;
    assert_eq!(seen.lock().unwrap().open(), 0, "the span of the cancelled request is closed");
    Ok(())
}

async fn trace_shutdown() -> Outcome {
    let gate = Gate::new();
    ends_in_flight(traced(&InUse::default(), &gate), gate).await
}

fn limited(limit: Duration, in_use: &InUse, gate: &Gate) -> Router {
    let layer = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limit);
    slow_router(in_use, gate).layer(layer)
}

async fn limit_natural() -> Outcome {
    let in_use = InUse::default();
    let (server, url) = start(limited(Duration::from_millis(20), &in_use, &Gate::new())).await?;
    let answer = ClientSession::new().get(format!("{url}/forever")).await?;
    assert_eq!(answer.status(), 408);
    assert_eq!(in_use.count(), 0);
    server.shutdown(GRACE).await;
    Ok(())
}

async fn limit_cancelled() -> Outcome {
    let in_use = InUse::default();
    let (server, url) = start(limited(FOREVER, &in_use, &Gate::new())).await?;
    client_goes(&url, &in_use).await?;
    server.shutdown(GRACE).await;
    Ok(())
}

async fn limit_shutdown() -> Outcome {
    let gate = Gate::new();
    ends_in_flight(limited(FOREVER, &InUse::default(), &gate), gate).await
}

// tracing.

/// The spans and events that a subscriber has received.
#[derive(Debug, Default)]
struct Seen {
    opened: BTreeMap<&'static str, usize>,
    closed: usize,
    /// The name of the span in which each event came.
    events: Vec<Option<&'static str>>,
}

impl Seen {
    fn open(&self) -> usize {
        self.opened.values().sum::<usize>() - self.closed
    }
}

struct Collect(Arc<Mutex<Seen>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collect {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: Context<'_, S>,
    ) {
        let mut seen = self.0.lock().unwrap();
        *seen.opened.entry(attributes.metadata().name()).or_default() += 1;
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() == "matrix" {
            let span = context.lookup_current().map(|span| span.name());
            self.0.lock().unwrap().events.push(span);
        }
    }

    fn on_close(&self, _: tracing::span::Id, _: Context<'_, S>) {
        self.0.lock().unwrap().closed += 1;
    }
}

fn collect_spans() -> (Arc<Mutex<Seen>>, tracing::subscriber::DefaultGuard) {
    let seen = Arc::<Mutex<Seen>>::default();
    let subscriber = tracing_subscriber::registry().with(Collect(seen.clone()));
    (seen, tracing::subscriber::set_default(subscriber))
}

async fn steps() {
    for _ in 0..2 {
        info!(target: "matrix", "a step");
        asyncio::yield_now().await;
    }
}

async fn spans_natural() -> Outcome {
    let (seen, _guard) = collect_spans();
    let one = create_task(steps().instrument(info_span!("one")));
    let two = create_task(steps().instrument(info_span!("two")));
    one.await?;
    two.await?;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.events, [Some("one"), Some("two"), Some("one"), Some("two")]);
    assert_eq!(seen.open(), 0);
    Ok(())
}

async fn spans_cancelled() -> Outcome {
    let (seen, _guard) = collect_spans();
    let waiting = create_task(sleep(FOREVER).instrument(info_span!("waiting")));
    asyncio::yield_now().await;
    assert_eq!(seen.lock().unwrap().open(), 1);
    waiting.cancel();
    assert!(waiting.await.is_err());
    assert_eq!(seen.lock().unwrap().open(), 0);
    Ok(())
}

/// Spans of tasks that the end of a loop cancels are closed.
async fn spans_shutdown() -> Outcome {
    let (seen, _guard) = collect_spans();
    std::thread::scope(|scope| {
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let other = scope.spawn(move || {
            let _guard = tracing::dispatcher::set_default(&dispatch);
            asyncio::run(async {
                drop(create_task(sleep(FOREVER).instrument(info_span!("left behind"))));
                asyncio::yield_now().await;
            });
        });
        other.join().expect("it ends");
    });
    let seen = seen.lock().unwrap();
    assert_eq!((seen.opened.len(), seen.open()), (1, 0));
    Ok(())
}

// reqwest.

fn reqwest_client() -> Outcome<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn reqwest_natural() -> Outcome {
    let sum = async |Json(numbers): Json<Vec<u32>>| Json(numbers.iter().sum::<u32>());
    let router = Router::new().route("/sum", post(sum)).route("/events", get(events));
    let (server, url) = start(router).await?;
    let client = reqwest_client()?;
    let sum: u32 = client.post(format!("{url}/sum")).json(&[1, 2, 3]).send().await?.json().await?;
    assert_eq!(sum, 6);
    let mut pieces = client.get(format!("{url}/events")).send().await?.bytes_stream();
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        text.extend(piece?);
    }
    assert!(text.ends_with(b"data: 3\n\n"));
    // Many requests at once, over one pool.
    let asking = (0..50).map(|number| {
        let request = client.post(format!("{url}/sum")).json(&[number, 1]);
        create_task(async move { request.send().await?.json::<u32>().await })
    });
    for (number, answer) in asyncio::gather(asking).await.into_iter().enumerate() {
        assert_eq!(answer?? as usize, number + 1);
    }
    server.shutdown(GRACE).await;
    Ok(())
}

/// Cancels a request before its response, and in the middle of it.
async fn reqwest_cancelled() -> Outcome {
    let in_use = InUse::default();
    let (server, url) = start(slow_router(&in_use, &Gate::new())).await?;
    let client = reqwest_client()?;
    let request = client.get(format!("{url}/pieces"));
    let (first, mut has_first) = tokio::sync::mpsc::channel(1);
    let reading = create_task(async move {
        let mut answer = request.send().await?;
        while let Some(piece) = answer.chunk().await? {
            first.send(piece).await.expect("somebody waits");
        }
        Ok::<_, reqwest::Error>(())
    });
    assert_eq!(has_first.recv().await.ok_or("no piece")?, "piece");
    reading.cancel();
    assert!(reading.await.is_err_and(|error| error.is_cancelled()));
    let request = client.get(format!("{url}/forever"));
    let asking = create_task(async move { request.send().await.map(drop) });
    until(async || Ok(in_use.count() == 1)).await?;
    asking.cancel();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()));
    until(async || Ok(in_use.count() == 0)).await?;
    assert_eq!(client.get(&url).send().await?.text().await?, "hello");
    drop(client);
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

async fn reqwest_shutdown() -> Outcome {
    let gate = Gate::new();
    let (server, url) = start(slow_router(&InUse::default(), &gate)).await?;
    let request = reqwest_client()?.get(format!("{url}/waits"));
    let asking = create_task(async move { request.send().await?.text().await });
    gate.has_one().await;
    let stopping = create_task(async move { server.shutdown(GRACE).await });
    asyncio::yield_now().await;
    gate.open();
    assert_eq!(asking.await??, "late, but whole");
    Ok(stopping.await?)
}
