//! Hosts of a simulated network: how they end, their clocks, and the reports of a run.
#![cfg(feature = "net")]

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{ConnectErrors, StreamReader, StreamWriter, open_connection, start_server};
use asyncio_task::{create_future, create_task, running_loop, sleep, to_thread, yield_now};
use asyncio_testing::{
    FailureKind, Network, Schedule, Simulation, assert_trace, event, rng, wait_all_tasks_blocked,
};

const SECOND: Duration = Duration::from_secs(1);

fn now() -> f64 {
    running_loop().time().as_secs_f64()
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(&line);
        writer.drain().await?;
    }
    writer.close().await
}

async fn echo_server() -> io::Result<()> {
    start_server(":80", echo).await?.serve_forever().await
}

fn kind(error: &io::Error) -> ErrorKind {
    let errors: &ConnectErrors = error.get_ref().unwrap().downcast_ref().unwrap();
    errors.attempts()[0].1.kind()
}

#[test]
fn a_host_that_stops_resets_its_connections_and_refuses_others() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let net = Network::new();
            let host = net.host("a", echo_server);
            let (mut reader, writer) = open_connection("a:80").await?;
            writer.write("hello\n");
            assert_eq!(reader.read_line().await?, "hello\n");
            host.stop();
            assert!(!host.is_running());
            host.ended().await;
            let error = reader.read_line().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let error = open_connection("a:80").await.unwrap_err();
            assert_eq!(kind(&error), ErrorKind::ConnectionRefused);
            assert!(now() < 1.0);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_host_without_power_says_nothing_until_it_is_back() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let net = Network::new();
            let host = net.host("a", echo_server);
            let (mut reader, writer) = open_connection("a:80").await?;
            host.crash();
            writer.write("hello\n");
            create_task(async move {
                sleep(10 * SECOND).await;
                host.restart();
            });
            let error = reader.read_line().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert!((10.0..30.0).contains(&now()), "{}", now());
            let (mut reader, writer) = open_connection("a:80").await?;
            writer.write("again\n");
            assert_eq!(reader.read_line().await?, "again\n");
            writer.close().await
        })
        .unwrap();
}

#[test]
fn a_host_that_restarts_has_lost_its_memory_and_kept_its_disk() {
    Simulation::new()
        .seeds(10)
        .run(async || {
            let net = Network::new();
            let disk = Rc::new(Cell::new(0));
            let starts = Rc::clone(&disk);
            let host = net.host("a", async move || {
                starts.set(starts.get() + 1);
                let (memory, starts) = (Rc::new(Cell::new(0)), starts.get());
                let count = async move |_: StreamReader, writer: StreamWriter| {
                    memory.set(memory.get() + 1);
                    writer.write(format!("{starts} {}", memory.get()));
                    writer.close().await
                };
                start_server(":80", count).await?.serve_forever().await
            });
            let ask = async || {
                let (mut reader, writer) = open_connection("a:80").await?;
                let answer = reader.read_to_end().await?;
                writer.close().await?;
                io::Result::Ok(answer)
            };
            assert_eq!(ask().await?, "1 1");
            assert_eq!(ask().await?, "1 2");
            host.restart();
            assert_eq!(ask().await?, "2 1");
            host.stop();
            host.ended().await;
            host.restart();
            assert_eq!(ask().await?, "3 1");
            assert_eq!(disk.get(), 3);
            io::Result::Ok(())
        })
        .unwrap();
}

/// Notes its drop.
struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        assert!(asyncio_task::try_running_loop().is_ok(), "on its own loop");
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn the_futures_of_a_host_are_dropped_at_its_end() {
    Simulation::new().seeds(10).run(async || {
        let net = Network::new();
        let drops = Rc::new(Cell::new(0));
        let noted = Rc::clone(&drops);
        let host = net.host("a", async move || {
            let (first, second) = (Dropped(Rc::clone(&noted)), Dropped(Rc::clone(&noted)));
            create_task(async move {
                let _first = first;
                std::future::pending::<()>().await;
            });
            let _second = second;
            std::future::pending::<()>().await;
        });
        sleep(SECOND).await;
        assert_eq!(drops.get(), 0);
        host.stop();
        sleep(SECOND).await;
        assert_eq!(drops.get(), 2);
        host.restart();
        host.stop();
        host.restart();
        sleep(SECOND).await;
        host.crash();
        sleep(SECOND).await;
        assert_eq!(drops.get(), 4, "of the runs that began");
    });
}

#[test]
fn a_program_that_ends_closes_its_sockets() {
    Simulation::new()
        .seeds(10)
        .run(async || {
            let net = Network::new();
            let host = net.host("a", async || {
                let server = start_server(":80", async |_, writer: StreamWriter| {
                    writer.write("hello");
                    std::future::pending::<()>().await;
                });
                let _server = server.await?;
                sleep(10 * SECOND).await;
                io::Result::Ok(())
            });
            let (mut reader, writer) = open_connection("a:80").await?;
            assert_eq!(reader.read_to_end().await?, "hello");
            assert!((10.0..10.1).contains(&now()));
            writer.close().await?;
            assert!(!host.is_running());
            let error = open_connection("a:80").await.unwrap_err();
            assert_eq!(kind(&error), ErrorKind::ConnectionRefused);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_host_that_fails_fails_the_test() {
    let panics = Simulation::new().seeds(10).check(async || {
        let net = Network::new();
        net.host("a", async || {
            sleep(SECOND).await;
            assert!(now() < 1.0, "no luck");
        });
        sleep(10 * SECOND).await;
        event("the run has ended");
    });
    let failure = panics.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Panic);
    assert!(failure.message().starts_with("host a: panicked at "), "{failure}");
    assert!(failure.message().ends_with(": no luck"), "{failure}");
    assert_eq!(failure.trace().events().count(), 0);

    let fails = Simulation::new().check(async || {
        let net = Network::new();
        net.host("b", async || Err::<(), _>("out of order"));
        sleep(SECOND).await;
    });
    let failure = fails.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Error);
    assert_eq!(failure.message(), "host b: returned Err(\"out of order\")");

    let reports = Simulation::new().check(async || {
        let net = Network::new();
        net.host("c", async || {
            create_task(async { panic!("in the background") });
            sleep(SECOND).await;
        });
        sleep(2 * SECOND).await;
    });
    let failure = reports.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Report);
    assert!(failure.message().contains("host c: "), "{failure}");
}

#[test]
fn a_deadlock_over_hosts_is_told_with_the_tasks_of_all() {
    let result = Simulation::new().seeds(4).check(async || {
        let net = Network::new();
        // Client and server both wait for the other.
        let silent =
            async |mut reader: StreamReader, _writer: StreamWriter| reader.read(1).await.map(drop);
        net.host("a", async move || start_server(":80", silent).await?.serve_forever().await);
        let (mut reader, _writer) = open_connection("a:80").await?;
        reader.read(1).await.map(drop)
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Deadlock);
    let message = failure.message();
    assert!(message.starts_with("deadlock: nothing is ready"), "{message}");
    assert!(message.contains(" on a"), "{message}");
    assert!(message.contains("network_hosts.rs"), "{message}");
}

#[test]
fn a_runaway_host_is_told() {
    let result = Simulation::new().max_steps(50_000).check(async || {
        let net = Network::new();
        net.host("a", async || {
            while now() < 1e9 {
                yield_now().await;
            }
        });
        std::future::pending::<()>().await;
    });
    assert_eq!(result.unwrap_err().kind(), FailureKind::Runaway);
}

#[test]
fn a_host_that_only_yields_does_not_stop_time() {
    Simulation::new().seeds(2).run(async || {
        let net = Network::new();
        net.host("a", async || {
            while now() < 1e9 {
                yield_now().await;
            }
        });
        sleep(SECOND).await;
    });
}

#[test]
fn clocks_differ() {
    Simulation::new().seeds(4).run(async || {
        let net = Network::new();
        let ahead = net.host("ahead", async || {
            assert_eq!(now(), 100.0);
            sleep(SECOND).await;
            assert_eq!(now(), 101.0);
        });
        ahead.advance_clock(100 * SECOND);
        let fast = net.host("fast", async || sleep(1000 * SECOND).await);
        fast.clock_rate(1000);
        let slow = net.host("slow", async || sleep(1000 * SECOND).await);
        slow.clock_rate(-1000);
        let day = running_loop().system_time();
        ahead.ended().await;
        assert_eq!(now(), 1.0);
        fast.ended().await;
        assert!((now() - 1000.0 / 1.001).abs() < 1e-6, "{}", now());
        slow.ended().await;
        assert!((now() - 1000.0 / 0.999).abs() < 1e-6, "{}", now());
        let passed = running_loop().system_time().duration_since(day).unwrap();
        assert!((1001..1002).contains(&passed.as_secs()));
    });
}

/// Three hosts that send each other messages, with jobs, random numbers and timers.
async fn chatter(net: &Network, messages: u32) {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let hosts = NAMES.map(|name| {
        net.host(name, async move || {
            let server = start_server(":80", echo).await?;
            let mut rng = rng();
            for other in NAMES.into_iter().filter(|other| *other != name) {
                let (mut reader, writer) = open_connection((other, 80)).await?;
                for number in 0..messages {
                    writer.write(format!("{number} {}\n", rng.below(1000)));
                    reader.read_line().await?;
                    if rng.chance(0.1) {
                        sleep(rng.duration(Duration::ZERO, SECOND)).await;
                    }
                }
                to_thread(|| ()).await.map_err(io::Error::other)?;
                event(format!("{name} is done with {other}"));
                writer.close().await?;
            }
            // The others may still need the server.
            sleep(1000 * SECOND).await;
            server.close();
            io::Result::Ok(())
        })
    });
    for host in &hosts {
        host.ended().await;
    }
}

#[test]
fn the_same_seed_is_the_same_trace_over_hosts() {
    let body = async || {
        let net = Network::new();
        net.links().loss(0.01);
        chatter(&net, 20).await;
    };
    for seed in 0..8 {
        let simulation = Simulation::new().seed(seed);
        let (one, two) = (simulation.trace(body).to_string(), simulation.trace(body).to_string());
        assert!(one == two, "seed {seed}: byte for byte");
        assert!(one.lines().count() > 500 && one.contains(" on b runs"), "{one}");
    }
    Simulation::new().seeds(20).assert_repeatable(body);
    let other = |seed| Simulation::new().seed(seed).trace(body);
    assert_ne!(other(1), other(2));
}

#[test]
fn seeds_decide_which_host_is_first() {
    let first = RefCell::new(std::collections::HashSet::new());
    Simulation::new().seeds(60).run(async || {
        let net = Network::new();
        let seen = Rc::new(RefCell::new(Vec::new()));
        for name in ["a", "b", "c"] {
            let seen = Rc::clone(&seen);
            net.host(name, async move || {
                sleep(SECOND).await;
                seen.borrow_mut().push(name);
            });
        }
        sleep(2 * SECOND).await;
        first.borrow_mut().insert(seen.borrow()[0]);
    });
    assert_eq!(first.borrow().len(), 3);
}

#[test]
fn a_failure_names_the_host_of_each_step_and_replays() {
    let body = async || {
        let net = Network::new();
        let seats = Rc::new(Cell::new(1));
        for name in ["a", "b"] {
            let seats = Rc::clone(&seats);
            // The seats stand for a shared disk, which both hosts read before they write.
            net.host(name, async move || {
                if seats.get() > 0 {
                    sleep(rng().duration(Duration::ZERO, SECOND)).await;
                    assert!(seats.replace(seats.get() - 1) > 0, "the seat is taken already");
                }
            });
        }
        sleep(2 * SECOND).await;
    };
    let failure = Simulation::new().seeds(100).check(body).unwrap_err();
    assert!(failure.message().contains("the seat is taken already"), "{failure}");
    assert!(failure.to_string().contains(" on a runs"), "{failure}");
    let again = Simulation::new().check_schedule(failure.schedule(), body).unwrap_err();
    assert_eq!(again.message(), failure.message());
    let found = Schedule::of_seed(failure.seed());
    assert_eq!(again.kind(), Simulation::new().check_schedule(&found, body).unwrap_err().kind());
}

#[test]
fn partitions_and_ends_are_in_the_trace() {
    let body = async || {
        let net = Network::new();
        let host = net.host("a", async || std::future::pending::<()>().await);
        net.host("b", async || ());
        net.partition(["a"], ["test", "b"]);
        net.partition_one_way(["a"], ["b"]);
        net.heal();
        net.isolate("b");
        host.crash();
        host.restart();
        host.stop();
    };
    let trace = Simulation::new().trace(body);
    let events: Vec<_> = trace.events().collect();
    let expected = [
        "partition: a | test, b",
        "partition: a -|> b",
        "the network is whole",
        "partition: b | test, a",
        "host a crashes",
        "host a restarts",
        "host a stops",
    ];
    assert_eq!(events, expected);
}

#[test]
fn events_of_all_hosts_are_in_one_list() {
    Simulation::new().seeds(10).run(async || {
        let net = Network::new();
        event("before");
        let host = net.host("a", async || event("on a"));
        host.ended().await;
        event("after");
        assert_trace!["before", "on a", "after"];
    });
}

#[test]
fn cancels_and_delays_reach_hosts_and_not_their_main_tasks() {
    let faults = asyncio_testing::Faults::new().cancel(0.05).delay(0.05, SECOND);
    let cancelled = Cell::new(0);
    Simulation::new().seeds(100).faults(faults).allow_reports(true).run(async || {
        let net = Network::new();
        let outcome = create_future();
        let result = outcome.clone();
        let host = net.host("a", async move || {
            let tasks = [(); 5].map(|()| create_task(sleep(SECOND)));
            let mut count = 0;
            for task in tasks {
                count += u32::from(task.await.is_err());
            }
            let _ = result.set_result(count);
        });
        host.ended().await;
        cancelled.set(cancelled.get() + outcome.await.unwrap());
    });
    assert!(cancelled.get() > 5, "{}", cancelled.get());
}

#[test]
#[should_panic(expected = "a network is made in a simulation")]
fn a_network_needs_a_simulation() {
    asyncio_task::run(async { Network::new() });
}

#[test]
fn a_network_without_hosts_is_one_host() {
    Simulation::new()
        .seeds(20)
        .run(async || {
            let _net = Network::new();
            let server = start_server("127.0.0.1:0", echo).await?;
            let (mut reader, writer) = open_connection(server.local_addr()?).await?;
            writer.write("hello\n");
            assert_eq!(reader.read_line().await?, "hello\n");
            writer.close().await?;
            server.shutdown(SECOND).await;
            wait_all_tasks_blocked().await;
            assert_eq!(now(), 0.0);
            io::Result::Ok(())
        })
        .unwrap();
}

#[test]
fn a_writer_without_room_notices_that_its_peer_is_gone() {
    // What happens to the host, whether it restarts, and the error that the writer gets.
    let cases = [
        ("crash", false, ErrorKind::TimedOut),
        ("crash", true, ErrorKind::ConnectionReset),
        ("cut", false, ErrorKind::TimedOut),
        ("stop", false, ErrorKind::ConnectionReset),
    ];
    for (what, comes_back, expected) in cases {
        let body = async || {
            let net = Network::new();
            net.window(10_000);
            let host = net.host("a", async || {
                let deaf = async |_: StreamReader, _writer: StreamWriter| {
                    std::future::pending::<()>().await;
                };
                start_server(":80", deaf).await?.serve_forever().await
            });
            let (_reader, writer) = open_connection("a:80").await?;
            writer.write(vec![0; 1_000_000]);
            let drained = create_task(async move { writer.drain().await });
            // By then the peer has received as much as it has room for.
            sleep(10 * SECOND).await;
            match what {
                "crash" => host.crash(),
                "stop" => host.stop(),
                _ => net.isolate("a"),
            }
            if comes_back {
                sleep(10 * SECOND).await;
                host.restart();
            }
            let error = drained.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), expected, "{what}");
            io::Result::Ok(())
        };
        Simulation::new().seeds(8).run(body).unwrap();
    }
}

#[test]
fn a_writer_without_room_goes_on_after_a_partition() {
    let body = async || {
        let net = Network::new();
        net.window(10_000);
        let received = create_future();
        let result = received.clone();
        net.host("a", async move || {
            let result = result.clone();
            let late = async move |mut reader: StreamReader, _writer: StreamWriter| {
                sleep(60 * SECOND).await;
                let _ = result.set_result(reader.read_to_end().await?.len());
                io::Result::Ok(())
            };
            start_server(":80", late).await?.serve_forever().await
        });
        let (_reader, writer) = open_connection("a:80").await?;
        writer.write(vec![0; 100_000]);
        sleep(10 * SECOND).await;
        net.isolate("a");
        sleep(100 * SECOND).await;
        net.heal();
        writer.close().await?;
        assert_eq!(received.await.unwrap(), 100_000);
        io::Result::Ok(())
    };
    Simulation::new().seeds(20).run(body).unwrap();
}

#[test]
fn a_restart_keeps_what_the_clock_has_gone_wrong_by() {
    Simulation::new().run(async || {
        let net = Network::new();
        let host = net.host("fast", async || ());
        host.clock_rate(1_000_000);
        sleep(100 * SECOND).await;
        let seen = Rc::new(Cell::new(0.0));
        let noted = Rc::clone(&seen);
        host.clock_rate(0);
        let other = net.host("other", async move || noted.set(now()));
        other.clock_rate(1_000_000);
        other.ended().await;
        sleep(100 * SECOND).await;
        other.restart();
        other.ended().await;
        assert_eq!((seen.get(), now()), (300.0, 200.0));
    });
}
