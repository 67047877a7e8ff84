//! The services on asyncio, by streams and by protocol.

use std::io;
use std::net::TcpListener;

use asyncio::net::Address;
use asyncio::{
    Bytes, DatagramProtocol, DatagramTransport, Protocol, StreamReader, StreamWriter, Transport,
};

use super::{Service, datagram_socket, lines_of};

pub(super) fn serve_streams(listener: TcpListener, service: Service) -> io::Result<()> {
    asyncio::run(async move {
        let server = asyncio::start_server(listener, async move |reader, writer| match service {
            Service::Echo(_) => echo(reader, writer).await,
            Service::Lines => lines(reader, writer).await,
            Service::Close | Service::Datagrams => Ok(()),
        });
        server.await?.serve_forever().await
    })
}

/// Echo by `read`, which returns owned bytes.
pub(super) fn serve_reads(listener: TcpListener, service: Service) -> io::Result<()> {
    let Service::Echo(length) = service else { return serve_streams(listener, service) };
    asyncio::run(async move {
        let server = asyncio::start_server(listener, async move |mut reader, writer| {
            loop {
                let data: Bytes = reader.read(length).await?;
                if data.is_empty() {
                    return io::Result::Ok(());
                }
                writer.write_bytes(data);
                writer.drain().await?;
            }
        });
        server.await?.serve_forever().await
    })
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let data = reader.fill_buf().await?;
        if data.is_empty() {
            return Ok(());
        }
        writer.write(data);
        let length = data.len();
        reader.consume(length);
        writer.drain().await?;
    }
}

async fn lines(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let mut line = Vec::new();
    while reader.read_line_into(&mut line).await? > 0 {
        writer.write(&line);
        writer.drain().await?;
        line.clear();
    }
    Ok(())
}

pub(super) fn serve_protocol(listener: TcpListener, service: Service) -> io::Result<()> {
    asyncio::run(async move {
        if service == Service::Datagrams {
            let socket = datagram_socket(&listener)?;
            asyncio::create_datagram_endpoint(|| Datagrams).socket(socket).await?;
        }
        let server = match service {
            Service::Echo(_) => asyncio::create_server(listener, || Echo).await?,
            Service::Lines => asyncio::create_server(listener, Lines::default).await?,
            Service::Close | Service::Datagrams => {
                asyncio::create_server(listener, || Close).await?
            }
        };
        server.serve_forever().await
    })
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// Keeps the start of a line whose end has not arrived.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Protocol for Lines {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        for part in lines_of(data) {
            if self.0.is_empty() && part.ends_with(b"\n") {
                transport.write(part);
                continue;
            }
            self.0.extend_from_slice(part);
            if part.ends_with(b"\n") {
                transport.write(&self.0);
                self.0.clear();
            }
        }
    }
}

struct Close;

impl Protocol for Close {
    fn connection_made(&mut self, transport: &Transport) {
        transport.close();
    }

    fn data_received(&mut self, _transport: &Transport, _data: &[u8]) {}
}

struct Datagrams;

impl DatagramProtocol for Datagrams {
    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], sender: &Address) {
        transport.send_to(data, sender.clone());
    }
}
