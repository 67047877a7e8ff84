//! One connection with one message in flight: the time from a request to its answer.
//! `src/bin/echo_bench.rs` measures CPU time per request, many connections and large messages.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::servers::{self, Service};

const MESSAGE: usize = 1024;

fn main() {
    run(
        "echo",
        vec![
            contest("echo_round_trip_protocol", "asyncio protocol"),
            contest("echo_round_trip_streams", "asyncio streams"),
        ],
    );
}

fn contest(name: &'static str, ours: &'static str) -> Contest {
    let peers = ["floor", "tokio", "smol", "monoio"];
    let contest = Contest::new(name, 1).with("asyncio", round_trip(ours));
    peers.into_iter().fold(contest, |contest, peer| contest.with(peer, round_trip(peer)))
}

/// A client of a server, which is started at the first use.
fn round_trip(server: &'static str) -> impl FnMut(u64) -> Duration {
    let mut client = None;
    move |times| round_trips(client.get_or_insert_with(|| connect(start(server))), times)
}

/// Starts the server on a thread that lives as long as the program.
fn start(name: &'static str) -> SocketAddr {
    let listener = servers::listen().expect("a listener");
    let address = listener.local_addr().expect("its address");
    let serve = servers::find(name).expect("a server of this name");
    std::thread::spawn(move || serve(listener, Service::Echo(4 * MESSAGE)));
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream
}

fn round_trips(stream: &mut TcpStream, times: u64) -> Duration {
    let mut message = [7; MESSAGE];
    let start = Instant::now();
    for _ in 0..times {
        stream.write_all(&message).expect("a request sent");
        stream.read_exact(&mut message).expect("an answer");
    }
    start.elapsed()
}
