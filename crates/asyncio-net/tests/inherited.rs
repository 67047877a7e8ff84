//! Sockets that another program opened: socket activation, and sockets of any type.

mod common;

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};

use asyncio_net::{
    ConnectedSocket, ServerAddress, listen_fds, open_connection, sock_accept, start_server,
};
use common::{TempDir, run};
use rustix::io::{FdFlags, fcntl_getfd};
use socket2::{Domain, Socket, Type};

const PART: &str = "ASYNCIO_NET_INHERITED_TEST";

/// Starts one test of this binary as a service manager does: with one or two sockets as descriptors
/// 3 and 4, and the variables that announce them.
fn activate(part: &str, sockets: &[&dyn AsFd], variables: &str) -> Output {
    let copy = |at: usize| sockets.get(at).map(|socket| socket.as_fd().try_clone_to_owned());
    let socket = |at| copy(at).map_or_else(Stdio::null, |socket| socket.unwrap().into());
    // The shell moves the sockets to descriptors 3 and 4.
    let places = ["exec 3<&0", "exec 3<&0 4<&1"][sockets.len() - 1];
    let run = "exec \"$0\" --exact \"$1\" --nocapture";
    let script = format!("{places} </dev/null >/dev/null; {variables}; {run}");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).arg(part).env(PART, "1");
    command.stdin(socket(0)).stdout(socket(1)).stderr(Stdio::piped()).output().unwrap()
}

fn is_child() -> bool {
    std::env::var_os(PART).is_some()
}

#[test]
fn child_serves_two_sockets() {
    if !is_child() {
        return;
    }
    run(async || {
        let inherited = listen_fds()?;
        let names: Vec<_> = inherited.iter().map(|inherited| &*inherited.name).collect();
        assert_eq!(names, ["web", "unknown"]);
        assert!(listen_fds()?.is_empty(), "the variables were removed");
        for inherited in inherited {
            assert!(fcntl_getfd(&inherited.fd)?.contains(FdFlags::CLOEXEC));
            let address = ServerAddress::try_from(inherited.fd)?;
            let served = std::rc::Rc::new(std::cell::Cell::new(false));
            let server = start_server(address, {
                let served = served.clone();
                async move |_, writer| {
                    writer.write("hello");
                    writer.close().await.unwrap();
                    served.set(true);
                }
            })
            .await?;
            common::until(|| served.get()).await;
            server.close();
        }
        Ok(())
    });
}

#[test]
fn a_program_serves_the_sockets_of_its_service_manager() {
    let dir = TempDir::new();
    let path = dir.path("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    // The clients connect before the program starts.
    let mut clients: [Box<dyn Read>; 2] = [
        Box::new(TcpStream::connect(tcp.local_addr().unwrap()).unwrap()),
        Box::new(UnixStream::connect(&path).unwrap()),
    ];
    let variables = "export LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=web";
    let output = activate("child_serves_two_sockets", &[&tcp, &unix], variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for client in &mut clients {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
    assert!(path.exists(), "the file belongs to the service manager");
}

#[test]
fn child_has_no_sockets() {
    if is_child() {
        assert!(listen_fds().unwrap().is_empty());
    }
}

#[test]
fn child_has_wrong_sockets() {
    if is_child() {
        let error = listen_fds().unwrap_err();
        io::Write::write_all(&mut io::stderr(), error.to_string().as_bytes()).unwrap();
    }
}

#[test]
fn sockets_for_another_process_or_none_or_wrong_ones() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    for variables in [
        "export LISTEN_FDS=1 LISTEN_PID=1",
        "export LISTEN_FDS=1",
        "export LISTEN_PID=$$",
        "export LISTEN_FDS=0 LISTEN_PID=$$",
    ] {
        let output = activate("child_has_no_sockets", &[&socket], variables);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for (variables, text) in [
        ("export LISTEN_FDS=many LISTEN_PID=$$", "LISTEN_FDS"),
        ("export LISTEN_FDS=-1 LISTEN_PID=$$", "LISTEN_FDS"),
        ("export LISTEN_FDS=100000 LISTEN_PID=$$", "Bad file descriptor"),
    ] {
        let output = activate("child_has_wrong_sockets", &[&socket], variables);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(text), "{said}");
    }
}

#[test]
fn sockets_of_any_type_serve_and_connect() {
    run(async || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(1)?;
        let address = ServerAddress::try_from(OwnedFd::from(socket))?;
        let server = start_server(address, async |_, writer| writer.write("hello")).await?;

        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.connect(&server.local_addr()?.into())?;
        let socket = ConnectedSocket::try_from(OwnedFd::from(socket))?;
        let (mut reader, _writer) = open_connection(socket).await?;
        assert_eq!(reader.read_to_end().await?, "hello");

        let datagrams = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        let error = ServerAddress::try_from(OwnedFd::from(datagrams)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let (datagrams, _other) = UnixDatagram::pair()?;
        assert!(ServerAddress::try_from(OwnedFd::from(datagrams)).is_err());

        // A socket from `sock_accept` is a connected socket, too.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (accepted, _) = sock_accept(&listener).await?;
        let (_reader, writer) = open_connection(ConnectedSocket::try_from(accepted)?).await?;
        writer.write(b"hello");
        writer.close().await?;
        let mut text = String::new();
        client.read_to_string(&mut text)?;
        assert_eq!(text, "hello");
        Ok(())
    });
}
