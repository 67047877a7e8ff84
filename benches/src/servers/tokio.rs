//! The services on tokio, current_thread.

use std::io;
use std::net::TcpListener;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

use super::{DATAGRAM, Service, datagram_socket};

pub(super) fn serve(listener: TcpListener, service: Service) -> io::Result<()> {
    run(listener, service, false)
}

/// Like [`serve`], with a `BufWriter` around the connection of [`Service::Lines`].
pub(super) fn serve_buffered(listener: TcpListener, service: Service) -> io::Result<()> {
    run(listener, service, true)
}

fn run(listener: TcpListener, service: Service, buffered: bool) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        if service == Service::Datagrams {
            return datagrams(UdpSocket::from_std(datagram_socket(&listener)?)?).await;
        }
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            spawn_local(async move {
                match service {
                    Service::Echo(buffer) => echo(stream, buffer).await,
                    Service::Lines if buffered => lines_buffered(stream).await,
                    Service::Lines => lines(stream).await,
                    Service::Close | Service::Datagrams => Ok(()),
                }
            });
        }
    })
}

async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}

async fn lines(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await? > 0 {
        stream.write_all(&line).await?;
        line.clear();
    }
    Ok(())
}

/// The careful version: a buffered writer, flushed before waiting for input.
async fn lines_buffered(mut stream: TcpStream) -> io::Result<()> {
    let (reader, writer) = stream.split();
    let (mut reader, mut writer) = (BufReader::new(reader), BufWriter::new(writer));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        writer.write_all(&line).await?;
        line.clear();
        if reader.buffer().is_empty() {
            writer.flush().await?;
        }
    }
    Ok(())
}

async fn datagrams(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = [0; DATAGRAM];
    loop {
        let (length, sender) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..length], sender).await?;
    }
}
