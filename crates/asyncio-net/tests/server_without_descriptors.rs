//! Running out of descriptors, in a process of its own: the limit is everybody's.

mod common;

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_net::create_server;
use asyncio_task::sleep;
use common::{Probe, Recorder, reports, run_in_virtual_time};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

// V-011
#[test]
fn accepting_pauses_is_reported_once_and_recovers() {
    run_in_virtual_time(async || {
        let reports = reports();
        let probe = Probe::new()?;
        let recorder = Recorder::default();
        let server = create_server("127.0.0.1:0", {
            let recorder = recorder.clone();
            move || recorder.clone()
        })
        .await?;
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit })?;

        let mut clients = vec![TcpStream::connect(server.local_addr()?)?];
        recorder.log.until("made").await;
        // The client's socket first, then nothing is left for the server's.
        let mut files = Vec::new();
        clients.push(connect_unaccepted(&server.local_addr()?)?);
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        probe.until(|| !reports.borrow().is_empty()).await;
        probe.settle().await;
        assert_eq!(server.client_count(), 1);
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        assert!(reports.borrow()[0].contains("127.0.0.1"), "{reports:?}");
        assert!(server.is_serving());

        files.truncate(10);
        probe.settle().await;
        assert_eq!(server.client_count(), 1, "it waits for a while");
        let before = running_loop().time();
        // Virtual ones.
        sleep(Duration::from_millis(1100)).await;
        probe.settle().await;
        assert!(running_loop().time() - before < Duration::from_secs(2));
        assert_eq!(server.client_count(), 2);
        assert_eq!(reports.borrow().len(), 1);
        Ok(())
    });
}

fn connect_unaccepted(address: &std::net::SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address)
}
