//! Connections and servers that are made by builders.

mod common;

use std::io;
use std::mem::size_of_val;
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
use std::path::Path;
use std::time::Duration;

use asyncio_net::{
    Address, Family, StreamReader, StreamWriter, connect_accepted_socket, create_connection,
    create_server, open_connection, open_unix_connection, start_server, start_unix_server,
};
use common::{Echo, TempDir, run};

#[test]
fn the_loop_is_looked_for_when_it_is_awaited() {
    let server = start_server("127.0.0.1:0", async |_, writer| writer.write("hello"));
    let answer = asyncio_task::run(async {
        let server = server.await?;
        let connecting = open_connection(server.local_addr()?);
        let (mut reader, _writer) = connecting.limit(10).await?;
        reader.read_to_end().await
    });
    assert_eq!(answer.unwrap(), "hello");
}

#[test]
fn without_a_loop_the_panic_names_the_call() {
    fn poll_once<F: IntoFuture>(builder: F) {
        let mut future = std::pin::pin!(builder.into_future());
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let _ = future.as_mut().poll(cx);
    }
    let texts = [
        catch_unwind(|| poll_once(open_connection("127.0.0.1:1"))),
        catch_unwind(|| poll_once(create_server("127.0.0.1:0", || Echo))),
    ];
    for text in texts {
        let payload = text.unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.contains("tests/builders.rs"), "{text}");
    }
}

#[test]
fn options_of_internet_addresses_do_not_go_with_sockets_and_paths() {
    run(async || {
        let dir = TempDir::new();
        let error = open_unix_connection(dir.path("socket")).family(Family::Inet).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let (ours, _theirs) = UnixStream::pair()?;
        let error = create_connection(ours, || Echo).local_addr("127.0.0.1:0").await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let (ours, _theirs) = UnixStream::pair()?;
        let error = open_connection(ours).happy_eyeballs_delay(Duration::ZERO).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let (ours, _theirs) = UnixStream::pair()?;
        let error = connect_accepted_socket(ours, || Echo).interleave(1).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn whoever_awaits_a_builder_is_small() {
    async fn connects() -> io::Result<(StreamReader, StreamWriter)> {
        open_connection("127.0.0.1:1").await
    }
    async fn serves() -> io::Result<()> {
        start_server("127.0.0.1:0", async |_, _| ()).await.map(drop)
    }
    assert!(size_of_val(&connects()) <= 40, "{}", size_of_val(&connects()));
    assert!(size_of_val(&serves()) <= 32, "{}", size_of_val(&serves()));
}

#[test]
fn builders_say_what_they_are_about_to_do() {
    let text = format!("{:?}", open_connection("localhost:80").limit(7));
    assert!(text.contains("localhost") && text.contains("limit: 7"), "{text}");
    assert!(text.contains("tests/builders.rs"), "{text}");
    let text = format!("{:?}", start_server("localhost:80", async |_, _| ()).backlog(7));
    assert!(text.contains("localhost") && text.contains("backlog: 7"), "{text}");
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn abstract_name() -> String {
    format!("\0asyncio-net-test-{}", std::process::id())
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
#[test]
fn an_abstract_name_is_refused_where_the_system_has_none() {
    run(async || {
        let name = "\0asyncio-net-test";
        let connected = open_connection(Address::from(Path::new(name))).await.map(drop);
        let served = start_unix_server(name, async |_, _| ()).await.map(drop);
        for refused in [connected, served] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Unsupported);
        }
        Ok(())
    });
}

#[test]
fn an_address_of_any_kind_is_what_one_connects_to() {
    run(async || {
        let dir = TempDir::new();
        let servers = [
            start_server("127.0.0.1:0", async |_, writer| writer.write("hello")).await?,
            start_unix_server(dir.path("socket"), async |_, w| w.write("hello")).await?,
            #[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
            start_unix_server(abstract_name(), async |_, writer| writer.write("hello")).await?,
        ];
        for server in servers {
            let address = server.addresses().remove(0);
            let (mut reader, writer) = open_connection(&address).await?;
            assert_eq!(reader.read_to_end().await?, "hello");
            assert_eq!(writer.transport().peer_address(), address);
            assert_eq!(writer.peer_addr().ok(), address.as_inet());
            server.close();
            let server = create_server(address.clone(), || Echo).await?;
            assert_eq!(server.addresses(), [address]);
        }
        let error = open_connection(Address::Unnamed).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}
