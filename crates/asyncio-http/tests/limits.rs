//! A server's limits for slow, greedy and hostile clients.

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_http::testing::TestClient;
use asyncio_http::{App, Body, HttpServer, Request, Serve, StatusCode, local_stream, serve};
use asyncio_net::{JoinedStream, open_connection};
use asyncio_task::{create_task, sleep, timeout, yield_now};
use axum::Router;
use axum::routing::get;
use common::{TestResult, now, read_answer, run, run_in_virtual_time};
use futures::stream;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A server in memory.
fn client_of<S: 'static>(server: Serve<S>) -> TestClient {
    TestClient::of(server)
}

fn echo() -> Serve<App> {
    serve("127.0.0.1:0", App::new().post("/", async |body: String| body))
}

fn post(stream: &JoinedStream, headers: &str) {
    write!(stream.writer(), "POST / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n\r\n");
}

async fn is_at_end(stream: &mut JoinedStream) -> bool {
    stream.reader().read(1).await.is_ok_and(|bytes| bytes.is_empty())
}

// The bodies of requests.

#[test]
fn a_body_that_stops_coming_is_answered_408() {
    run_in_virtual_time(async || {
        let client = client_of(echo().body_timeout(seconds(10)));
        let mut stream = client.connect();
        post(&stream, "content-length: 10");
        // The body timeout starts anew with each chunk.
        for piece in ["a", "bc", "d"] {
            sleep(seconds(9)).await;
            stream.writer().write(piece);
        }
        let start = now();
        let (head, _) = read_answer(&mut stream).await?;
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(now() - start, 10.0, "counted from the last piece");
        assert!(is_at_end(&mut stream).await);
        Ok(())
    });
}

#[test]
fn a_body_that_comes_in_time_is_taken() {
    run_in_virtual_time(async || {
        let client = client_of(echo().body_timeout(seconds(10)));
        let mut stream = client.connect();
        post(&stream, "content-length: 10");
        for piece in 0..10 {
            sleep(seconds(9)).await;
            stream.writer().write(piece.to_string());
        }
        assert_eq!(read_answer(&mut stream).await?.1, "0123456789");
        // The connection serves another request.
        post(&stream, "content-length: 2");
        stream.writer().write("ok");
        assert_eq!(read_answer(&mut stream).await?.1, "ok");
        Ok(())
    });
}

#[test]
fn a_handler_that_does_not_read_does_not_wait_for_its_client() {
    run_in_virtual_time(async || {
        let app = App::new().post("/", async |request: Request| {
            sleep(seconds(3600)).await;
            request.into_body()
        });
        let client = client_of(serve("127.0.0.1:0", app).body_timeout(seconds(10)));
        let mut stream = client.connect();
        post(&stream, "content-length: 4");
        sleep(seconds(3605)).await;
        stream.writer().write("late");
        assert!(stream.reader().read_until(b"late").await?.starts_with(b"HTTP/1.1 200 "));
        Ok(())
    });
}

#[test]
fn a_handler_that_gets_over_a_slow_body_answers_as_it_likes() {
    run_in_virtual_time(async || {
        let app = App::new().post("/", async |request: Request| {
            let body = http_body_util::BodyExt::collect(request.into_body()).await;
            format!("{}", body.is_err())
        });
        let client = client_of(serve("127.0.0.1:0", app).body_timeout(seconds(10)));
        let mut stream = client.connect();
        post(&stream, "transfer-encoding: chunked");
        let (head, body) = read_answer(&mut stream).await?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!((body.as_str(), now()), ("true", 10.0));
        Ok(())
    });
}

#[test]
fn a_body_that_says_it_is_too_long_is_refused_unread() {
    run_in_virtual_time(async || {
        let asked = Rc::new(Cell::new(false));
        let app = App::new().post("/", {
            let asked = asked.clone();
            async move || asked.set(true)
        });
        let client = client_of(serve("127.0.0.1:0", app).max_body_size(1000));
        let mut stream = client.connect();
        post(&stream, "content-length: 1001\r\nexpect: 100-continue");
        let (head, _) = read_answer(&mut stream).await?;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert!(is_at_end(&mut stream).await);
        assert!(!asked.get());
        Ok(())
    });
}

#[test]
fn a_body_that_gets_too_long_is_refused() {
    run_in_virtual_time(async || {
        let client = client_of(echo().max_body_size(1000));
        for (size, status) in [(1000, "200"), (1001, "413")] {
            let mut stream = client.connect();
            post(&stream, "transfer-encoding: chunked");
            let text = "x".repeat(size);
            write!(stream.writer(), "{size:x}\r\n{text}\r\n0\r\n\r\n");
            let (head, _) = read_answer(&mut stream).await?;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{size}: {head}");
        }
        Ok(())
    });
}

#[test]
fn a_client_that_expects_100_is_told_when_its_body_is_wanted() {
    run_in_virtual_time(async || {
        let app = App::new()
            .post("/", async |body: String| body)
            .put("/", async || (StatusCode::FORBIDDEN, "not you"));
        let client = client_of(serve("127.0.0.1:0", app));
        let mut stream = client.connect();
        post(&stream, "content-length: 2\r\nexpect: 100-continue");
        let go = stream.reader().read_until(b"\r\n\r\n").await?;
        assert_eq!(go, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.writer().write("ok");
        assert_eq!(read_answer(&mut stream).await?.1, "ok");
        // If the handler does not read the body, the server sends no `100 Continue`.
        let head = "host: localhost\r\ncontent-length: 2\r\nexpect: 100-continue";
        write!(stream.writer(), "PUT / HTTP/1.1\r\n{head}\r\n\r\n");
        let (head, body) = read_answer(&mut stream).await?;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        assert_eq!(body, "not you");
        Ok(())
    });
}

// Timeouts and buffer limits of responses.

/// Serves an endless response, and records when the response is dropped.
fn endless(ended: &Rc<Cell<f64>>) -> Serve<App> {
    struct AtDrop(Rc<Cell<f64>>);
    impl Drop for AtDrop {
        fn drop(&mut self) {
            self.0.set(now());
        }
    }
    let ended = ended.clone();
    let app = App::new().get("/", async move || {
        let guard = AtDrop(ended.clone());
        local_stream(stream::repeat_with(move || {
            let _guard = &guard;
            io::Result::Ok("x".repeat(10_000))
        }))
    });
    serve("127.0.0.1:0", app)
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    run_in_virtual_time(async || {
        let ended = Rc::new(Cell::new(0.0));
        let client = client_of(endless(&ended).send_timeout(seconds(20)));
        let stream = client.connect();
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
        sleep(seconds(3600)).await;
        // The server checks at intervals of the timeout, so it notices the stall after one to two
        // intervals.
        assert!((20.0..=40.0).contains(&ended.get()), "{}", ended.get());
        Ok(())
    });
}

#[test]
fn a_client_that_reads_slowly_is_not_cut() {
    run_in_virtual_time(async || {
        let ended = Rc::new(Cell::new(0.0));
        let client = client_of(endless(&ended).send_timeout(seconds(20)));
        let mut stream = client.connect();
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
        for _ in 0..20 {
            sleep(seconds(15)).await;
            // Reads enough for the server to send more.
            stream.reader().read_exactly(100_000).await?;
        }
        assert_eq!(ended.get(), 0.0);
        drop(stream);
        yield_now().await;
        Ok(())
    });
}

// Connections.

async fn ask(stream: &mut JoinedStream) -> TestResult<String> {
    write!(stream.writer(), "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    Ok(read_answer(stream).await?.1)
}

async fn connect(server: &HttpServer) -> io::Result<JoinedStream> {
    let (reader, writer) = open_connection(server.local_addr()?).await?;
    Ok(reader.join(writer))
}

#[test]
fn connections_beyond_the_limit_wait_until_one_ends() {
    run(async || {
        let app = App::new().get("/", async || "hello");
        let server = serve("127.0.0.1:0", app).max_connections(2).await?;
        let mut first = connect(&server).await?;
        let mut second = connect(&server).await?;
        assert_eq!(
            (ask(&mut first).await?, ask(&mut second).await?),
            ("hello".into(), "hello".into())
        );
        let third = connect(&server).await?;
        let third = create_task(async move {
            let mut third = third;
            ask(&mut third).await.map_err(|error| error.to_string())
        });
        for _ in 0..10 {
            ask(&mut first).await?;
            ask(&mut second).await?;
        }
        assert_eq!((third.is_done(), server.client_count()), (false, 2));
        drop(second);
        assert_eq!(third.await??, "hello");
        server.shutdown(seconds(5)).await;
        Ok(())
    });
}

#[test]
fn a_full_server_can_be_shut_down() {
    run(async || {
        let app = App::new().get("/", async || "hello");
        let server = serve("127.0.0.1:0", app).max_connections(1).await?;
        let mut first = connect(&server).await?;
        ask(&mut first).await?;
        let _waits = connect(&server).await?;
        timeout(seconds(60), server.shutdown(seconds(5))).await?;
        assert!(is_at_end(&mut first).await);
        Ok(())
    });
}

#[test]
fn several_loops_close_what_is_beyond_the_limit() {
    run(async || {
        let router = Router::new().route("/", get(async || "hello"));
        let server = serve("127.0.0.1:0", router).loops(2).max_connections(2).await?;
        let mut first = connect(&server).await?;
        let mut second = connect(&server).await?;
        assert_eq!(
            (ask(&mut first).await?, ask(&mut second).await?),
            ("hello".into(), "hello".into())
        );
        let mut third = connect(&server).await?;
        assert!(ask(&mut third).await.is_err(), "the server is full");
        assert_eq!(ask(&mut first).await?, "hello");
        server.shutdown(seconds(5)).await;
        Ok(())
    });
}

// HTTP/2, by bytes: RFC 9113.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET http://x/`, in words of the static table.
fn get_request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM_AND_HEADERS, stream, &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'])
}

/// The next frame: its kind, its stream, and what is in it.
async fn next_frame(stream: &mut JoinedStream) -> TestResult<(u8, u32, Vec<u8>)> {
    let head = stream.reader().read_exactly(9).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let of_stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let payload = stream.reader().read_exactly(length as usize).await?;
    Ok((head[3], of_stream, payload.to_vec()))
}

fn last_number(payload: &[u8], from: usize) -> u32 {
    u32::from_be_bytes(payload[from..from + 4].try_into().expect("four bytes"))
}

fn never() -> Serve<App> {
    serve("127.0.0.1:0", App::new().get("/", async || std::future::pending::<()>().await))
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    run_in_virtual_time(async || {
        let client = client_of(never().max_streams(2));
        let mut stream = client.connect();
        stream.writer().write([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        let (kind, _, settings) = next_frame(&mut stream).await?;
        assert_eq!(kind, SETTINGS);
        let of_streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
        assert_eq!(of_streams, Some(&[0, 3, 0, 0, 0, 2][..]));
        // The limit holds when the client has acknowledged it.
        stream.writer().write(frame(SETTINGS, 1, 0, &[]));
        for number in [1, 3, 5] {
            stream.writer().write(get_request(number));
        }
        loop {
            let (kind, of_stream, payload) = next_frame(&mut stream).await?;
            if kind == RST_STREAM {
                assert_eq!((of_stream, last_number(&payload, 0)), (5, REFUSED_STREAM));
                return Ok(());
            }
        }
    });
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    run_in_virtual_time(async || {
        let client = client_of(never());
        let stream = client.connect();
        stream.writer().write([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        let mut flood = Vec::new();
        for number in (1..10_000).step_by(2) {
            flood.extend(get_request(number));
            flood.extend(frame(RST_STREAM, 0, number, &CANCEL.to_be_bytes()));
        }
        let (mut reader, writer) = stream.split();
        let flooding = create_task(async move {
            writer.write(flood);
            let _ = writer.flush().await;
            writer
        });
        let bytes = reader.read_to_end().await.unwrap_or_default();
        let mut frames = &bytes[..];
        let mut last = None;
        while frames.len() >= 9 {
            let length = u32::from_be_bytes([0, frames[0], frames[1], frames[2]]) as usize;
            last = Some((frames[3], frames[9..9 + length].to_vec()));
            frames = &frames[9 + length..];
        }
        let (kind, payload) = last.ok_or("no frame")?;
        assert_eq!((kind, last_number(&payload, 4)), (GOAWAY, ENHANCE_YOUR_CALM));
        flooding.cancel();
        Ok(())
    });
}

#[test]
fn services_of_tower_take_the_body_of_axum() {
    run_in_virtual_time(async || {
        let service = tower_service_of(|request: http::Request<Body>| request.into_body());
        let client = TestClient::new(service);
        assert_eq!(client.post("/").body("hello").await?.text().await?, "hello");
        Ok(())
    });
}

fn tower_service_of(answer: fn(http::Request<Body>) -> Body) -> AnswerBy {
    AnswerBy(answer)
}

#[derive(Clone)]
struct AnswerBy(fn(http::Request<Body>) -> Body);

impl tower_service::Service<http::Request<Body>> for AnswerBy {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        std::future::ready(Ok(http::Response::new((self.0)(request))))
    }
}
