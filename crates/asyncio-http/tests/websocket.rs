//! Web sockets.
#![cfg(feature = "websocket")]

mod common;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use asyncio_http::testing::TestClient;
use asyncio_http::websocket::{Message, WebSocket, WebSocketUpgrade};
use asyncio_http::{App, ClientErrorKind, ClientSession, Response, serve};
use asyncio_task::{create_task, sleep, timeout};
use axum::Router;
use axum::routing::get;
use common::{now, reports, run, run_in_virtual_time};

async fn echo(socket: WebSocket) -> std::io::Result<()> {
    while let Some(message) = socket.receive().await? {
        socket.send(message).await?;
    }
    Ok(())
}

fn app() -> App {
    App::new().get("/", async |upgrade: WebSocketUpgrade| {
        upgrade.protocols(["v2", "v1"]).max_message_size(100_000).on_upgrade(echo)
    })
}

#[test]
fn messages_come_back_whole_and_in_order() {
    run_in_virtual_time(async || {
        let client = TestClient::new(app());
        let socket = client.ws_connect("/").await?;
        let messages = [
            Message::from("text"),
            Message::from(""),
            Message::from(vec![0, 1, 2]),
            Message::from("ü".repeat(40_000)),
        ];
        for message in &messages {
            socket.send(message.clone()).await?;
        }
        socket.ping().await?;
        for message in messages {
            assert_eq!(socket.receive().await?, Some(message));
        }
        assert_eq!(client.connection_count(), 1);
        socket.close(1000, "good bye").await?;
        assert_eq!(socket.receive().await?, None);
        assert_eq!(socket.close_reason(), Some((1000, "good bye".to_owned())));
        assert_eq!(socket.send("late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        drop(socket);
        assert_eq!(client.connection_count(), 0);
        Ok(())
    });
}

#[test]
fn more_than_the_connection_holds_waits_for_the_reader() {
    run_in_virtual_time(async || {
        let client = TestClient::new(app());
        let socket = client.ws_connect("/").await?;
        let sending = create_task({
            let socket = socket.clone();
            async move {
                for number in 0..100 {
                    socket.send(vec![number; 50_000]).await?;
                }
                std::io::Result::Ok(())
            }
        });
        sleep(Duration::from_secs(1)).await;
        assert!(!sending.is_done(), "five megabytes fit nowhere");
        for number in 0..100 {
            assert_eq!(socket.receive().await?, Some(Message::from(vec![number; 50_000])));
        }
        sending.await??;
        Ok(())
    });
}

#[test]
fn a_protocol_is_agreed_on() {
    run_in_virtual_time(async || {
        let client = TestClient::new(app());
        let socket = client.ws_connect("/").protocols(["v0", "v1", "v2"]).await?;
        assert_eq!(socket.protocol(), Some("v2"));
        let socket = client.ws_connect("/").await?;
        assert_eq!(socket.protocol(), None);
        Ok(())
    });
}

#[test]
fn what_is_no_web_socket_is_an_error() {
    run_in_virtual_time(async || {
        let client = TestClient::new(app().get("/page", async || "hello"));
        for path in ["/page", "/none"] {
            let error = client.ws_connect(path).await.unwrap_err();
            assert_eq!(error.kind(), ClientErrorKind::Status, "{error}");
        }
        let answer = client.get("/").await?;
        assert_eq!(answer.status(), 426);
        assert_eq!(answer.headers()["sec-websocket-version"], "13");
        // A server that answers 101 without a valid handshake.
        let liar = App::new().get("/", async || {
            let headers = [("upgrade", "websocket"), ("connection", "upgrade")];
            (asyncio_http::StatusCode::SWITCHING_PROTOCOLS, headers)
        });
        let client = TestClient::new(liar);
        let error = client.ws_connect("/").await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Connection, "{error}");
        assert_eq!(client.connection_count(), 0);
        Ok(())
    });
}

#[test]
fn a_message_that_is_too_long_ends_the_socket_and_is_reported() {
    run_in_virtual_time(async || {
        let reports = reports();
        let client = TestClient::new(app());
        let socket = client.ws_connect("/").await?;
        // The server may close before the client has sent the whole message.
        let _ = socket.send(vec![0; 100_001]).await;
        assert!(!matches!(socket.receive().await, Ok(Some(_))));
        let reports = reports.borrow();
        assert_eq!(reports.len(), 1, "{reports:?}");
        Ok(())
    });
}

#[test]
fn a_peer_that_vanishes_ends_the_receiver_and_frees_the_place() {
    run_in_virtual_time(async || {
        let ends = Rc::new(RefCell::new(Vec::new()));
        let app = App::new().get("/", {
            let ends = ends.clone();
            async move |upgrade: WebSocketUpgrade| {
                let ends = ends.clone();
                upgrade.on_upgrade(async move |socket| {
                    let end = socket.receive().await.map_err(|error| error.kind());
                    ends.borrow_mut().push((end, socket.close_reason()));
                })
            }
        });
        let client = TestClient::with_session(app, |session| session.limit(1));
        let socket = client.ws_connect("/").await?;
        let waiting = timeout(Duration::from_secs(5), client.ws_connect("/")).await;
        assert!(waiting.is_err(), "the web socket holds the only connection");
        drop(socket);
        let next = client.ws_connect("/").await?;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(*ends.borrow(), [(Ok(None), Some((1006, String::new())))]);
        drop(next);
        Ok(())
    });
}

#[test]
fn a_peer_that_does_not_agree_to_the_end_is_waited_for_a_while() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(async |socket| {
                let _socket = socket; // and nobody reads
                std::future::pending::<()>().await;
            })
        });
        let client = TestClient::new(app);
        let socket = client.ws_connect("/").await?;
        socket.close(1001, "").await?;
        assert_eq!(now(), 10.0);
        assert!(socket.close(12, "").await.is_err(), "no such code");
        Ok(())
    });
}

#[test]
fn a_router_of_axum_opens_web_sockets_without_tokio() {
    run(async || {
        async fn handler(upgrade: WebSocketUpgrade) -> Response {
            upgrade.on_upgrade(echo)
        }
        let router = Router::new().route("/", get(handler));
        let server = serve("127.0.0.1:0", router).await?;
        let session = ClientSession::new();
        let socket = session.ws_connect(format!("ws://{}/", server.local_addr()?)).await?;
        socket.send("hello").await?;
        assert_eq!(socket.receive().await?, Some(Message::from("hello")));
        // The server aborts the web socket when its grace period has passed.
        server.shutdown(Duration::from_millis(10)).await;
        assert!(!matches!(socket.receive().await, Ok(Some(_))));
        Ok(())
    });
}

// Heartbeats.

const BEAT: Duration = Duration::from_secs(10);

/// How and when the server's `receive` with a heartbeat ended.
type Ended = Rc<RefCell<Option<(Option<ErrorKind>, f64)>>>;

fn beating(ended: &Ended) -> App {
    let ended = ended.clone();
    App::new().get("/", async move |upgrade: WebSocketUpgrade| {
        let ended = ended.clone();
        upgrade.heartbeat(BEAT).on_upgrade(async move |socket| {
            let end = loop {
                match socket.receive().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error.kind()),
                }
            };
            *ended.borrow_mut() = Some((end, now()));
        })
    })
}

#[test]
fn a_peer_that_answers_no_ping_is_cut() {
    run_in_virtual_time(async || {
        let ended = Ended::default();
        let mut stream = TestClient::new(beating(&ended)).connect();
        let head = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13";
        let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
        write!(stream.writer(), "GET / HTTP/1.1\r\nhost: x\r\n{head}\r\n{key}\r\n\r\n");
        assert!(stream.reader().read_until(b"\r\n\r\n").await?.starts_with(b"HTTP/1.1 101"));
        sleep(Duration::from_secs(5)).await;
        // Any frame counts as a sign of life; this is an empty pong.
        stream.writer().write([0x8a, 0x80, 0, 0, 0, 0]);
        assert_eq!(stream.reader().read_exactly(2).await?, [0x89, 0][..]);
        assert_eq!(now(), 15.0);
        assert_eq!(stream.reader().read(1).await?, "");
        assert_eq!(now(), 20.0);
        assert_eq!(*ended.borrow(), Some((Some(ErrorKind::TimedOut), 20.0)));
        Ok(())
    });
}

#[test]
fn a_peer_that_answers_pings_stays() {
    run_in_virtual_time(async || {
        let ended = Ended::default();
        let socket = TestClient::new(beating(&ended)).ws_connect("/").await?;
        let receiving = create_task({
            let socket = socket.clone();
            async move { socket.receive().await }
        });
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(*ended.borrow(), None);
        socket.close(1000, "").await?;
        assert_eq!(receiving.await??, None);
        sleep(BEAT).await;
        assert_eq!(*ended.borrow(), Some((None, 3600.0)));
        Ok(())
    });
}

#[test]
fn answers_to_pings_count_while_nobody_receives() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async |upgrade: WebSocketUpgrade| {
            upgrade.heartbeat(BEAT).on_upgrade(async |socket| {
                sleep(Duration::from_secs(3600)).await;
                // A message that arrived before the first `receive` is kept.
                let message = socket.receive().await?.expect("a message");
                socket.send(message).await
            })
        });
        let socket = TestClient::new(app).ws_connect("/").await?;
        socket.send("hello").await?;
        assert_eq!(socket.receive().await?, Some(Message::from("hello")));
        assert_eq!(now(), 3600.0);
        Ok(())
    });
}

#[test]
fn a_client_with_a_heartbeat_notices_a_server_that_has_gone() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(async |socket| {
                std::future::pending::<()>().await;
                drop(socket);
            })
        });
        let client = TestClient::new(app);
        let socket = client.ws_connect("/").heartbeat(BEAT).await?;
        let error = socket.receive().await.unwrap_err();
        assert_eq!((error.kind(), now()), (ErrorKind::TimedOut, 15.0));
        assert_eq!(socket.send("late").await.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(socket);
        assert_eq!(client.connection_count(), 0);
        Ok(())
    });
}

#[test]
fn a_web_socket_with_a_heartbeat_is_closed_when_it_is_dropped() {
    run_in_virtual_time(async || {
        let ended = Ended::default();
        let socket = TestClient::new(beating(&ended)).ws_connect("/").heartbeat(BEAT).await?;
        sleep(Duration::from_secs(1)).await;
        drop(socket);
        sleep(Duration::from_secs(1)).await;
        let ended = *ended.borrow();
        assert!(ended.is_some_and(|(_, when)| when == 1.0), "{ended:?}");
        Ok(())
    });
}
