//! The files of Unix sockets: their ownership and removal.

mod common;

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use asyncio_net::{
    Address, DatagramProtocol, DatagramTransport, create_datagram_endpoint, create_unix_server,
    open_unix_connection,
};
use common::{Echo, TempDir, run, turn};
use socket2::{Domain, Socket, Type};

struct Ignore;

impl DatagramProtocol for Ignore {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
}

async fn datagrams(path: &Path) -> io::Result<DatagramTransport> {
    create_datagram_endpoint(|| Ignore).local_addr(path).await
}

async fn answers(path: &Path) -> io::Result<()> {
    let (mut reader, writer) = open_unix_connection(path).await?;
    writer.write(b"hello");
    assert_eq!(reader.read_exactly(5).await?, "hello");
    Ok(())
}

// V-024
#[test]
fn the_path_of_a_living_server_is_an_error_and_the_server_goes_on() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let _server = create_unix_server(&path, || Echo).await?;
        for error in [
            create_unix_server(&path, || Echo).await.unwrap_err(),
            datagrams(&path).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        answers(&path).await
    });
}

#[test]
fn a_living_server_is_not_disturbed_by_the_question() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let server = UnixListener::bind(&path)?;
        server.set_nonblocking(true)?;
        create_unix_server(&path, || Echo).await.unwrap_err();
        assert_eq!(server.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn a_socket_that_is_bound_and_does_not_listen_yet_is_alive() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let starting = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        starting.bind(&socket2::SockAddr::unix(&path)?)?;
        let error = create_unix_server(&path, || Echo).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(starting);
        create_unix_server(&path, || Echo).await.map(drop)
    });
}

#[test]
fn a_living_server_is_replaced_on_request() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let old = create_unix_server(&path, || Echo).await?;
        let new = create_unix_server(&path, || Echo).replace_socket(true).await?;
        old.close();
        answers(&path).await?;
        assert_eq!(new.client_count(), 1);
        new.close();
        assert!(!path.exists());
        Ok(())
    });
}

#[test]
fn the_path_of_a_living_datagram_socket_is_an_error() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        // The socket is connected to another one, so it receives datagrams from that one only.
        let (other, living) = (dir.path("other"), UnixDatagram::bind(&path)?);
        let _peer = UnixDatagram::bind(&other)?;
        for _ in 0..2 {
            let error = datagrams(&path).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            living.connect(&other)?;
        }
        let new = create_datagram_endpoint(|| Ignore).local_addr(&path);
        let transport = new.replace_socket(true).await?;
        let peer = UnixDatagram::unbound()?;
        peer.connect(&path)?;
        transport.close();
        turn().await;
        assert!(!path.exists());
        drop(living);

        drop(UnixDatagram::bind(&path)?);
        datagrams(&path).await.map(drop)
    });
}

#[test]
fn the_file_of_a_datagram_socket_that_another_one_replaced_stays() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let transport = datagrams(&path).await?;
        std::fs::remove_file(&path)?;
        let _successor = UnixDatagram::bind(&path)?;
        transport.abort();
        turn().await;
        assert!(path.exists());
        Ok(())
    });
}

#[test]
fn a_file_is_removed_from_where_it_was_though_the_directory_has_changed() {
    // The working directory belongs to the whole process, so the test runs in a child process.
    const PART: &str = "ASYNCIO_NET_UNIX_FILES_TEST";
    if std::env::var_os(PART).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "a_file_is_removed_from_where_it_was_though_the_directory_has_changed";
        command.args(["--exact", name]).env(PART, "1");
        assert!(command.output().unwrap().status.success());
        return;
    }
    run(async || {
        let dir = TempDir::new();
        std::env::set_current_dir(dir.path(""))?;
        let server = create_unix_server("socket", || Echo).await?;
        assert!(dir.path("socket").exists());
        std::env::set_current_dir("/")?;
        server.close();
        assert!(!dir.path("socket").exists());
        Ok(())
    });
}

#[test]
fn of_two_that_start_at_once_one_wins_and_keeps_its_clients() {
    let dir = TempDir::new();
    let path = dir.path("socket");
    for _ in 0..50 {
        drop(UnixListener::bind(&path));
        let (barrier, won) = (Barrier::new(4), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    run(async || {
                        barrier.wait();
                        match create_unix_server(&path, || Echo).await {
                            Ok(server) => {
                                won.fetch_add(1, Ordering::SeqCst);
                                // Waits until the other threads have tried to bind, too.
                                barrier.wait();
                                answers(&path).await?;
                                server.close();
                            }
                            Err(error) => {
                                assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
                                barrier.wait();
                            }
                        }
                        Ok(())
                    });
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
        assert!(!path.exists());
    }
}

#[test]
fn a_directory_that_somebody_has_locked_holds_up_nobody() {
    run(async || {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let directory = File::open(dir.path(""))?;
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)?;
        drop(UnixListener::bind(&path)?);
        let server = create_unix_server(&path, || Echo).await?;
        UnixStream::connect(&path)?;
        server.close();
        assert!(!path.exists());
        Ok(())
    });
}
