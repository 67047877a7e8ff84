//! Hostile peers: their input costs little, and delays no other connection.

mod common;

use std::io::{self, ErrorKind, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use asyncio_net::{
    StreamReader, StreamWriter, memory_pair, open_connection, open_unix_connection, start_server,
    start_unix_server, stream_over,
};
use asyncio_task::run;
use asyncio_tls::{accept_tls, rustls};
use common::{Authority, echo_lines, greet};
use rustls::pki_types::ServerName;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

fn record(kind: u8, text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], text].concat()
}

/// The TLS session of a client, without a connection.
fn client(authority: &Authority) -> rustls::ClientConnection {
    let config = Arc::clone(authority.client().config());
    let name = ServerName::try_from("localhost").unwrap();
    rustls::ClientConnection::new(config, name).unwrap()
}

fn records(client: &mut rustls::ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut records).unwrap();
    }
    records
}

/// Exchanges records until the client's handshake is over.
async fn shake_hands(
    client: &mut rustls::ClientConnection,
    reader: &mut StreamReader,
    writer: &StreamWriter,
) -> io::Result<()> {
    while client.is_handshaking() {
        writer.write(records(client));
        take(client, &reader.read(65_536).await?);
    }
    writer.write(records(client));
    Ok(())
}

fn take(client: &mut rustls::ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// The error of a server's handshake when the client sends these bytes and no more.
fn refusal(sent: Vec<u8>) -> io::Error {
    let tls = Authority::new().server();
    run(async {
        let (ours, theirs) = memory_pair(1 << 20);
        let (_reader, writer) = stream_over(ours);
        writer.write(&sent);
        writer.flush().await.unwrap();
        let (mut reader, mut writer) = stream_over(theirs);
        accept_tls(&mut reader, &mut writer, &tls).await.unwrap_err()
    })
}

#[test]
fn a_message_of_the_handshake_that_is_too_long_is_refused_while_it_comes() {
    // The server refuses a ClientHello of 16 MB as soon as a part of it has arrived.
    let mut hello = vec![1, 0xff, 0xff, 0xff];
    hello.resize(16 * 1024, 0);
    let mut sent = record(HANDSHAKE, &hello);
    for _ in 0..6 {
        sent.extend(record(HANDSHAKE, &[0; 16 * 1024]));
    }
    assert_eq!(refusal(sent).kind(), ErrorKind::InvalidData);
}

#[test]
fn a_record_that_is_too_long_is_refused_at_its_header() {
    let error = refusal(vec![DATA, 3, 3, 0xff, 0xff]);
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn records_that_mean_nothing_are_not_taken_for_ever() {
    for sent in [record(HANDSHAKE, &[]), record(ALERT, &[1, 90]), record(20, &[1])] {
        assert_eq!(refusal(sent.repeat(1000)).kind(), ErrorKind::InvalidData, "{sent:?}");
    }
}

#[test]
fn text_in_the_place_of_a_handshake_is_refused() {
    assert_eq!(refusal(record(DATA, b"hello")).kind(), ErrorKind::InvalidData);
}

/// A handshake whose messages come in records of one byte each, byte by byte.
#[test]
fn a_hello_in_crumbs_is_put_together() {
    let authority = Authority::new();
    run(async {
        let (ours, theirs) = memory_pair(1);
        let tls = authority.server();
        let serving = async move {
            let (mut reader, mut writer) = stream_over(theirs);
            accept_tls(&mut reader, &mut writer, &tls).await?;
            echo_lines(reader, writer).await
        };
        let asking = async {
            let (mut reader, writer) = stream_over(ours);
            let mut client = client(&authority);
            let hello = records(&mut client);
            assert_eq!(hello[0], HANDSHAKE);
            for byte in &hello[5..] {
                writer.write(record(HANDSHAKE, &[*byte]));
            }
            shake_hands(&mut client, &mut reader, &writer).await?;
            io::Write::write_all(&mut client.writer(), b"hello\n")?;
            client.send_close_notify();
            writer.write(records(&mut client));
            take(&mut client, &reader.read_to_end().await?);
            let mut text = String::new();
            client.reader().read_to_string(&mut text)?;
            assert_eq!(text, "hello\n");
            io::Result::Ok(())
        };
        asyncio_task::try_gather((serving, asking)).await.map(drop)
    })
    .unwrap();
}

/// Text that arrives together with the STARTTLS command is not taken for text of the session
/// (CVE-2011-0411).
#[test]
fn plain_text_behind_a_starttls_is_not_taken_for_text_of_the_session() {
    let authority = Authority::new();
    run(async {
        let (ours, theirs) = memory_pair(4096);
        let (_reader, writer) = stream_over(ours);
        writer.write("STARTTLS\r\nRCPT TO:<victim@example.org>\r\n");
        writer.flush().await?;
        let (mut reader, mut writer) = stream_over(theirs);
        assert_eq!(reader.read_line().await?, "STARTTLS\r\n");
        let error = accept_tls(&mut reader, &mut writer, &authority.server()).await.unwrap_err();
        assert!(error.to_string().starts_with("the peer does not speak TLS"), "{error}");
        assert_eq!(reader.read_to_end().await?, "");
        io::Result::Ok(())
    })
    .unwrap();
}

/// After the closing alert, both records and garbage are ignored.
#[test]
fn what_comes_after_the_closing_alert_is_not_read() {
    let authority = Authority::new();
    run(async {
        let tls = authority.server();
        let read = Rc::new(std::cell::RefCell::new(Vec::new()));
        let noting = Rc::clone(&read);
        let server = start_server("127.0.0.1:0", async move |mut reader, writer: StreamWriter| {
            let text = reader.read_to_end().await?;
            *noting.borrow_mut() = text.to_vec();
            writer.close().await
        })
        .tls(&tls)
        .await?;
        for more in [b"garbage".to_vec(), record(DATA, &[7; 100]), vec![0; 100_000]] {
            read.borrow_mut().clear();
            let (mut reader, writer) = open_connection(server.local_addr()?).await?;
            let mut client = client(&authority);
            shake_hands(&mut client, &mut reader, &writer).await?;
            io::Write::write_all(&mut client.writer(), b"all")?;
            client.send_close_notify();
            writer.write(records(&mut client));
            writer.write(&more);
            common::until(|| *read.borrow() == b"all").await;
            // The client gets the server's closing alert, or a reset because of the unread bytes.
            let _ = reader.read_to_end().await;
        }
        io::Result::Ok(())
    })
    .unwrap();
}

/// A peer that requests key updates again and again, and does not read the answers, does not make
/// the server's memory grow.
#[test]
fn a_flood_of_records_that_want_an_answer_ends_the_connection() {
    let authority = Authority::new();
    run(async {
        let tls = authority.server();
        let server = start_server("127.0.0.1:0", echo_lines).tls(&tls).await?;
        let (mut reader, writer) = open_connection(server.local_addr()?).await?;
        let mut client = client(&authority);
        shake_hands(&mut client, &mut reader, &writer).await?;
        for _ in 0..10_000 {
            client.refresh_traffic_keys().map_err(io::Error::other)?;
            writer.write(records(&mut client));
        }
        let ended = reader.read_to_end().await;
        let answers = ended.map_or(0, |bytes| bytes.len());
        assert!(answers < 64 * 1024, "{answers} bytes of answers");
        server.close();
        server.wait_closed().await;
        io::Result::Ok(())
    })
    .unwrap();
}

/// Clients that send half a ClientHello delay no other client, and are disconnected at the timeout.
/// With virtual time, sent bytes must arrive at once, which TCP does not promise.
#[test]
fn a_crowd_that_stops_in_the_hello_holds_nobody_up() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    common::run_in_virtual_time(async || {
        let server = start_unix_server(&path, echo_lines).tls(&authority.server()).await?;
        let mut crowd = Vec::new();
        for number in 0..200 {
            let (reader, writer) = open_unix_connection(&path).await?;
            let hello = records(&mut client(&authority));
            writer.write(&hello[..number % hello.len()]);
            writer.flush().await?;
            crowd.push((reader, writer));
        }
        let before = asyncio_loop::running_loop().time();
        let tls = authority.client().with_server_name("localhost")?;
        let (mut reader, writer) = open_unix_connection(&path).tls(&tls).await?;
        greet(&mut reader, &writer).await?;
        let took = asyncio_loop::running_loop().time() - before;
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(server.client_count(), 201);
        for (reader, _) in &mut crowd {
            // The client gets the end of the stream, or a reset because of the unread hello.
            let _ = reader.read_to_end().await;
        }
        let took = asyncio_loop::running_loop().time() - before;
        assert!(took < Duration::from_secs(70), "{took:?}");
        greet(&mut reader, &writer).await?;
        writer.close().await
    });
}

/// Random bytes, and hellos with a random change, end in an error or in a handshake that waits for
/// more, and never in a panic.
#[test]
fn noise_is_refused_or_waited_for() {
    let authority = Authority::new();
    let hello = records(&mut client(&authority));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    common::run_in_virtual_time(async || {
        let tls = authority.server();
        let reports = common::reports();
        for round in 0..300 {
            let mut sent = hello.clone();
            if round % 3 == 0 {
                sent.iter_mut().skip(5).for_each(|byte| *byte = random() as u8);
            } else {
                let place = random() as usize % sent.len();
                sent[place] = random() as u8;
            }
            let (ours, theirs) = memory_pair(1 << 16);
            let (_reader, writer) = stream_over(ours);
            writer.write(&sent);
            writer.flush().await?;
            let (mut reader, mut writer) = stream_over(theirs);
            let error = accept_tls(&mut reader, &mut writer, &tls).await.unwrap_err();
            let known = [ErrorKind::InvalidData, ErrorKind::TimedOut, ErrorKind::ConnectionReset];
            assert!(known.contains(&error.kind()), "{error:?}");
        }
        assert!(reports.borrow().is_empty());
        Ok(())
    });
}
