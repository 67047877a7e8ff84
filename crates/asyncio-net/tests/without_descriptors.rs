//! Running out of file descriptors. These tests run in a process of their own and one after
//! another, since the limit is the whole process's.

mod common;

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_net::{
    Address, ConnectErrors, DatagramProtocol, DatagramTransport, create_datagram_endpoint,
    create_server, open_connection, open_unix_connection,
};
use asyncio_task::{Runner, sleep};
use common::{Probe, Recorder, reports, run_in_virtual_time};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a test that ends up without descriptors.
#[track_caller]
fn run_alone(test: impl AsyncFnOnce() -> io::Result<()>) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    run_in_virtual_time(test);
}

#[test]
fn a_runner_that_could_make_no_loop_makes_one_later() {
    let mut runner = Runner::new();
    run_alone(async || {
        let files = take_all();
        let panic = catch_unwind(AssertUnwindSafe(|| runner.event_loop())).unwrap_err();
        let text = panic.downcast::<String>().unwrap();
        assert!(text.starts_with("cannot make an event loop: "), "{text}");
        drop(files);
        assert!(!runner.event_loop().unwrap().is_closed());
        Ok(())
    });
    assert_eq!(runner.run(async { 1 }), Ok(1));
}

/// Opens files until no descriptor is left.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

// V-011
#[test]
fn accepting_pauses_is_reported_once_and_recovers() {
    run_alone(async || {
        let reports = reports();
        let probe = Probe::new()?;
        let recorder = Recorder::default();
        let server = create_server("127.0.0.1:0", {
            let recorder = recorder.clone();
            move || recorder.clone()
        })
        .await?;
        let mut clients = vec![TcpStream::connect(server.local_addr()?)?];
        recorder.log.until("made").await;
        // The client's socket gets the last descriptor, so the server cannot accept it.
        clients.push(connect_unaccepted(&server.local_addr()?)?);
        let mut files = take_all();
        probe.until(|| !reports.borrow().is_empty()).await;
        probe.settle().await;
        assert_eq!(server.client_count(), 1);
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        assert!(reports.borrow()[0].contains("127.0.0.1"), "{reports:?}");
        assert!(server.is_serving());

        files.truncate(10);
        probe.settle().await;
        assert_eq!(server.client_count(), 1, "the server pauses before it accepts again");
        let before = running_loop().time();
        // The clock is virtual.
        sleep(Duration::from_millis(1100)).await;
        probe.settle().await;
        assert!(running_loop().time() - before < Duration::from_secs(2));
        assert_eq!(server.client_count(), 2);
        assert_eq!(reports.borrow().len(), 1);
        Ok(())
    });
}

struct NoDatagrams;

impl DatagramProtocol for NoDatagrams {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
}

#[test]
fn making_sockets_fails_with_the_systems_error_and_works_again() {
    run_alone(async || {
        let reports = reports();
        let server = create_server("127.0.0.1:0", Recorder::default).await?;
        let address = server.local_addr()?;
        let is_limit = |error: io::Error, at: &str| {
            let text = error.to_string();
            assert!(text.starts_with(&format!("cannot {at}: Too many open files")), "{text}");
            let errors = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectErrors>());
            let cause = match errors {
                Some(errors) => Some(&errors.attempts()[0].1),
                None => error.get_ref().unwrap().source().unwrap().downcast_ref::<io::Error>(),
            };
            let limit = rustix::io::Errno::MFILE.raw_os_error();
            assert_eq!(cause.unwrap().raw_os_error(), Some(limit));
        };
        let endpoint = || create_datagram_endpoint(|| NoDatagrams).local_addr("127.0.0.1:0");
        let files = take_all();
        let error = open_connection(address).await.unwrap_err();
        is_limit(error, &format!("connect to {address}"));
        let error = open_unix_connection("/no/such/path").await.unwrap_err();
        is_limit(error, "connect to /no/such/path");
        let error = create_server("127.0.0.1:0", Recorder::default).await.unwrap_err();
        is_limit(error, "listen on 127.0.0.1:0");
        is_limit(endpoint().await.unwrap_err(), "bind to 127.0.0.1:0");
        let free = files.len();
        drop(files);
        let files = take_all();
        assert_eq!(files.len(), free, "no connection was lost");
        drop(files);
        open_connection(address).await?;
        create_server("127.0.0.1:0", Recorder::default).await?;
        endpoint().await?;
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}

fn connect_unaccepted(address: &std::net::SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address)
}
