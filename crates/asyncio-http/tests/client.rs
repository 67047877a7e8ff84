//! The client with correct and with faulty servers.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_http::testing::TestClient;
use asyncio_http::{
    App, Bytes, ClientErrorKind, ClientSession, Content, HeaderMap, Multipart, Part, Request,
    StatusCode, Timeouts, serve,
};
use asyncio_loop::WaitsFor;
use asyncio_net::{Server, StreamReader, StreamWriter, start_server};
use asyncio_sync::Event;
use asyncio_task::{create_task, gather, sleep, timeout, yield_now};
use common::{OWN_HOST, TestResult, now, run, run_in_virtual_time};

/// A server whose connections are handled by `handler`, its URL, and the number of connections so
/// far.
async fn by_hand<F, R>(handler: F) -> TestResult<(Server, String, Rc<Cell<usize>>)>
where
    F: AsyncFn(usize, StreamReader, StreamWriter) -> R + 'static,
    R: 'static,
{
    let count = Rc::new(Cell::new(0));
    let server = start_server("127.0.0.1:0", {
        let count = count.clone();
        async move |reader, writer| {
            count.set(count.get() + 1);
            handler(count.get(), reader, writer).await;
        }
    })
    .await?;
    let url = format!("http://{}/", server.local_addr()?);
    Ok((server, url, count))
}

/// Waits until the session has noticed that the server has closed its idle connections.
async fn until_closed(session: &ClientSession) {
    while session.connection_count() > 0 {
        yield_now().await;
    }
}

/// Reads the head of a request; `None` at the end.
async fn read_head(reader: &mut StreamReader) -> io::Result<Option<String>> {
    let mut head = String::new();
    while let Some(line) = reader.next_line().await? {
        if line == "\r\n" {
            return Ok(Some(head));
        }
        head.push_str(&String::from_utf8_lossy(&line));
    }
    Ok(None)
}

fn answer(writer: &StreamWriter, body: &str) {
    write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    run(async || {
        let (_server, url, count) = by_hand(async |_, mut reader, writer| {
            while let Ok(Some(_)) = read_head(&mut reader).await {
                answer(&writer, "hello");
            }
        })
        .await?;
        let session = ClientSession::new();
        for _ in 0..5 {
            assert_eq!(session.get(&url).await?.text().await?, "hello");
        }
        assert_eq!((count.get(), session.connection_count()), (1, 1));
        session.close();
        assert_eq!(session.connection_count(), 0);
        assert_eq!(session.get(&url).await.unwrap_err().kind(), ClientErrorKind::Closed);
        Ok(())
    });
}

#[test]
fn a_connection_that_the_server_has_ended_is_not_used_again() {
    run(async || {
        let closed = Rc::new(Event::new());
        let (_server, url, count) = by_hand({
            let closed = closed.clone();
            async move |number, mut reader: StreamReader, writer: StreamWriter| {
                if read_head(&mut reader).await.is_ok() {
                    answer(&writer, &number.to_string());
                    writer.flush().await.ok();
                    // Only the sending half is shut down; the server could go on reading.
                    writer.write_eof();
                    closed.set();
                    reader.read(1).await.ok();
                }
            }
        })
        .await?;
        let session = ClientSession::new();
        assert_eq!(session.get(&url).await?.text().await?, "1");
        closed.wait().await;
        until_closed(&session).await;
        assert_eq!(session.post(&url).body("x").await?.text().await?, "2");
        assert_eq!(count.get(), 2);
        Ok(())
    });
}

#[test]
fn a_request_that_meets_the_end_of_a_kept_connection_is_repeated_if_it_may_be() {
    run(async || {
        let (_server, url, count) = by_hand(async |_, mut reader, writer: StreamWriter| {
            // Each connection answers one request, and closes after it has read a second one.
            if let Ok(Some(_)) = read_head(&mut reader).await {
                answer(&writer, "hello");
                writer.flush().await.ok();
                read_head(&mut reader).await.ok();
            }
        })
        .await?;
        let session = ClientSession::new();
        assert_eq!(session.get(&url).await?.text().await?, "hello");
        assert_eq!(session.get(&url).await?.text().await?, "hello");
        assert_eq!(count.get(), 2);
        let error = session.post(&url).body("pay 10").await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Connection);
        assert_eq!(count.get(), 2, "perhaps the server has paid");
        // A request that opened its own connection is not repeated either.
        let (_server, url, count) = by_hand(async |_, mut reader, _writer| {
            read_head(&mut reader).await.ok();
        })
        .await?;
        assert_eq!(session.get(&url).await.unwrap_err().kind(), ClientErrorKind::Connection);
        assert_eq!(count.get(), 1);
        Ok(())
    });
}

#[test]
fn bytes_that_nobody_asked_for_are_no_answer() {
    run(async || {
        let sent = Rc::new(Event::new());
        let (_server, url, count) = by_hand({
            let sent = sent.clone();
            async move |number, mut reader, writer: StreamWriter| {
                while let Ok(Some(_)) = read_head(&mut reader).await {
                    answer(&writer, &number.to_string());
                    if number == 1 {
                        answer(&writer, "forged");
                        writer.flush().await.ok();
                        sent.set();
                    }
                }
            }
        })
        .await?;
        let session = ClientSession::new();
        assert_eq!(session.get(&url).await?.text().await?, "1");
        sent.wait().await;
        until_closed(&session).await;
        assert_eq!(session.get(&url).await?.text().await?, "2");
        assert_eq!(count.get(), 2);
        Ok(())
    });
}

#[test]
fn an_answer_that_is_left_in_the_middle_ends_its_connection() {
    run(async || {
        let (_server, url, count) = by_hand(async |_, mut reader, writer: StreamWriter| {
            while let Ok(Some(head)) = read_head(&mut reader).await {
                if head.starts_with("GET /long") {
                    write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nlong");
                    writer.flush().await.ok();
                } else {
                    answer(&writer, "short");
                }
            }
        })
        .await?;
        let session = ClientSession::new();
        let mut long = session.get(format!("{url}long")).await?;
        assert_eq!(long.chunk().await?.unwrap(), "long");
        drop(long);
        assert_eq!(session.connection_count(), 0);
        assert_eq!(session.get(&url).await?.text().await?, "short");
        assert_eq!(count.get(), 2);
        let long = session.get(format!("{url}long"));
        assert!(
            timeout(Duration::from_millis(5), async { long.await?.text().await }).await.is_err()
        );
        assert_eq!(session.get(&url).await?.text().await?, "short");
        Ok(())
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_ends_the_connection() {
    run(async || {
        let (_server, url, count) = by_hand(async |_, mut reader, writer: StreamWriter| {
            while let Ok(Some(_)) = read_head(&mut reader).await {
                answer(&writer, "enough");
                writer.flush().await.ok();
            }
        })
        .await?;
        let session = ClientSession::new();
        for number in 1..=2 {
            let endless = futures::stream::pending::<Result<Bytes, io::Error>>();
            let answer = session.post(&url).body(Content::stream(endless)).await?;
            assert_eq!(answer.text().await?, "enough");
            assert_eq!((count.get(), session.connection_count()), (number, 0));
        }
        Ok(())
    });
}

#[test]
fn limits_count_connections_and_requests_wait_in_order() {
    run_in_virtual_time(async || {
        let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let order = Rc::new(RefCell::new(Vec::new()));
        let app = App::new().get("/{n}", {
            let (running, most, order) = (running.clone(), most.clone(), order.clone());
            async move |asyncio_http::Path(number): asyncio_http::Path<usize>| {
                order.borrow_mut().push(number);
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                sleep(Duration::from_secs(1)).await;
                running.set(running.get() - 1);
                number.to_string()
            }
        });
        let client = TestClient::with_session(app, |session| session.limit_per_host(2));
        let gets: Vec<_> = (0..10)
            .map(|number| {
                let client = client.clone();
                create_task(async move { client.get(format!("/{number}")).await?.text().await })
            })
            .collect();
        yield_now().await;
        // A waiting request is cancelled, which delays no other request.
        gets[5].cancel();
        for (number, get) in gets.into_iter().enumerate() {
            match get.await {
                Ok(text) => assert_eq!(text?, number.to_string()),
                Err(error) => assert!(error.is_cancelled() && number == 5),
            }
        }
        assert_eq!(most.get(), 2);
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 6, 7, 8, 9]);
        assert_eq!(now(), 5.0);
        assert_eq!(client.connection_count(), 2);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(client.connection_count(), 0, "idle connections are closed");
        Ok(())
    });
}

#[test]
fn an_idle_connection_of_another_host_makes_room() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async |headers: HeaderMap| {
            sleep(Duration::from_secs(1)).await;
            headers["host"].to_str().unwrap().to_owned()
        });
        let client = TestClient::with_session(app, |session| session.limit(2));
        for number in 0..5 {
            let host = format!("host{number}.invalid");
            let url = format!("http://{host}/");
            let answers = gather([client.get(&url), client.get(&url)]).await;
            for answer in answers {
                assert_eq!(answer?.text().await?, host);
            }
            assert_eq!(client.connection_count(), 2);
        }
        assert_eq!(now(), 5.0);
        Ok(())
    });
}

#[test]
fn limits_of_time() {
    run_in_virtual_time(async || {
        let app = App::new().get("/slow", async || sleep(Duration::from_secs(60)).await).get(
            "/trickle",
            async || {
                let parts = futures::stream::unfold(0, async |number| {
                    sleep(Duration::from_secs(2)).await;
                    (number < 5).then(|| (Ok::<_, io::Error>(Bytes::from("x")), number + 1))
                });
                asyncio_http::local_stream(parts)
            },
        );
        let client = TestClient::with_session(app, |session| session.limit(1));
        let seconds = Duration::from_secs;
        let error = client.get("/slow").timeout(seconds(5)).await.unwrap_err();
        assert!(error.is_timeout() && now() == 5.0, "{error}");
        let read = Timeouts::none().read(seconds(3));
        let error = client.get("/slow").timeouts(read).await.unwrap_err();
        assert!(error.is_timeout() && now() == 8.0, "{error}");
        // The read timeout applies to each chunk, and each chunk arrives in time.
        assert_eq!(client.get("/trickle").timeouts(read).await?.text().await?, "xxxxx");
        assert_eq!(now(), 20.0);
        let read = Timeouts::none().read(seconds(1));
        let error = client.get("/trickle").timeouts(read).await?.text().await.unwrap_err();
        assert!(error.is_timeout() && now() == 21.0, "{error}");
        // The total timeout applies to the whole body, which takes longer.
        let mut trickle = client.get("/trickle").timeout(seconds(5)).await?;
        assert!(trickle.chunk().await.is_ok() && trickle.chunk().await.is_ok());
        let error = trickle.chunk().await.unwrap_err();
        assert!(error.is_timeout() && now() == 26.0, "{error}");
        assert_eq!(trickle.chunk().await?, None, "after an error the body has ended");
        // The only connection is in use.
        let holding = client.get("/trickle").await?;
        let connect = Timeouts::none().connect(seconds(4));
        let error = client.get("/slow").timeouts(connect).await.unwrap_err();
        assert!(error.is_timeout() && now() == 30.0, "{error}");
        drop(holding);
        Ok(())
    });
}

#[test]
fn redirects_are_followed_as_browsers_follow_them() {
    run_in_virtual_time(async || {
        let to = |status: u16, location: &'static str| {
            async move || (StatusCode::from_u16(status).unwrap(), [("location", location)], "moved")
        };
        let echo = async |request: Request| {
            let (head, body) = request.into_parts();
            let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
            format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body))
        };
        let app = App::new()
            .any("/301", to(301, "/echo"))
            .any("/302", to(302, "echo?q=1#part"))
            .any("/303", to(303, "/echo"))
            .any("/307", to(307, "/echo"))
            .any("/308", to(308, "http://other.invalid/echo"))
            .any("/loop", to(302, "/loop"))
            .any("/file", to(302, "file:///etc/passwd"))
            .any("/echo", echo);
        let client = TestClient::new(app);
        for (path, expected) in [
            ("/301", "GET /echo "),
            ("/302", "GET /echo?q=1 "),
            ("/303", "GET /echo "),
            ("/307", "POST /echo body"),
            ("/308", "POST /echo body"),
        ] {
            let answer = client.post(path).body("body").await?;
            assert_eq!(answer.history().len(), 1);
            assert_eq!(answer.text().await?, expected, "{path}");
        }
        assert_eq!(client.put("/301").body("body").await?.text().await?, "PUT /echo body");
        let unfollowed = client.get("/301").max_redirects(0).await?;
        assert_eq!(unfollowed.status(), 301);
        for path in ["/loop", "/file"] {
            let error = client.get(path).await.unwrap_err();
            assert_eq!(error.kind(), ClientErrorKind::Redirect, "{error}");
        }
        let stream = futures::stream::iter([Ok::<_, io::Error>(Bytes::from("body"))]);
        let error = client.post("/307").body(Content::stream(stream)).await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Redirect, "{error}");
        Ok(())
    });
}

#[test]
fn redirects_do_not_carry_secrets_to_other_hosts() {
    run_in_virtual_time(async || {
        let app = App::new()
            .get("/here", async || (StatusCode::FOUND, [("location", "/echo")]))
            .get("/away", async || (StatusCode::FOUND, [("location", "http://evil.invalid/echo")]))
            .get("/port", async || {
                (StatusCode::FOUND, [("location", "http://test.invalid:81/echo")])
            })
            .get("/echo", async |headers: HeaderMap| {
                let names = ["authorization", "cookie", "x-own"];
                let there = names.iter().filter(|name| headers.contains_key(**name));
                there.copied().collect::<Vec<_>>().join(" ")
            });
        // Default headers of the session are dropped at redirects, too, if they are secrets.
        let client =
            TestClient::with_session(app, |session| session.header("authorization", "secret"));
        for (path, expected) in
            [("/here", "authorization cookie x-own"), ("/away", "x-own"), ("/port", "x-own")]
        {
            let get = client.get(path).header("cookie", "a=b").header("x-own", "yes");
            assert_eq!(get.await?.text().await?, expected, "{path}");
        }
        let get = client.get("http://me:word@test.invalid/away");
        assert_eq!(get.await?.text().await?, "");
        Ok(())
    });
}

#[test]
fn credentials_and_headers_arrive() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async |headers: HeaderMap| {
            let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            format!("{:?} {:?}", header("authorization"), header("user-agent"))
        });
        let client = TestClient::new(app);
        let agent = format!("Some(\"asyncio-http/{}\")", env!("CARGO_PKG_VERSION"));
        let own = client.get("/").basic_auth("Aladdin", "open sesame").header("user-agent", "me");
        let expected = "Some(\"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\") Some(\"me\")";
        assert_eq!(own.await?.text().await?, expected);
        let in_url = client.get("http://Aladdin:open%20sesame@test.invalid/").await?;
        assert!(!in_url.url().contains("sesame"));
        let expected = format!("Some(\"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\") {agent}");
        assert_eq!(in_url.text().await?, expected);
        let bad = client.get("/").header("x", "a\r\nb: c").await.unwrap_err();
        assert_eq!(bad.kind(), ClientErrorKind::Request);
        for url in ["ftp://test.invalid/", "http://", "http://[::1"] {
            assert_eq!(
                client.get(url).await.unwrap_err().kind(),
                ClientErrorKind::Request,
                "{url}"
            );
        }
        Ok(())
    });
}

#[test]
fn forms_and_files_arrive() {
    run_in_virtual_time(async || {
        let app = App::new().post("/", async |headers: HeaderMap, body: String| {
            format!("{}\n{body}", headers["content-type"].to_str().unwrap())
        });
        let client = TestClient::new(app);
        let form = client.post("/").form(&[("a", "1 & 2"), ("b", "ü")]).await?.text().await?;
        assert_eq!(form, "application/x-www-form-urlencoded\na=1+%26+2&b=%C3%BC");
        let part = Part::new("data").file_name("a\"b\r\nc").content_type("text/plain\r\nx: y");
        let sent = client.post("/").multipart(Multipart::new().text("n", "v").part("f", part));
        let sent = sent.await?.text().await?;
        let (first, rest) = sent.split_once('\n').unwrap();
        let boundary = first.strip_prefix("multipart/form-data; boundary=").unwrap();
        let disposition = "content-disposition: form-data; name=";
        let expected = format!(
            "--{boundary}\r\n{disposition}\"n\"\r\n\r\nv\r\n\
             --{boundary}\r\n{disposition}\"f\"; filename=\"a%22b%0D%0Ac\"\r\n\
             content-type: text/plainx: y\r\n\r\ndata\r\n--{boundary}--\r\n"
        );
        assert_eq!(rest, expected);
        Ok(())
    });
}

#[cfg(feature = "cookies")]
#[test]
fn cookies_are_kept_for_their_hosts() {
    run_in_virtual_time(async || {
        let app = App::new()
            .get("/set", async || {
                let set = |text| ("set-cookie", text);
                axum::response::AppendHeaders([
                    set("session=1; Path=/; HttpOnly"),
                    set("registry=1; Domain=invalid"),
                    set("foreign=1; Domain=other.invalid"),
                    set("old=1; Max-Age=0"),
                    set("secure=1; Secure"),
                ])
            })
            .get("/", async |headers: HeaderMap| {
                headers
                    .get("cookie")
                    .map(|value| value.to_str().unwrap().to_owned())
                    .unwrap_or_default()
            });
        let client = TestClient::new(app);
        client.get("/set").await?;
        assert_eq!(client.get("/").await?.text().await?, "session=1");
        assert_eq!(
            client.get("/").header("cookie", "own=2").await?.text().await?,
            "own=2; session=1"
        );
        assert_eq!(client.get("http://other.invalid/").await?.text().await?, "");
        Ok(())
    });
}

#[cfg(feature = "cookies")]
#[test]
fn cookies_are_put_into_a_session_and_looked_up() {
    run_in_virtual_time(async || {
        async fn cookies(headers: HeaderMap) -> Vec<u8> {
            headers.get("cookie").map(|value| value.as_bytes().to_vec()).unwrap_or_default()
        }
        let set = async || axum::response::AppendHeaders([("set-cookie", "token=7; HttpOnly")]);
        let app = App::new().get("/in", cookies).get("/out", cookies).get("/set", set);
        let client = TestClient::new(app);
        client.set_cookie("/", "user=ada; Path=/in")?;
        assert_eq!(client.get("/in").await?.text().await?, "user=ada");
        assert_eq!(client.get("/out").await?.text().await?, "");
        assert_eq!(client.cookie("/in", "user").as_deref(), Some("ada"));
        assert_eq!(client.cookie("/out", "user"), None);

        client.get("/set").await?;
        assert_eq!(client.cookie("/", "token").as_deref(), Some("7"));
        client.set_cookie("/", "token=; Max-Age=0")?;
        assert_eq!(client.cookie("/", "token"), None);

        for refused in ["no name", "a=1; Domain=other.invalid", "a=1; Domain=invalid"] {
            let error = client.set_cookie("/", refused).unwrap_err();
            assert_eq!(error.kind(), ClientErrorKind::Request, "{refused}");
        }
        let none = ClientSession::builder().cookies(false).build()?;
        assert!(none.set_cookie("http://own.invalid/", "a=1").is_err());
        assert_eq!(none.cookie("http://own.invalid/", "a"), None);
        Ok(())
    });
}

#[test]
fn an_answer_that_is_too_long_is_refused() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async || "x".repeat(1000));
        let client = TestClient::with_session(app, |session| session.max_body(999));
        let error = client.get("/").await?.bytes().await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::TooLarge);
        assert_eq!(client.connection_count(), 0, "the connection with the unread rest is closed");
        Ok(())
    });
}

#[test]
fn statuses_are_errors_if_they_are_asked_to_be() {
    run_in_virtual_time(async || {
        let app = App::new().get("/", async || (StatusCode::IM_A_TEAPOT, "no coffee"));
        let client = TestClient::with_session(app, |session| session.raise_for_status(true));
        let error = client.get("/").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ClientErrorKind::Status, Some(StatusCode::IM_A_TEAPOT))
        );
        let answer = client.get("/").raise_for_status(false).await?;
        assert_eq!(answer.text().await?, "no coffee");
        Ok(())
    });
}

#[test]
fn a_proxy_forwards_requests() {
    run(async || {
        let (_proxy, url, count) = by_hand(async |_, mut reader, writer| {
            while let Ok(Some(head)) = read_head(&mut reader).await {
                answer(&writer, &head);
            }
        })
        .await?;
        let proxy = url.replace("http://", "http://user:word@");
        let session = ClientSession::builder().proxy(&proxy).build()?;
        let head = session.get("http://example.invalid/path?q#part").await?.text().await?;
        assert!(head.starts_with("GET http://example.invalid/path?q HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("proxy-authorization: Basic dXNlcjp3b3Jk\r\n"), "{head}");
        assert!(head.contains("host: example.invalid\r\n"), "{head}");
        session.get("http://example.invalid/").await?.text().await?;
        assert_eq!(count.get(), 1);
        Ok(())
    });
}

#[test]
fn a_proxy_that_refuses_a_tunnel_is_no_connection() {
    run(async || {
        let (_proxy, url, _) = by_hand(async |_, mut reader, writer: StreamWriter| {
            let head = read_head(&mut reader).await.unwrap().unwrap_or_default();
            assert!(head.starts_with("CONNECT example.invalid:443 HTTP/1.1\r\n"), "{head}");
            writer.write("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
            writer.flush().await.ok();
        })
        .await?;
        let session = ClientSession::builder().proxy(&url).build()?;
        let error = session.get("https://example.invalid/").await.unwrap_err();
        assert!(error.is_connect() && error.to_string().contains("407"), "{error}");
        assert_eq!(session.connection_count(), 0);
        Ok(())
    });
}

#[test]
fn a_host_that_refuses_is_no_connection() {
    run(async || {
        let closed = std::net::TcpListener::bind(OWN_HOST)?.local_addr()?;
        let session = ClientSession::builder().limit(1).build()?;
        for _ in 0..3 {
            let error = session.get(format!("http://{closed}/")).await.unwrap_err();
            assert!(error.is_connect(), "{error}");
            assert_eq!(session.connection_count(), 0);
        }
        Ok(())
    });
}

#[test]
fn streams_go_both_ways_at_once() {
    run(async || {
        let app = App::new().post("/", async |request: Request| request.into_body());
        let server = serve("127.0.0.1:0", app).await?;
        let session = ClientSession::new();
        let parts = Rc::new(RefCell::new(VecDeque::from(["one", "two", "three"])));
        let go = Rc::new(Event::new());
        let stream = {
            let (parts, go) = (parts.clone(), go.clone());
            futures::stream::unfold((), move |()| {
                let (parts, go) = (parts.clone(), go.clone());
                async move {
                    go.wait().await;
                    go.clear();
                    let part = parts.borrow_mut().pop_front()?;
                    Some((Ok::<_, io::Error>(part), ()))
                }
            })
        };
        let url = format!("http://{}/", server.local_addr()?);
        go.set();
        let mut answer = session.post(url).body(Content::stream(stream)).await?;
        for part in ["one", "two", "three"] {
            assert_eq!(answer.chunk().await?.unwrap(), part);
            go.set();
        }
        assert_eq!(answer.chunk().await?, None);
        assert_eq!(session.connection_count(), 1);
        server.shutdown(Duration::from_secs(300)).await;
        Ok(())
    });
}

#[test]
fn a_task_shows_that_it_waits_for_a_connection_only_while_it_does() {
    run(async || {
        let release = Rc::new(Event::new());
        let held = release.clone();
        let (server, url, _) = by_hand(async move |_, mut reader, writer| {
            read_head(&mut reader).await?;
            held.wait().await;
            answer(&writer, "hello");
            writer.close().await
        })
        .await?;
        let is_read = Rc::new(Cell::new(false));
        let reads = is_read.clone();
        let task = create_task(async move {
            let session = ClientSession::new();
            let text = session.get(&url).await.unwrap().text().await.unwrap();
            reads.set(text == "hello");
            // `pending` does not note what it waits for.
            std::future::pending::<()>().await;
        });
        let waits_for = || task.task_ref().info().wait.map(|wait| wait.what);
        while waits_for() != Some(WaitsFor::Connection) {
            yield_now().await;
        }
        release.set();
        while !is_read.get() {
            yield_now().await;
        }
        assert_eq!(waits_for(), None);
        task.cancel();
        server.close();
        Ok(())
    });
}
