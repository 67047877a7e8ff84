//! quinn's endpoints on the loop: transfers in both directions, loss, cancel, other threads.

mod common;

use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use asyncio_quinn::LoopRuntime;
use asyncio_task::{Runner, create_task, gather, run, running_loop, timeout, to_thread, yield_now};
use common::{Outcome, bind, end, endpoints, pattern, round_trip, serve};
use futures::executor::block_on;
use quinn::{AsyncTimer, Connection, ConnectionError, Endpoint, EndpointConfig, Runtime, VarInt};

#[test]
fn bytes_go_there_and_back_on_several_streams_at_once() -> Outcome {
    run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        let connection = pair.client.connect(pair.address, "localhost")?.await?;
        let bytes = pattern(1 << 18);
        let trips = (0..4).map(|_| round_trip(&connection, &bytes));
        for answer in gather(trips).await {
            assert!(answer? == bytes);
        }
        end(pair, serving).await
    })
}

#[test]
fn several_connections_share_a_socket() -> Outcome {
    run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        let connecting = (0..8).map(|_| async {
            let connection = pair.client.connect(pair.address, "localhost")?.await?;
            let bytes = pattern(100_000);
            assert!(round_trip(&connection, &bytes).await? == bytes);
            Outcome::Ok(connection)
        });
        let connections = gather(connecting).await.into_iter().collect::<Outcome<Vec<_>>>()?;
        assert_eq!(pair.client.open_connections(), 8);
        drop(connections);
        end(pair, serving).await
    })
}

#[test]
fn lost_datagrams_are_sent_again() -> Outcome {
    run(async {
        let pair = endpoints(7)?;
        let serving = serve(&pair.server);
        let connection = pair.client.connect(pair.address, "localhost")?.await?;
        let bytes = pattern(300_000);
        assert!(round_trip(&connection, &bytes).await? == bytes);
        let lost = pair.lossy.lost.load(Ordering::Relaxed);
        assert!(lost > 10, "{lost} datagrams were lost");
        drop(connection);
        end(pair, serving).await
    })
}

#[test]
fn a_transfer_that_is_cancelled_ends_its_stream_and_no_other() -> Outcome {
    run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        let connection = pair.client.connect(pair.address, "localhost")?.await?;
        for turns in [0, 1, 2, 5, 10, 20, 50] {
            let cancelled = create_task({
                let connection = connection.clone();
                async move { round_trip(&connection, &pattern(1 << 20)).await.is_ok() }
            });
            for _ in 0..turns {
                yield_now().await;
            }
            cancelled.cancel();
            assert!(cancelled.await.is_err_and(|error| error.is_cancelled()));
            assert!(round_trip(&connection, b"next").await? == b"next");
        }
        drop(connection);
        end(pair, serving).await
    })
}

#[test]
fn a_connect_that_is_cancelled_leaves_no_connection() -> Outcome {
    run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        for turns in 0..10 {
            let connecting = pair.client.connect(pair.address, "localhost")?;
            let task = create_task(connecting);
            for _ in 0..turns {
                yield_now().await;
            }
            task.cancel();
            drop(task.await);
        }
        pair.client.wait_idle().await;
        assert_eq!(pair.client.open_connections(), 0);
        end(pair, serving).await
    })
}

/// Nothing listens at the address, so the system reports "connection refused". The endpoint goes
/// on.
#[test]
fn what_the_network_says_about_a_datagram_does_not_end_the_endpoint() -> Outcome {
    run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        let nobody = bind().local_addr()?;
        let lost = create_task(pair.client.connect(nobody, "localhost")?);
        let connection = pair.client.connect(pair.address, "localhost")?.await?;
        assert!(round_trip(&connection, b"hello").await? == b"hello");
        lost.cancel();
        drop(connection);
        end(pair, serving).await
    })
}

#[test]
fn an_endpoint_moves_to_another_socket() -> Outcome {
    run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        let connection = pair.client.connect(pair.address, "localhost")?.await?;
        assert!(round_trip(&connection, b"before").await? == b"before");
        pair.client.rebind(bind())?;
        assert!(round_trip(&connection, b"after").await? == b"after");
        drop(connection);
        end(pair, serving).await
    })
}

/// Everything but the bytes: connecting, opening streams, closing, dropping.
#[test]
fn another_thread_uses_an_endpoint() -> Outcome {
    run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        let (client, address) = (pair.client.clone(), pair.address);
        let talk = move || {
            block_on(async {
                let connection = client.connect(address, "localhost").unwrap().await.unwrap();
                let (mut sending, mut receiving) = connection.open_bi().await.unwrap();
                sending.write_all(b"from a thread").await.unwrap();
                sending.finish().unwrap();
                let answer = receiving.read_to_end(100).await.unwrap();
                client.rebind(bind()).unwrap();
                connection.close(VarInt::from_u32(7), b"bye");
                (answer, connection.closed().await)
            })
        };
        let (answer, reason) = to_thread(talk).await?;
        assert_eq!(answer, b"from a thread");
        assert_eq!(reason, ConnectionError::LocallyClosed);
        end(pair, serving).await
    })
}

#[test]
fn an_endpoint_is_made_before_the_run_and_by_another_thread() -> Outcome {
    let mut runner = Runner::new();
    let runtime = Arc::new(LoopRuntime::new(&runner.event_loop()?));
    let made = {
        let runtime = runtime.clone();
        std::thread::spawn(move || {
            Endpoint::new(EndpointConfig::default(), None, bind(), runtime).unwrap()
        })
    };
    let client = made.join().unwrap();
    runner.run(async move {
        client.wait_idle().await;
        client.close(0_u8.into(), b"done");
    })?;
    Ok(())
}

/// The handles outlive the loop, on another thread. The port is free once the last one is dropped.
#[test]
fn what_is_left_when_the_loop_ends_can_be_dropped_anywhere() -> Outcome {
    let (client, server, connection, address): (_, _, Connection, _) = run(async {
        let pair = endpoints(0)?;
        let serving = serve(&pair.server);
        let connection = pair.client.connect(pair.address, "localhost")?.await?;
        serving.cancel();
        Outcome::Ok((pair.client, pair.server, connection, pair.address))
    })?;
    assert!(UdpSocket::bind(address).is_err(), "a handle keeps the port");
    std::thread::spawn(move || {
        // No loop drives the endpoint any more.
        assert!(client.connect(address, "localhost").is_err());
        drop((client, server, connection));
    })
    .join()
    .unwrap();
    UdpSocket::bind(address)?;
    Ok(())
}

#[test]
fn the_last_handle_that_goes_frees_the_port_at_once() -> Outcome {
    run(async {
        let runtime = Arc::new(LoopRuntime::new(&running_loop()));
        let endpoint = Endpoint::new(EndpointConfig::default(), None, bind(), runtime)?;
        let address = endpoint.local_addr()?;
        yield_now().await;
        std::thread::spawn(move || drop(endpoint)).join().unwrap();
        while UdpSocket::bind(address).is_err() {
            yield_now().await;
        }
        Ok(())
    })
}

#[test]
fn timers_follow_a_virtual_clock() {
    Runner::builder().virtual_time(true).run(async {
        let runtime = LoopRuntime::new(&running_loop());
        let start = runtime.now();
        let hour = Duration::from_secs(3600);
        let mut timer = runtime.new_timer(start + 2 * hour);
        let wait = async |timer: &mut Pin<Box<dyn AsyncTimer>>| {
            std::future::poll_fn(|cx| timer.as_mut().poll(cx)).await;
            runtime.now() - start
        };
        assert_eq!(wait(&mut timer).await, 2 * hour);
        // Moves the deadline back, and then forward.
        timer.as_mut().reset(start + 5 * hour);
        timer.as_mut().reset(start + 3 * hour);
        assert_eq!(wait(&mut timer).await, 3 * hour);
        assert_eq!(wait(&mut timer).await, 3 * hour, "an expired timer stays ready");
        timer.as_mut().reset(start + 9 * hour);
        assert!(timeout(hour, wait(&mut timer)).await.is_err());
        drop(timer);
        assert_eq!(running_loop().timer_count(), 0);
    });
}
