//! The end of servers with open connections, under many schedules, on a simulated network.
#![cfg(feature = "net")]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::LoopTime;
use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
use asyncio_task::{create_future, create_task, running_loop, sleep};
use asyncio_testing::{Network, Simulation, rng};

const MS: Duration = Duration::from_millis(1);
const GRACE: Duration = Duration::from_millis(500);
/// The longest time in which a written answer arrives.
const WAY: Duration = Duration::from_millis(50);
const LONG: usize = 50_000;

/// A request that the server has started to serve: when it started, and when it will finish.
struct Begun {
    number: usize,
    at: LoopTime,
    until: LoopTime,
}

/// The result of a client.
#[derive(Debug, PartialEq)]
enum Got {
    Whole,
    Part(usize),
    Failed(io::ErrorKind),
}

/// Sends a request, and reads the whole answer.
async fn ask(number: usize) -> Got {
    let answer = async {
        let (mut reader, writer) = open_connection("server:80").await?;
        writeln!(writer, "{number}");
        let answer = reader.read_to_end().await?;
        writer.close().await?;
        io::Result::Ok(answer)
    };
    match answer.await {
        Ok(answer) if answer.len() == LONG && answer.iter().all(|byte| *byte == b'x') => Got::Whole,
        Ok(answer) => Got::Part(answer.len()),
        Err(error) => Got::Failed(error.kind()),
    }
}

#[test]
fn who_is_served_when_a_server_shuts_down_gets_the_whole_answer_within_the_grace() {
    let (promised, others) = (Cell::new(0), Cell::new(0));
    Simulation::new().seeds(150).run(async || {
        let net = Network::new();
        let (begun, stopped) = (Rc::new(RefCell::new(Vec::new())), create_future());
        let (noted, stop) = (Rc::clone(&begun), stopped.clone());
        let host = net.host("server", async move || {
            let noted = Rc::clone(&noted);
            let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
                let line = reader.read_line().await?;
                let number = String::from_utf8_lossy(&line).trim().parse();
                let work = rng().duration(Duration::ZERO, 800 * MS);
                let at = running_loop().time();
                let number = number.map_err(io::Error::other)?;
                noted.borrow_mut().push(Begun { number, at, until: at + work });
                sleep(work).await;
                writer.write(vec![b'x'; LONG]);
                writer.close().await
            };
            let server = start_server(":80", handler).await?;
            sleep(400 * MS).await;
            let begin = running_loop().time();
            server.shutdown(GRACE).await;
            assert_eq!(server.client_count(), 0);
            let took = running_loop().time() - begin;
            assert!(took <= GRACE + MS, "{took:?}");
            let _ = stop.set_result(begin);
            io::Result::Ok(())
        });
        let clients: Vec<_> = (0..12)
            .map(|number| {
                create_task(async move {
                    sleep(rng().duration(Duration::ZERO, 600 * MS)).await;
                    ask(number).await
                })
            })
            .collect();
        let mut answers = Vec::new();
        for client in clients {
            answers.push(client.await.unwrap());
        }
        host.ended().await;
        let end = stopped.await.unwrap();
        for Begun { number, at, until } in &*begun.borrow() {
            if *at <= end && *until + WAY < end + GRACE {
                assert_eq!(answers[*number], Got::Whole, "request {number}");
                promised.set(promised.get() + 1);
            } else {
                others.set(others.get() + 1);
            }
        }
        assert_ne!(ask(99).await, Got::Whole, "the server accepts no more requests");
    });
    let counts = (promised.get(), others.get());
    assert!(counts.0 > 500 && counts.1 > 50, "{counts:?}: both kinds are many");
}

#[test]
fn a_server_that_nobody_talks_to_shuts_down_at_once() {
    Simulation::new().seeds(60).run(async || {
        let net = Network::new();
        let host = net.host("server", async || {
            let echo = async |mut reader: StreamReader, writer: StreamWriter| {
                while let Some(line) = reader.next_line().await? {
                    writer.write(&line);
                    writer.drain().await?;
                }
                writer.close().await
            };
            let server = start_server(":80", echo).await?;
            sleep(rng().duration(Duration::ZERO, 100 * MS)).await;
            server.shutdown(Duration::from_secs(60)).await;
            io::Result::Ok(running_loop().time())
        });
        let client = create_task(async {
            let (mut reader, writer) = open_connection("server:80").await?;
            writer.write("hello\n");
            let answer = reader.read_line().await?;
            writer.close().await?;
            io::Result::Ok(answer)
        });
        host.ended().await;
        // The server waits for its client, and not for the whole grace period.
        assert!(running_loop().time().as_secs_f64() < 1.0, "{}", running_loop().time());
        if let Ok(answer) = client.await.unwrap() {
            assert!(answer.is_empty() || answer == "hello\n", "{answer:?}");
        }
    });
}

#[test]
fn a_peer_that_vanishes_holds_a_shutdown_up_for_the_grace_and_no_longer() {
    Simulation::new()
        .seeds(50)
        .run(async || {
            let net = Network::new();
            let host = net.host("server", async || {
                let flood = async |_: StreamReader, writer: StreamWriter| {
                    writer.write(vec![0; 1_000_000]);
                    writer.close().await
                };
                let server = start_server(":80", flood).await?;
                sleep(Duration::from_secs(1)).await;
                server.shutdown(GRACE).await;
                let end = running_loop().time().as_secs_f64();
                assert!((1.5..1.6).contains(&end), "{end}");
                io::Result::Ok(())
            });
            net.window(10_000);
            let (mut reader, _writer) = open_connection("server:80").await?;
            assert_eq!(reader.read_exactly(10).await.unwrap().len(), 10);
            net.isolate("test");
            host.ended().await;
            io::Result::Ok(())
        })
        .unwrap();
}
