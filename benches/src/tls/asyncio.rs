//! The services on asyncio, by streams and by protocol.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use asyncio::event_loop::{ErrorContext, LoopRef};
use asyncio::tls::TlsServer;
use asyncio::{Protocol, StreamReader, StreamWriter, Transport};
use rustls::ServerConfig;

use super::{PIECE, TlsService};

pub(super) fn serve_streams(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    service: TlsService,
) -> io::Result<()> {
    asyncio::run(async move {
        let server = asyncio::start_server(listener, async move |reader, writer| match service {
            TlsService::Echo(_) => echo(reader, writer).await,
            TlsService::Receive(bytes) => receive(reader, writer, bytes).await,
            TlsService::Send(bytes) => send(reader, writer, bytes).await,
            TlsService::Close => writer.close().await,
        });
        quiet();
        server.tls(&TlsServer::from_config(config)).await?.serve_forever().await
    })
}

/// At the end of a measurement all connections are aborted, which is not reported.
fn quiet() {
    let ignore = |_: &LoopRef, _: &ErrorContext| ();
    asyncio::running_loop().set_exception_handler(Some(Rc::new(ignore)));
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

async fn receive(mut reader: StreamReader, writer: StreamWriter, bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let mut received = 0;
        while received < bytes {
            match reader.read_into(&mut buffer).await? {
                0 => return Ok(()),
                length => received += length,
            }
        }
        writer.write(b"x");
    }
}

async fn send(mut reader: StreamReader, writer: StreamWriter, bytes: usize) -> io::Result<()> {
    let piece = vec![b'x'; PIECE];
    let mut byte = [0];
    while reader.read_into(&mut byte).await? > 0 {
        for _ in 0..bytes / PIECE {
            writer.write(&piece);
            writer.drain().await?;
        }
    }
    Ok(())
}

pub(super) fn serve_protocol(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    service: TlsService,
) -> io::Result<()> {
    let tls = TlsServer::from_config(config);
    asyncio::run(async move {
        quiet();
        let server = match service {
            TlsService::Echo(_) => asyncio::create_server(listener, || Echo).tls(&tls).await?,
            TlsService::Receive(bytes) => {
                let receiver = move || Receive { bytes, received: 0 };
                asyncio::create_server(listener, receiver).tls(&tls).await?
            }
            TlsService::Send(bytes) => {
                let sender = move || Send { bytes, left: 0, full: false };
                asyncio::create_server(listener, sender).tls(&tls).await?
            }
            TlsService::Close => asyncio::create_server(listener, || Close).tls(&tls).await?,
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

struct Receive {
    bytes: usize,
    received: usize,
}

impl Protocol for Receive {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.received += data.len();
        if self.received >= self.bytes {
            self.received -= self.bytes;
            transport.write(b"x");
        }
    }
}

struct Send {
    bytes: usize,
    left: usize,
    full: bool,
}

impl Send {
    fn go_on(&mut self, transport: &Transport) {
        while self.left > 0 && !self.full {
            self.left -= PIECE;
            // `pause_writing` comes in a call of its own; until then the buffer's size is checked
            // here.
            transport.write([b'x'; PIECE]);
            if transport.write_buffer_size() > 0 {
                self.full = true;
            }
        }
    }
}

impl Protocol for Send {
    fn connection_made(&mut self, transport: &Transport) {
        transport.set_write_buffer_limits(Some(0), None);
    }

    fn data_received(&mut self, transport: &Transport, _data: &[u8]) {
        self.left += self.bytes;
        self.go_on(transport);
    }

    fn pause_writing(&mut self, _transport: &Transport) {
        self.full = true;
    }

    fn resume_writing(&mut self, transport: &Transport) {
        self.full = false;
        self.go_on(transport);
    }
}

struct Close;

impl Protocol for Close {
    fn connection_made(&mut self, transport: &Transport) {
        transport.close();
    }

    fn data_received(&mut self, _transport: &Transport, _data: &[u8]) {}
}
