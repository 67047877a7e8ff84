//! Debug mode: client sessions that had to be closed.
// I-006

mod common;

use asyncio_http::testing::TestClient;
use asyncio_http::{App, ClientSession, serve};
use asyncio_loop::running_loop;
use asyncio_testing::{Network, Simulation};
use common::{TestResult, reports, run_in_virtual_time};

/// Runs a test in virtual time beside a server, in debug mode.
fn beside_a_server(debug: bool, test: impl AsyncFn() -> TestResult + Copy + 'static) {
    let body = async move || {
        let net = Network::new();
        net.host("server", async || {
            let app = App::new().get("/hello", async || "hello");
            serve(":80", app).await?.serve_forever().await;
            std::io::Result::Ok(())
        });
        running_loop().set_debug(debug);
        test().await
    };
    Simulation::new().seeds(5).run(body).unwrap();
}

async fn ask(session: &ClientSession) -> TestResult {
    let text = session.get("http://server/hello").await?.text().await?;
    assert_eq!(text, "hello");
    Ok(())
}

fn made_here(line: u32) -> String {
    format!("created at: {}:{line}:", file!())
}

#[test]
fn a_session_that_is_dropped_unclosed_is_reported_with_the_call_that_made_it() {
    beside_a_server(true, async || {
        let reports = reports();
        let (session, line) = (ClientSession::new(), line!());
        ask(&session).await?;
        let other = session.clone();
        drop(session);
        assert!(reports.borrow().is_empty(), "a second report: {reports:?}");
        drop(other);
        let report = reports.take().remove(0);
        let what = "an HTTP client session was dropped without being closed";
        assert!(report.starts_with(what), "{report}");
        assert!(report.contains("connections: 1"), "{report}");
        assert!(report.contains(&made_here(line)), "{report}");

        let (session, line) = (ClientSession::builder().limit(1).build()?, line!());
        ask(&session).await?;
        drop(session);
        assert!(reports.take()[0].contains(&made_here(line)));
        let (session, line) = (ClientSession::default(), line!());
        ask(&session).await?;
        drop(session);
        assert!(reports.take()[0].contains(&made_here(line)));
        Ok(())
    });
}

#[test]
fn one_that_is_closed_or_has_no_connection_is_not() {
    beside_a_server(true, async || {
        let reports = reports();
        let session = ClientSession::new();
        ask(&session).await?;
        session.close();
        drop(session);
        drop(ClientSession::new());
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}

#[test]
fn nor_is_any_without_debug_mode() {
    beside_a_server(false, async || {
        let reports = reports();
        let session = ClientSession::new();
        ask(&session).await?;
        drop(session);
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}

#[test]
fn nor_is_that_of_a_test_client() {
    run_in_virtual_time(async || {
        running_loop().set_debug(true);
        let reports = reports();
        let client = TestClient::new(App::new().get("/", async || "hello"));
        assert_eq!(client.get("/").await?.text().await?, "hello");
        drop(client);
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}
