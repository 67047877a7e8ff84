//! Servers with all kinds of clients.

mod common;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_http::testing::TestClient;
use asyncio_http::{
    App, Bytes, ClientSession, HttpServer, Peer, Request, StatusCode, local, serve,
};
use asyncio_net::{JoinedStream, ServerAddress, open_connection};
use asyncio_sync::Event;
use asyncio_task::{create_task, current_task, finally, gather, sleep, timeout, yield_now};
use axum::Router;
use axum::routing::{get, post};
use common::{OWN_HOST, TestResult, now, read_answer, reports, run, run_in_virtual_time};
use http_body_util::Full;

const GRACE: Duration = Duration::from_secs(300);

async fn connect(server: &HttpServer) -> io::Result<JoinedStream> {
    let (reader, writer) = open_connection(server.local_addr()?).await?;
    Ok(reader.join(writer))
}

async fn ask(stream: &mut JoinedStream, path: &str) -> TestResult<(String, String)> {
    write!(stream.writer(), "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    read_answer(stream).await
}

#[test]
fn a_router_of_axum_is_served_over_one_connection() {
    run(async || {
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/slow", get(async || local(slow()).await))
            .route("/echo", post(async |body: String| body));
        let server = serve("127.0.0.1:0", router).await?;
        let mut stream = connect(&server).await?;
        assert_eq!(ask(&mut stream, "/").await?.1, "hello");
        assert_eq!(ask(&mut stream, "/slow").await?.1, "slow");
        assert!(ask(&mut stream, "/none").await?.0.starts_with("HTTP/1.1 404"));
        let session = ClientSession::new();
        let url = format!("http://{}/echo", server.local_addr()?);
        let long = "x".repeat(1_000_000);
        let answer = session.post(&url).body(long.clone()).await?;
        assert!(answer.text().await? == long);
        server.shutdown(GRACE).await;
        Ok(())
    });
}

async fn slow() -> &'static str {
    sleep(Duration::from_millis(1)).await;
    "slow"
}

#[test]
fn services_of_hyper_and_functions_are_served() {
    run(async || {
        let service = hyper::service::service_fn(async |request: http::Request<_>| {
            let _: &hyper::body::Incoming = request.body();
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::from("hyper")))
        });
        assert_eq!(TestClient::new(service).get("/").await?.text().await?, "hyper");
        let function = async |request: Request| format!("function {}", request.uri());
        assert_eq!(TestClient::new(function).get("/x").await?.text().await?, "function /x");
        Ok(())
    });
}

#[test]
fn a_request_is_a_task_with_a_context_of_its_own() {
    run_in_virtual_time(async || {
        asyncio_loop::context_var! { static SEEN: u32 = 0; }
        let app = App::new().get("/", async || {
            let before = SEEN.get();
            SEEN.set(before + 1);
            sleep(Duration::from_secs(1)).await;
            format!("{} {before} {}", current_task().is_some(), SEEN.get())
        });
        let client = TestClient::new(app);
        for answer in gather([client.get("/"), client.get("/")]).await {
            assert_eq!(answer?.text().await?, "true 0 1");
        }
        Ok(())
    });
}

#[test]
fn a_client_that_trickles_its_headers_is_cut() {
    run_in_virtual_time(async || {
        let serve = serve("127.0.0.1:0", App::new().get("/", async || "hello"));
        let client = TestClient::of(serve.header_timeout(Duration::from_secs(10)));
        let mut stream = client.connect();
        assert_eq!(ask(&mut stream, "/").await?.1, "hello");
        sleep(Duration::from_secs(60)).await; // idle, which is another limit
        let start = now();
        for byte in b"GET / HTTP/1.1\r\nhost: x\r\n" {
            stream.writer().write([*byte]);
            if stream.writer().flush().await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(stream.reader().read(1).await?, "");
        let lasted = now() - start;
        assert!((10.0..=11.0).contains(&lasted), "the shutdown took {lasted} s");
        Ok(())
    });
}

#[test]
fn the_limit_for_headers_counts_from_the_first_byte() {
    run_in_virtual_time(async || {
        let serve = serve("127.0.0.1:0", App::new().get("/", async || "hello"));
        let client = TestClient::of(serve.header_timeout(Duration::from_secs(10)));
        // A client that sends nothing.
        let mut stream = client.connect();
        assert_eq!(stream.reader().read(1).await?, "");
        assert_eq!(now(), 10.0);
        // A client that sends a part of a second request.
        let mut stream = client.connect();
        assert_eq!(ask(&mut stream, "/").await?.1, "hello");
        sleep(Duration::from_secs(30)).await;
        stream.writer().write("GET /");
        assert_eq!(stream.reader().read(1).await?, "");
        assert_eq!(now(), 50.0);
        Ok(())
    });
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async || "hello").get("/long", async || {
            sleep(Duration::from_secs(3600)).await;
            "at last"
        });
        let serve = serve("127.0.0.1:0", app).keep_alive_timeout(Duration::from_secs(20));
        let client = TestClient::of(serve);
        let mut stream = client.connect();
        for _ in 0..5 {
            assert_eq!(ask(&mut stream, "/").await?.1, "hello");
            sleep(Duration::from_secs(19)).await;
        }
        assert_eq!(ask(&mut stream, "/long").await?.1, "at last");
        let start = now();
        assert_eq!(stream.reader().read(1).await?, "");
        assert_eq!(now() - start, 20.0);
        Ok(())
    });
}

#[test]
fn a_body_that_nobody_reads_is_not_the_next_request() {
    run_in_virtual_time(async || {
        let paths = Rc::new(RefCell::new(Vec::new()));
        let app = App::new().fallback({
            let paths = paths.clone();
            async move |request: Request| {
                paths.borrow_mut().push(request.uri().path().to_owned());
                StatusCode::NO_CONTENT
            }
        });
        let client = TestClient::new(app);
        let hidden = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
        for padding in [0, 100, 20_000, 300_000] {
            paths.borrow_mut().clear();
            let mut stream = client.connect();
            let body = "x".repeat(padding) + hidden;
            write!(
                stream.writer(),
                "POST /first HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            write!(stream.writer(), "GET /second HTTP/1.1\r\nhost: x\r\n\r\n");
            assert!(read_answer(&mut stream).await?.0.starts_with("HTTP/1.1 204"));
            // The second request is answered, or the connection has been closed before.
            let _ = read_answer(&mut stream).await;
            drop(stream);
            sleep(Duration::from_secs(1)).await;
            let paths = paths.borrow();
            assert!(*paths == ["/first"] || *paths == ["/first", "/second"], "{paths:?}");
        }
        Ok(())
    });
}

#[test]
fn requests_whose_length_is_ambiguous_are_refused() {
    run_in_virtual_time(async || {
        let calls = Rc::new(Cell::new(0));
        let app = App::new().fallback({
            let calls = calls.clone();
            async move |_: Bytes| calls.set(calls.get() + 1)
        });
        let client = TestClient::new(app);
        for lengths in [
            "content-length: 3\r\ncontent-length: 4\r\n",
            "content-length: 3, 4\r\n",
            "content-length: +3\r\n",
            "content-length: -1\r\n",
            "transfer-encoding: chunked, identity\r\n",
        ] {
            let mut stream = client.connect();
            write!(stream.writer(), "POST / HTTP/1.1\r\nhost: x\r\n{lengths}\r\nabc");
            let (head, _) = read_answer(&mut stream).await?;
            assert!(head.starts_with("HTTP/1.1 400"), "{lengths:?}: {head}");
            assert_eq!(stream.reader().read(1).await?, "", "{lengths:?}");
        }
        // With both headers the length is ignored, and the server closes the connection after its
        // response (RFC 9112, section 6.1).
        let mut stream = client.connect();
        let both = "transfer-encoding: chunked\r\ncontent-length: 3\r\n";
        write!(stream.writer(), "POST / HTTP/1.1\r\nhost: x\r\n{both}\r\n0\r\n\r\nGET /");
        let _ = read_answer(&mut stream).await;
        assert!(calls.get() <= 1);
        Ok(())
    });
}

#[test]
fn headers_beyond_the_limits_are_refused() {
    run_in_virtual_time(async || {
        let serve = serve("127.0.0.1:0", App::new().get("/", async || "hello"));
        let client = TestClient::of(serve.max_header_size(10_000).max_headers(5));
        let mut stream = client.connect();
        let long = "x".repeat(20_000);
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n");
        assert!(read_answer(&mut stream).await?.0.starts_with("HTTP/1.1 431"));
        let mut stream = client.connect();
        let many = "a: b\r\n".repeat(6);
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n");
        assert!(read_answer(&mut stream).await?.0.starts_with("HTTP/1.1 431"));
        Ok(())
    });
}

#[test]
fn a_client_that_goes_away_cancels_its_request_whose_cleanup_runs() {
    run_in_virtual_time(async || {
        let (begun, cleaned) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let app = App::new().get("/", {
            let (begun, cleaned) = (begun.clone(), cleaned.clone());
            async move || {
                begun.set();
                finally(sleep(Duration::from_secs(3600)), async |outcome| {
                    assert!(outcome.is_cancelled());
                    sleep(Duration::from_secs(1)).await; // a rollback
                    cleaned.set();
                })
                .await;
            }
        });
        let client = TestClient::new(app);
        let stream = client.connect();
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        begun.wait().await;
        let start = now();
        drop(stream);
        cleaned.wait().await;
        assert_eq!(now() - start, 1.0);
        Ok(())
    });
}

#[test]
fn a_client_that_ends_its_direction_gets_its_answer_if_the_server_says_so() {
    run_in_virtual_time(async || {
        let app = || {
            App::new().get("/", async || {
                sleep(Duration::from_secs(1)).await;
                "hello"
            })
        };
        for yes in [false, true] {
            let client = TestClient::of(serve("127.0.0.1:0", app()).half_close(yes));
            let mut stream = client.connect();
            write!(stream.writer(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
            stream.writer().write_eof();
            let answer = read_answer(&mut stream).await;
            assert_eq!(answer.is_ok_and(|(_, body)| body == "hello"), yes);
        }
        Ok(())
    });
}

#[test]
fn a_handler_that_panics_is_reported_and_hurts_nobody_else() {
    run_in_virtual_time(async || {
        let reports = reports();
        let app = App::new().get("/", async || "hello").get("/panic", async || {
            sleep(Duration::from_secs(1)).await;
            if now() > 0.0 {
                panic!("no luck");
            }
        });
        let client = TestClient::new(app);
        let mut stream = client.connect();
        assert!(ask(&mut stream, "/panic").await?.0.starts_with("HTTP/1.1 500"));
        assert_eq!(ask(&mut stream, "/").await?.1, "hello");
        let reports = reports.borrow();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].contains("no luck"), "{reports:?}");
        Ok(())
    });
}

#[test]
fn shutdown_finishes_requests_and_waits_for_no_idle_client() {
    run(async || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let order = order.clone();
            async move || order.borrow_mut().push(what)
        };
        let (begun, go) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let app = App::new().get("/", async || "hello").get("/slow", {
            let (begun, go) = (begun.clone(), go.clone());
            async move || {
                begun.set();
                go.wait().await;
                "done"
            }
        });
        let server = serve(OWN_HOST, app)
            .on_startup(note("startup"))
            .on_shutdown(note("shutdown"))
            .on_cleanup(note("cleanup"))
            .await?;
        let address = server.local_addr()?;
        let mut idle = connect(&server).await?;
        assert_eq!(ask(&mut idle, "/").await?.1, "hello");
        let mut silent = connect(&server).await?;
        let mut busy = connect(&server).await?;
        write!(busy.writer(), "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
        begun.wait().await;
        assert_eq!(*order.borrow(), ["startup"]);

        let ending = create_task({
            let server = server.clone();
            async move { server.shutdown(Duration::from_secs(3600)).await }
        });
        assert_eq!(idle.reader().read(1).await?, "");
        assert_eq!(silent.reader().read(1).await?, "");
        assert!(open_connection(address).await.is_err());
        assert!(!ending.is_done());
        order.borrow_mut().push("answer");
        go.set();
        let (head, body) = read_answer(&mut busy).await?;
        assert_eq!(body, "done");
        assert!(head.contains("connection: close"), "{head}");
        ending.await?;
        assert_eq!(*order.borrow(), ["startup", "shutdown", "answer", "cleanup"]);
        server.shutdown(GRACE).await; // once more
        Ok(())
    });
}

#[test]
fn shutdown_cuts_what_takes_too_long_after_its_cleanup() {
    run(async || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let begun = Rc::new(Event::new());
        let app = App::new().get("/", {
            let (order, begun) = (order.clone(), begun.clone());
            async move || {
                begun.set();
                finally(std::future::pending::<()>(), async |_| {
                    sleep(Duration::from_millis(20)).await;
                    order.borrow_mut().push("rolled back");
                })
                .await;
            }
        });
        let server = serve("127.0.0.1:0", app)
            .on_cleanup({
                let order = order.clone();
                async move || order.borrow_mut().push("cleanup")
            })
            .await?;
        let mut stream = connect(&server).await?;
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        begun.wait().await;
        server.shutdown(Duration::from_millis(10)).await;
        assert_eq!(*order.borrow(), ["rolled back", "cleanup"]);
        assert!(read_answer(&mut stream).await.is_err());
        Ok(())
    });
}

#[test]
fn a_server_that_is_cancelled_shuts_down() {
    run(async || {
        let cleaned = Rc::new(Cell::new(false));
        let server = serve("127.0.0.1:0", App::new())
            .on_cleanup({
                let cleaned = cleaned.clone();
                async move || cleaned.set(true)
            })
            .await?;
        let serving = create_task({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        yield_now().await;
        serving.cancel();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(cleaned.get());
        assert!(server.local_addr().is_err());
        Ok(())
    });
}

#[test]
fn a_startup_that_fails_listens_on_nothing() {
    run(async || {
        let listener = std::net::TcpListener::bind(OWN_HOST)?;
        let address = listener.local_addr()?;
        let failing = serve(listener, App::new())
            .on_startup(async || Err::<(), _>("no database"))
            .on_startup(async || -> () { unreachable!("an earlier hook has failed") });
        let error = failing.await.unwrap_err();
        assert_eq!(error.to_string(), "no database");
        assert!(open_connection(address).await.is_err());
        Ok(())
    });
}

#[test]
fn several_addresses_and_unix_sockets_are_served() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("http");
        let app = App::new().get("/", async |peer: Peer| format!("{}", peer.addr().is_some()));
        let server =
            serve("127.0.0.1:0", app).bind("127.0.0.1:0").bind(ServerAddress::unix(&path)).await?;
        let addresses = server.addresses();
        assert_eq!(addresses.len(), 3);
        let session = ClientSession::new();
        for address in addresses.iter().filter_map(|address| address.as_inet()) {
            let answer = session.get(format!("http://{address}/")).await?;
            assert_eq!(answer.text().await?, "true");
        }
        let session = ClientSession::builder().unix_socket(&path).build()?;
        assert_eq!(session.get("http://localhost/").await?.text().await?, "false");
        server.shutdown(GRACE).await;
        assert!(!path.exists());
        Ok(())
    });
}

#[test]
fn loops_get_connections_by_turns_and_end_together() {
    run(async || {
        let router = Router::new().route(
            "/",
            get(async || format!("{:?}", std::thread::current().name().unwrap_or_default())),
        );
        let server = serve("127.0.0.1:0", router).loops(3).await?;
        let mut names = Vec::new();
        let mut streams = Vec::new();
        for _ in 0..6 {
            let mut stream = connect(&server).await?;
            names.push(ask(&mut stream, "/").await?.1);
            streams.push(stream);
        }
        assert_eq!(names[..3], names[3..]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3, "{names:?}");
        server.shutdown(GRACE).await;
        for stream in &mut streams {
            assert_eq!(stream.reader().read(1).await?, "");
        }
        Ok(())
    });
}

#[test]
fn http2_answers_many_requests_over_one_connection() {
    run(async || {
        let app = App::new().post("/", async |body: Bytes| body);
        let server = serve("127.0.0.1:0", app).await?;
        let session = ClientSession::builder().http2_prior_knowledge().build()?;
        let url = format!("http://{}/", server.local_addr()?);
        // The first one opens the connection that the others share.
        let first = session.post(&url).body("0").timeout(GRACE).await?;
        assert_eq!(first.version(), http::Version::HTTP_2);
        assert_eq!(first.text().await?, "0");
        let sizes: Vec<usize> = (1..40).map(|number| number * 10_000).collect();
        let posts = sizes.iter().map(|size| session.post(&url).body(vec![b'x'; *size]));
        // Responses whose bodies are read late do not block the others of the same connection.
        for (answer, size) in gather(posts).await.into_iter().zip(&sizes).rev() {
            assert_eq!(answer?.bytes().await?.len(), *size);
        }
        assert_eq!(session.connection_count(), 1);
        assert_eq!(server.client_count(), 1);
        server.shutdown(GRACE).await;
        Ok(())
    });
}

#[test]
fn an_upgraded_connection_belongs_to_the_program() {
    run(async || {
        let app = App::new().get("/", async |mut request: Request| {
            let upgrade = hyper::upgrade::on(&mut request);
            drop(create_task(async move {
                let parts = upgrade.await.unwrap().downcast::<asyncio_http::rt::LoopStream>();
                drop(parts);
            }));
            (StatusCode::SWITCHING_PROTOCOLS, [("upgrade", "echo"), ("connection", "upgrade")])
        });
        let server = serve("127.0.0.1:0", app).await?;
        let mut stream = connect(&server).await?;
        let upgrade = "connection: upgrade\r\nupgrade: echo\r\n";
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n");
        assert!(read_answer(&mut stream).await?.0.starts_with("HTTP/1.1 101"));
        assert_eq!(stream.reader().read(1).await?, "");
        timeout(GRACE, server.shutdown(Duration::from_secs(3600))).await?;
        Ok(())
    });
}
