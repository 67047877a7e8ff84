//! The services on smol's local executor.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;

use smol::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use smol::{Async, LocalExecutor};

use super::{DATAGRAM, Service, datagram_socket};

pub(super) fn serve(listener: TcpListener, service: Service) -> io::Result<()> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        if service == Service::Datagrams {
            return datagrams(Async::try_from(datagram_socket(&listener)?)?).await;
        }
        let listener = Async::try_from(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let serve = async move {
                match service {
                    Service::Echo(buffer) => echo(stream, buffer).await,
                    Service::Lines => lines(stream).await,
                    Service::Close | Service::Datagrams => Ok(()),
                }
            };
            executor.spawn(serve).detach();
        }
    }))
}

async fn echo(mut stream: Async<TcpStream>, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}

async fn lines(stream: Async<TcpStream>) -> io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        (&stream).write_all(&line).await?;
        line.clear();
    }
    Ok(())
}

async fn datagrams(socket: Async<UdpSocket>) -> io::Result<()> {
    let mut buffer = [0; DATAGRAM];
    loop {
        let (length, sender) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..length], sender).await?;
    }
}
