//! curl, by HTTP/1.1.

use std::io;

use asyncio_net::{StreamReader, StreamWriter, start_server};
use asyncio_task::run;

use super::common::{Authority, reports};
use super::program::{Files, Program};

/// A server whose answers have the length that the path says.
async fn answer(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(request) = reader.next_line().await? {
        while reader.next_line().await?.is_some_and(|line| line.trim_ascii() != b"") {}
        let request = String::from_utf8_lossy(&request).into_owned();
        let length = request.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        writer.write(vec![b'x'; length]);
        writer.drain().await?;
    }
    writer.close().await
}

#[test]
fn it_fetches_texts_and_trusts_only_the_right_root() {
    let (files, strangers) = (Files::new(), Authority::new());
    std::fs::write(files.path("strangers.pem"), strangers.pem()).unwrap();
    let (roots, strangers) = (files.roots(), files.text("strangers.pem"));
    run(async {
        let reports = reports();
        let server = start_server("127.0.0.1:0", answer).tls(&files.authority.server()).await?;
        let port = server.local_addr()?.port();
        let url = |length: usize| format!("https://localhost:{port}/{length}");
        let resolve = format!("localhost:{port}:127.0.0.1");
        let always = ["--silent", "--show-error", "--noproxy", "*", "--resolve", &resolve];
        for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            // Both requests use one connection.
            let urls = [url(3), url(1_000_000), url(5)];
            let urls = [&*urls[0], &urls[1], &urls[2]];
            let args = [&always[..], version, &["--cacert", &roots], &urls].concat();
            let Some(curl) = Program::start("curl", &args) else { return Ok(()) };
            let (succeeded, text) = curl.finish().await;
            assert!(succeeded, "{}", &text[..text.len().min(1000)]);
            assert_eq!(text.len(), 1_000_008);

            let url = url(3);
            let args = [&always[..], version, &["--cacert", &strangers, &url]].concat();
            let Some(curl) = Program::start("curl", &args) else { return Ok(()) };
            let (succeeded, text) = curl.finish().await;
            assert!(!succeeded && text.contains("certificate"), "{text}");
        }
        assert_eq!(*reports.borrow(), [""; 0]);
        io::Result::Ok(())
    })
    .unwrap();
}
