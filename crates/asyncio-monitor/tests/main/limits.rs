//! Clients that ask too much, or too slowly.

use std::io::{Read, Write};
use std::time::Duration;

use asyncio_monitor::Options;
use asyncio_task::{create_task, run, sleep, to_thread};

use crate::common::{connect, read_to_end, request, say, start};

#[test]
fn long_lines_heads_and_bodies_are_refused() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let line = "x".repeat(100_000);
        assert_eq!(say(address, format!("{line}\n")).await, "", "the connection ends");
        assert_eq!(say(address, format!("GET /{line} HTTP/1.1\r\n\r\n")).await, "");

        let header = format!("X: {}", "x".repeat(4000));
        let headers = [header.as_str(); 8];
        assert_eq!(request(address, "GET /", &headers, "").await.0, 431);
        assert_eq!(request(address, "GET /", &["X: x"; 100], "").await.0, 431);

        let post = "POST /api/command";
        let change = "X-Asyncio-Monitor: 1";
        let body = "x".repeat(5000);
        assert_eq!(request(address, post, &[change], &body).await.0, 413);
        assert_eq!(request(address, post, &[change, "Content-Length: many"], "").await.0, 400);
        assert_eq!(
            request(address, post, &[change, "Transfer-Encoding: chunked"], "").await.0,
            501
        );
        assert_eq!(request(address, post, &[change], "").await.0, 411);
        let cut = format!("{post} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nps");
        assert!(say(address, cut).await.starts_with("HTTP/1.1 400 "));
        assert_eq!(request(address, "GET /nothing", &[], "").await.0, 404);
        assert_eq!(request(address, "POST /", &[change], "ps").await.0, 404);
    });
}

#[test]
fn a_client_that_stalls_holds_nothing_up() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let stalled: Vec<_> = to_thread(move || {
            ["", "p", "GET / HTTP/1.1\r\nHost: localhost\r\n", "ps\n"]
                .iter()
                .map(|text| {
                    let mut socket = connect(address);
                    socket.write_all(text.as_bytes()).unwrap();
                    socket
                })
                .collect()
        })
        .await
        .unwrap();
        let text = say(address, "ps\n").await;
        assert!(text.starts_with("1 task\n"), "{text}");
        assert_eq!(request(address, "GET /api/version", &[], "").await.0, 200);
        drop(stalled);
    });
}

/// The answer is larger than the socket's buffers.
#[test]
fn nor_does_one_that_does_not_read_a_long_answer() {
    run(async {
        let (mut monitor, address) = start(Options::new());
        for _ in 0..50_000 {
            drop(create_task(sleep(Duration::from_secs(3600))));
        }
        let stalled = to_thread(move || {
            ["ps\n", "GET /api/tasks?limit=50000 HTTP/1.1\r\nHost: localhost\r\n\r\n"].map(|text| {
                let mut socket = connect(address);
                socket.write_all(text.as_bytes()).unwrap();
                // Waits until the answer has begun.
                socket.read_exact(&mut [0; 16]).unwrap();
                socket
            })
        });
        let mut stalled = stalled.await.unwrap();
        let text = say(address, "ps -n 2\n").await;
        assert!(text.starts_with("50001 tasks, 2 shown\n"), "{}", &text[..100]);
        assert_eq!(request(address, "GET /api/version", &[], "").await.0, 200);

        // A client that reads late gets the whole answer, and one that never reads does not delay
        // the monitor's end.
        let read = to_thread(move || {
            let answer = read_to_end(&mut stalled[1]);
            (answer.len(), stalled)
        });
        let (length, stalled) = read.await.unwrap();
        assert!(length > 5_000_000, "{length}");
        monitor.close();
        drop(stalled);
    });
}

#[test]
fn there_is_a_limit_of_clients() {
    run(async {
        let (_monitor, address) = start(Options::new().max_clients(2));
        let (mut one, mut other, third) = to_thread(move || {
            let open = || {
                let mut socket = connect(address);
                socket.write_all(b"help\n").unwrap();
                // A client counts as connected once it has an answer.
                socket.read_exact(&mut [0; 1]).unwrap();
                socket
            };
            let (one, other) = (open(), open());
            (one, other, read_to_end(&mut connect(address)))
        })
        .await
        .unwrap();
        assert!(third.starts_with("HTTP/1.1 503 too many clients"), "{third}");

        // A client that disconnects makes room for another one.
        to_thread(move || {
            one.write_all(b"quit\n").unwrap();
            read_to_end(&mut one);
            let mut socket = connect(address);
            socket.write_all(b"help\n").unwrap();
            socket.read_exact(&mut [0; 1]).unwrap();
            other.write_all(b"quit\n").unwrap();
            read_to_end(&mut other)
        })
        .await
        .unwrap();
    });
}
