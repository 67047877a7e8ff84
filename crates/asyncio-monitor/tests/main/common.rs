//! Clients without asyncio, on threads of their own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_monitor::{Monitor, Options};
use asyncio_task::to_thread;

/// More than a loaded machine needs: a wait that takes longer hangs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(300);

/// A monitor of the running loop on a port that the system chooses.
pub(crate) fn start(options: Options) -> (Monitor, SocketAddr) {
    let options = options.address("127.0.0.1:0").answer_timeout(TIMEOUT);
    let monitor = asyncio_monitor::start(&running_loop(), options).unwrap();
    let address = monitor.local_addr().unwrap();
    (monitor, address)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket.set_write_timeout(Some(TIMEOUT)).unwrap();
    socket
}

/// Sends this text, and returns all that the monitor sends until the connection ends.
pub(crate) fn exchange(address: SocketAddr, text: &str) -> String {
    let mut socket = connect(address);
    // The monitor may close the connection before it has read everything, so the write may fail.
    let _ = socket.write_all(text.as_bytes()).and_then(|()| socket.shutdown(Shutdown::Write));
    read_to_end(&mut socket)
}

pub(crate) fn read_to_end(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // The connection may end with a reset.
    let _ = socket.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

/// [`exchange`], while the loop goes on.
pub(crate) async fn say(address: SocketAddr, text: impl Into<String>) -> String {
    let text = text.into();
    to_thread(move || exchange(address, &text)).await.unwrap()
}

/// Sends a request with these additional header lines and this body; returns the status and body of
/// the response.
pub(crate) async fn request(
    address: SocketAddr,
    first: &str,
    headers: &[&str],
    body: &str,
) -> (u16, String) {
    let mut text = format!("{first} HTTP/1.1\r\n");
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    if !headers.iter().any(|header| header.starts_with("Host")) {
        text.push_str(&format!("Host: {address}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str(&format!("\r\n{body}"));
    // Like a browser, does not shut down the sending half.
    let ask = move || {
        let mut socket = connect(address);
        let _ = socket.write_all(text.as_bytes());
        read_to_end(&mut socket)
    };
    let answer = to_thread(ask).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}
