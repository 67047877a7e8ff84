//! Servers and clients on a simulated network: many schedules, slow links, partitions, the end of
//! hosts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use asyncio_http::{App, ClientSession, Request, Timeouts, serve};
use asyncio_loop::LoopTime;
use asyncio_task::{create_future, create_task, running_loop, sleep, timeout};
use asyncio_testing::{Faults, Network, Simulation, rng};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

const MS: Duration = Duration::from_millis(1);
/// Copies of the path in a response, enough for several segments.
const PARTS: usize = 8000;

/// The response to a path. It repeats the path, so that any mix-up of two responses is noticed.
fn answer_to(path: &str) -> String {
    path.repeat(PARTS)
}

/// The program of a server that responds to each path with its own text, after a delay.
async fn server() -> std::io::Result<()> {
    let answer = async |request: Request| {
        sleep(rng().duration(Duration::ZERO, 20 * MS)).await;
        answer_to(request.uri().path())
    };
    serve(":80", answer).await?.serve_forever().await;
    Ok(())
}

fn within(seconds: u64) -> Timeouts {
    Timeouts::default().total(Duration::from_secs(seconds))
}

#[test]
fn a_session_asks_a_server_on_another_host() {
    let body = async || {
        let net = Network::new();
        net.host("server", async || {
            let app = App::new().get("/hello", async || "hello");
            serve(":80", app).await?.serve_forever().await;
            std::io::Result::Ok(())
        });
        let session = ClientSession::new();
        for _ in 0..3 {
            let response = session.get("http://server/hello").await?;
            assert!(response.is_ok());
            assert_eq!(response.text().await?, "hello");
        }
        assert_eq!(session.connection_count(), 1);
        TestResult::Ok(())
    };
    Simulation::new().seeds(30).run(body).unwrap();
}

/// One of several tasks that share a session: requests its own paths, and drops some responses
/// half-read.
async fn customer(session: Rc<ClientSession>, name: usize, whole: Rc<Cell<u32>>) {
    for number in 0..6 {
        let path = format!("/{name}.{number}");
        let exchange = async {
            let mut response = session.get(format!("http://server{path}")).await?;
            let mut text = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                text.extend_from_slice(&chunk);
                if rng().chance(0.1) {
                    // Drops the rest of the response.
                    return Ok(None);
                }
            }
            Ok::<_, asyncio_http::ClientError>(Some(text))
        };
        let limit = rng().duration(5 * MS, 500 * MS);
        if let Ok(Ok(Some(text))) = timeout(limit, exchange).await {
            assert!(text == answer_to(&path).as_bytes(), "{path}: {} bytes", text.len());
            whole.set(whole.get() + 1);
        }
    }
}

#[test]
fn an_answer_that_is_given_up_is_never_a_part_of_the_next() {
    let (all, given_up) = (Cell::new(0), Cell::new(0));
    let faults = Faults::new().cancel(0.001).delay(0.002, 50 * MS);
    let body = async || {
        let net = Network::new();
        net.host("server", server);
        net.links().latency(2 * MS).loss(0.002);
        net.link("test", "server").bandwidth(2_000_000);
        let session = ClientSession::builder().limit_per_host(3).build()?;
        let (session, whole) = (Rc::new(session), Rc::new(Cell::new(0)));
        let customers: Vec<_> = (0..5)
            .map(|name| create_task(customer(session.clone(), name, whole.clone())))
            .collect();
        for _ in 0..4 {
            sleep(rng().duration(Duration::ZERO, 300 * MS)).await;
            net.isolate("server");
            sleep(rng().duration(Duration::ZERO, 300 * MS)).await;
            net.heal();
            assert!(session.connection_count() <= 3);
        }
        for customer in customers {
            let _ = customer.await;
        }
        // No request still holds a place of the pool.
        let last = session.get("http://server/last").timeouts(within(60));
        assert_eq!(last.await?.text().await?, answer_to("/last"));
        all.set(all.get() + whole.get());
        given_up.set(given_up.get() + 30 - whole.get());
        TestResult::Ok(())
    };
    Simulation::new().seeds(60).faults(faults).allow_reports(true).run(body).unwrap();
    let counts = (all.get(), given_up.get());
    assert!(counts.0 > 300 && counts.1 > 300, "{counts:?}: both kinds are many");
}

#[test]
fn kept_connections_of_a_server_that_restarts_are_no_trouble() {
    let body = async || {
        let net = Network::new();
        let host = net.host("server", server);
        let session = ClientSession::builder().timeouts(within(30)).build()?;
        for number in 0..3 {
            let path = format!("/{number}");
            let text = session.get(format!("http://server{path}")).await?.text().await?;
            assert_eq!(text, answer_to(&path));
            assert_eq!(session.connection_count(), 1, "the connection is kept");
            if rng().chance(0.5) {
                host.crash();
                sleep(rng().duration(Duration::ZERO, Duration::from_secs(5))).await;
            }
            host.restart();
            // A stopped host's resets are still in transit. A crashed host sends none.
            sleep(rng().duration(Duration::ZERO, 5 * MS)).await;
            if let Ok(response) = session.get("http://server/probe").await {
                if let Ok(text) = response.text().await {
                    assert!(text == answer_to("/probe"));
                }
            }
        }
        TestResult::Ok(())
    };
    Simulation::new().seeds(100).run(body).unwrap();
}

/// A request that the server has started to serve: when it started, and when it will finish.
struct Begun {
    path: String,
    at: LoopTime,
    until: LoopTime,
}

#[test]
fn a_shutdown_cuts_no_answer_that_is_done_within_its_grace() {
    const GRACE: Duration = Duration::from_secs(1);
    const WAY: Duration = Duration::from_millis(60);
    let body = async || {
        let net = Network::new();
        let (begun, stopped) = (Rc::new(RefCell::new(Vec::new())), create_future());
        let (noted, stop) = (Rc::clone(&begun), stopped.clone());
        let host = net.host("server", async move || {
            let noted = Rc::clone(&noted);
            let answer = async move |request: Request| {
                let (at, path) = (running_loop().time(), request.uri().path().to_owned());
                let work = rng().duration(Duration::ZERO, 1200 * MS);
                noted.borrow_mut().push(Begun { path: path.clone(), at, until: at + work });
                sleep(work).await;
                answer_to(&path)
            };
            let server = serve(":80", answer).await?;
            sleep(600 * MS).await;
            let begin = running_loop().time();
            server.shutdown(GRACE).await;
            let took = running_loop().time() - begin;
            assert!(took <= GRACE + MS, "{took:?}");
            let _ = stop.set_result(begin);
            std::io::Result::Ok(())
        });
        let session = Rc::new(ClientSession::new());
        let client = async |session: Rc<ClientSession>, number: u32| {
            sleep(rng().duration(Duration::ZERO, 700 * MS)).await;
            let path = format!("/{number}");
            let answer =
                async { session.get(format!("http://server{path}")).await?.text().await }.await;
            if let Ok(text) = &answer {
                assert!(*text == answer_to(&path), "{path}: a part, or another answer");
            }
            (path, answer.is_ok())
        };
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let session = Rc::clone(&session);
                create_task(async move { client(session, number).await })
            })
            .collect();
        let mut served = Vec::new();
        for client in clients {
            served.push(client.await?);
        }
        host.ended().await;
        let end = stopped.await?;
        for Begun { path, at, until } in &*begun.borrow() {
            if *at <= end && *until + WAY < end + GRACE {
                assert!(served.contains(&(path.clone(), true)), "{path} was begun in time");
            }
        }
        assert!(session.get("http://server/late").await.is_err());
        TestResult::Ok(())
    };
    Simulation::new().seeds(150).run(body).unwrap();
}

#[cfg(feature = "tls")]
#[test]
fn a_session_asks_by_tls_and_http2() {
    use asyncio_tls::{Identity, TlsClient, TlsServer};

    let made = rcgen::generate_simple_self_signed(vec!["server".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let body = async || {
        let net = Network::new();
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes())?;
        let tls = TlsServer::builder().identity(identity).build()?;
        net.host("server", async move || {
            let answer = async |request: Request| answer_to(request.uri().path());
            serve(":443", answer).tls(&tls).await?.serve_forever().await;
            std::io::Result::Ok(())
        });
        let tls = TlsClient::builder().roots_pem(chain.as_bytes())?.build()?;
        let session = ClientSession::builder().tls(&tls).build()?;
        let requests = ["/a", "/b"].map(|path| {
            let request = session.get(format!("https://server{path}"));
            async move {
                let response = request.await?;
                assert_eq!(response.version(), http::Version::HTTP_2);
                assert_eq!(response.text().await?, answer_to(path));
                TestResult::Ok(())
            }
        });
        for result in asyncio_task::gather(requests).await {
            result?;
        }
        TestResult::Ok(())
    };
    Simulation::new().seeds(10).run(body).unwrap();
}
