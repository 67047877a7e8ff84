//! Debug mode: connections, servers and endpoints that had to be closed.
// I-006

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use asyncio_loop::running_loop;
use asyncio_net::{
    Address, DatagramProtocol, DatagramTransport, JoinedStream, Protocol, StreamReader,
    StreamWriter, Transport, connect_read_pipe, connect_write_pipe, create_connection,
    create_datagram_endpoint, create_server, open_connection, open_write_pipe, start_server,
    upgrade_streams,
};
use asyncio_task::{Runner, create_task, yield_now};

/// Runs `main` with or without debug mode. Returns the reports up to the end of the loop.
fn reported<F: Future<Output = io::Result<()>>>(debug: bool, main: F) -> Vec<String> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&reports);
    let whole = async move {
        running_loop().set_exception_handler(Some(Rc::new(move |_, context| {
            heard.borrow_mut().push(context.to_string());
        })));
        main.await.unwrap();
    };
    Runner::builder().debug(debug).run(whole);
    reports.take()
}

/// Checks that there is one report, which begins with `message` and contains each of `names`.
#[track_caller]
fn assert_one(reports: &[String], message: &str, names: &[&str]) {
    let [report] = reports else { panic!("{} reports: {reports:#?}", reports.len()) };
    assert!(report.starts_with(message), "{report}");
    for name in names {
        assert!(report.contains(name), "{name:?} is not in {report}");
    }
}

fn made_at(line: u32) -> String {
    format!("created at: {}:{line}:", file!())
}

/// A protocol that keeps its transport, as most protocols do.
#[derive(Default)]
struct Keeps(Option<Transport>);

impl Protocol for Keeps {
    fn connection_made(&mut self, transport: &Transport) {
        self.0 = Some(transport.clone());
    }
    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
}

struct Ignores;

impl DatagramProtocol for Ignores {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
}

const WRITER: &str = "a stream writer was dropped without being closed";
const TRANSPORT: &str = "a transport was not closed before its loop";
const SERVER: &str = "a server was not closed before its loop";
const ENDPOINT: &str = "a datagram endpoint was not closed before its loop";

#[test]
fn a_writer_of_a_client_names_its_peer_and_the_call_that_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = Cell::new(0);
    for debug in [true, false] {
        let reports = reported(debug, async {
            line.set(line!() + 1);
            let (_reader, _writer) = open_connection(address).await?;
            Ok(())
        });
        if debug {
            let peer = format!("peer: {address}");
            assert_one(&reports, WRITER, &[&peer, &made_at(line.get())]);
        } else {
            assert!(reports.is_empty(), "{reports:?}");
        }
    }
}

#[test]
fn a_writer_of_a_server_names_the_call_that_made_the_server() {
    let line = Cell::new(0);
    let reports = reported(true, async {
        let served = Rc::new(Cell::new(false));
        let serves = served.clone();
        line.set(line!() + 1);
        let server = start_server("127.0.0.1:0", async move |_: StreamReader, writer| {
            drop::<StreamWriter>(writer);
            serves.set(true);
        })
        .await?;
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        reader.read_to_end().await?;
        assert!(served.get());
        server.close();
        writer.close().await
    });
    assert_one(&reports, WRITER, &["peer: 127.0.0.1:", &made_at(line.get())]);
}

#[test]
fn a_writer_keeps_its_site_when_its_stream_is_upgraded() {
    let line = Cell::new(0);
    let reports = reported(true, async {
        let (ours, _theirs) = UnixStream::pair()?;
        line.set(line!() + 1);
        let (mut reader, mut writer) = JoinedStream::from_std(ours)?.split();
        upgrade_streams(&mut reader, &mut writer, async |plain| Ok(plain)).await
    });
    assert_one(&reports, WRITER, &[&made_at(line.get())]);
}

#[test]
fn closed_and_ended_writers_and_those_of_pipes_are_not_reported() {
    let reports = reported(true, async {
        let (ours, _theirs) = UnixStream::pair()?;
        let (_reader, writer) = JoinedStream::from_std(ours)?.split();
        writer.close().await?;
        let (ours, _theirs) = UnixStream::pair()?;
        let (_reader, writer) = JoinedStream::from_std(ours)?.split();
        writer.write_eof();
        // Dropping the writing end of a pipe is the usual way to end it.
        let (_theirs, ours) = rustix::pipe::pipe()?;
        drop(open_write_pipe(ours)?);
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn a_writer_that_goes_with_a_panic_is_not_reported_beside_it() {
    let reports = reported(true, async {
        let (ours, _theirs) = UnixStream::pair()?;
        let task = create_task(async move {
            let _streams = JoinedStream::from_std(ours)?.split();
            yield_now().await;
            std::panic::resume_unwind(Box::new("for show"));
            #[allow(unreachable_code, reason = "says what the block gives")]
            io::Result::Ok(())
        });
        assert!(task.await.is_err());
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn a_transport_that_outlives_its_loop_names_its_peer_and_the_call_that_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = Cell::new(0);
    let reports = reported(true, async {
        line.set(line!() + 1);
        create_connection(address, Keeps::default).await?;
        Ok(())
    });
    let peer = format!("peer: {address}");
    assert_one(&reports, TRANSPORT, &[&peer, &made_at(line.get())]);

    let reports = reported(true, async {
        let transport = create_connection(address, Keeps::default).await?;
        transport.close();
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn so_do_transports_of_pipes_and_of_servers() {
    let line = Cell::new(0);
    let (_theirs, ours) = rustix::pipe::pipe().unwrap();
    let reports = reported(true, async {
        line.set(line!() + 1);
        connect_write_pipe(ours, Keeps::default)?;
        Ok(())
    });
    assert_one(&reports, TRANSPORT, &[&made_at(line.get())]);
    let (ours, _theirs) = rustix::pipe::pipe().unwrap();
    let reports = reported(true, async {
        line.set(line!() + 1);
        connect_read_pipe(ours, Keeps::default)?;
        Ok(())
    });
    assert_one(&reports, TRANSPORT, &[&made_at(line.get())]);
    let client = Cell::new(None);
    let reports = reported(true, async {
        line.set(line!() + 1);
        let server = create_server("127.0.0.1:0", Keeps::default).await?;
        client.set(Some(TcpStream::connect(server.local_addr()?)?));
        while server.client_count() == 0 {
            yield_now().await;
        }
        server.close();
        Ok(())
    });
    assert_one(&reports, TRANSPORT, &["peer: 127.0.0.1:", &made_at(line.get())]);
}

#[test]
fn a_server_that_outlives_its_loop_names_its_address_and_the_call_that_made_it() {
    let (line, address) = (Cell::new(0), RefCell::new(String::new()));
    let reports = reported(true, async {
        line.set(line!() + 1);
        let server = start_server("127.0.0.1:0", async |_, _| pending::<()>().await).await?;
        address.replace(server.local_addr()?.to_string());
        Ok(())
    });
    assert_one(&reports, SERVER, &[&address.borrow(), "clients: 0", &made_at(line.get())]);

    let reports = reported(true, async {
        let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
        server.close();
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
    let reports = reported(false, async {
        start_server("127.0.0.1:0", async |_, _| ()).await?;
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn a_server_that_never_served_is_reported_when_it_is_dropped() {
    let line = Cell::new(0);
    let reports = reported(true, async {
        line.set(line!() + 1);
        let server = start_server("127.0.0.1:0", async |_, _| ()).start_serving(false).await?;
        drop(server);
        Ok(())
    });
    let message = "a server was dropped without being closed";
    assert_one(&reports, message, &["127.0.0.1:", &made_at(line.get())]);
    let reports = reported(true, async {
        let server = start_server("127.0.0.1:0", async |_, _| ()).start_serving(false).await?;
        drop(server.into_sockets());
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn a_datagram_endpoint_that_outlives_its_loop_names_its_address_and_the_call_that_made_it() {
    let (line, address) = (Cell::new(0), RefCell::new(String::new()));
    let reports = reported(true, async {
        line.set(line!() + 1);
        let endpoint = create_datagram_endpoint(|| Ignores).local_addr("127.0.0.1:0").await?;
        address.replace(endpoint.local_addr()?.to_string());
        Ok(())
    });
    assert_one(&reports, ENDPOINT, &[&address.borrow(), &made_at(line.get())]);
    let reports = reported(true, async {
        let endpoint = create_datagram_endpoint(|| Ignores).local_addr("127.0.0.1:0").await?;
        endpoint.close();
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
}
