//! The services on monoio: io_uring where the kernel has it, else epoll.

use std::io;
use std::net::TcpListener;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncBufReadExt, AsyncReadRent, AsyncWriteRentExt, BufReader, Splitable};
use monoio::net::TcpStream;
use monoio::net::udp::UdpSocket;
use monoio::{FusionDriver, RuntimeBuilder};

use super::{DATAGRAM, Service, datagram_socket};

pub(super) fn serve(listener: TcpListener, service: Service) -> io::Result<()> {
    RuntimeBuilder::<FusionDriver>::new().enable_timer().build()?.block_on(async {
        if service == Service::Datagrams {
            return datagrams(UdpSocket::from_std(datagram_socket(&listener)?)?).await;
        }
        let listener = monoio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(async move {
                match service {
                    Service::Echo(buffer) => echo(stream, buffer).await,
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
        let (outcome, filled) = stream.read(buffer).await;
        let length = outcome?;
        if length == 0 {
            return Ok(());
        }
        let (outcome, slice) = stream.write_all(filled.slice_mut(..length)).await;
        outcome?;
        buffer = slice.into_inner();
    }
}

async fn lines(stream: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        let (outcome, written) = writer.write_all(line).await;
        outcome?;
        line = written;
        line.clear();
    }
    Ok(())
}

async fn datagrams(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (outcome, filled) = socket.recv_from(buffer).await;
        let (length, sender) = outcome?;
        let (outcome, slice) = socket.send_to(filled.slice(..length), sender).await;
        outcome?;
        buffer = slice.into_inner();
    }
}
