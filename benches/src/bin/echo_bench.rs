//! TCP servers side by side: CPU time per request, each in a process of its own on one core, the
//! load on another.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin echo_bench                 every table
//! cargo run --release -p asyncio-benches --bin echo_bench -- 1k lines     some of them
//! ```
//!
//! Tables: `1k`, `10k`, `100k` (with the number of connections in which it is usual), `1kx10` and
//! so on, `lines`, `accept`, `udp`, `idle`; and `leaks`, which takes a while and runs only when it
//! is asked for. `--rounds N` and `--millis N` (per contender and round) trade time for steadiness;
//! `--only tokio,smol` leaves others out.

use std::error::Error;
use std::io;
use std::time::Duration;

use asyncio_benches::contest::median;
use asyncio_benches::datagram_load::DatagramLoad;
use asyncio_benches::load::{EchoLoad, connect_and_close};
use asyncio_benches::process::{
    LOAD_CORE, SERVER_CORE, ServerProcess, pin_to, raise_descriptor_limit, warn_if_busy,
};
use asyncio_benches::servers::{self, SERVERS, Service};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One table.
struct Table {
    name: &'static str,
    title: &'static str,
    service: Service,
    measure: Measure,
}

enum Measure {
    /// CPU per request: connections, bytes of a message, requests in a message.
    Messages(usize, usize, u64),
    /// CPU per connection.
    Connections,
    /// CPU per datagram: sockets, bytes of a datagram.
    Datagrams(usize, usize),
    /// Resident bytes per connection.
    Memory(usize),
    /// The resident bytes that remain for each of a number of closed connections.
    Growth(u64),
}

const KIB: usize = 1024;
const LINE: usize = 32;
const LINES: usize = 16;

/// Buffers of contenders that have one per connection are larger than the message, so that a read
/// says when there is no more; of the sizes tried for 100 KiB, this one suits tokio best.
const fn echo(
    name: &'static str,
    title: &'static str,
    connections: usize,
    kibibytes: usize,
) -> Table {
    let buffer = match kibibytes {
        1 => 4,
        10 => 16,
        _ => 128,
    };
    Table {
        name,
        title,
        service: Service::Echo(buffer * KIB),
        measure: Measure::Messages(connections, kibibytes * KIB, 1),
    }
}

const TABLES: &[Table] = &[
    echo("1kx10", "echo 1 KiB x 10 connections", 10, 1),
    echo("1k", "echo 1 KiB x 100 connections", 100, 1),
    echo("1kx1000", "echo 1 KiB x 1000 connections", 1000, 1),
    echo("10kx10", "echo 10 KiB x 10 connections", 10, 10),
    echo("10k", "echo 10 KiB x 100 connections", 100, 10),
    echo("10kx1000", "echo 10 KiB x 1000 connections", 1000, 10),
    echo("100kx10", "echo 100 KiB x 10 connections", 10, 100),
    echo("100kx100", "echo 100 KiB x 100 connections", 100, 100),
    echo("100k", "echo 100 KiB x 1000 connections", 1000, 100),
    Table {
        name: "lines",
        title: "line protocol, 16 requests of 32 bytes a packet, one natural write each, \
                x 100 connections",
        service: Service::Lines,
        measure: Measure::Messages(100, LINE * LINES, LINES as u64),
    },
    Table {
        name: "accept",
        title: "accept and close",
        service: Service::Close,
        measure: Measure::Connections,
    },
    Table {
        name: "udp",
        title: "UDP ping-pong, 64 bytes x 16 sockets",
        service: Service::Datagrams,
        measure: Measure::Datagrams(16, 64),
    },
    Table {
        name: "idle",
        title: "idle connections, 10,000, each has echoed 1 KiB once",
        service: Service::Echo(KIB),
        measure: Measure::Memory(10_000),
    },
    Table {
        name: "leaks",
        title: "a million short connections, one after the other",
        service: Service::Close,
        measure: Measure::Growth(1_000_000),
    },
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, server, service] = arguments.as_slice() {
        if command == "serve" {
            return serve(server, service.parse()?);
        }
    }
    let options = Options::parse(arguments)?;
    warn_if_busy();
    raise_descriptor_limit()?;
    pin_to(LOAD_CORE);
    for table in TABLES.iter().filter(|table| options.wants_table(table)) {
        table.run(&options)?;
    }
    Ok(())
}

/// The server process.
fn serve(server: &str, service: Service) -> Outcome<()> {
    let serve = servers::find(server).ok_or("no such server")?;
    raise_descriptor_limit()?;
    pin_to(SERVER_CORE);
    let listener = servers::listen()?;
    println!("{}", listener.local_addr()?.port());
    Ok(serve(listener, service)?)
}

struct Options {
    rounds: usize,
    window: Duration,
    only: Vec<String>,
    tables: Vec<String>,
}

impl Options {
    fn parse(arguments: Vec<String>) -> Outcome<Self> {
        let mut options = Self {
            rounds: 7,
            window: Duration::from_millis(500),
            only: Vec::new(),
            tables: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or("an option without its value");
            match argument.as_str() {
                "--rounds" => options.rounds = value()?.parse()?,
                "--millis" => options.window = Duration::from_millis(value()?.parse()?),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                table if TABLES.iter().any(|known| known.name == table) => {
                    options.tables.push(argument)
                }
                _ => return Err(format!("what is {argument}?").into()),
            }
        }
        Ok(options)
    }

    fn wants_table(&self, table: &Table) -> bool {
        let takes_long = matches!(table.measure, Measure::Growth(_));
        self.wants(&self.tables, table.name) && !(takes_long && self.tables.is_empty())
    }

    fn wants(&self, list: &[String], name: &str) -> bool {
        list.is_empty() || list.iter().any(|wanted| wanted == name)
    }
}

/// What one contender did in one round.
struct Sample {
    cost: f64,
    per_second: f64,
}

impl Table {
    fn run(&self, options: &Options) -> Outcome<()> {
        let names: Vec<&str> = SERVERS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| options.wants(&options.only, name))
            .filter(|name| self.service.suits(name))
            .collect();
        let mut samples: Vec<Vec<Sample>> = names.iter().map(|_| Vec::new()).collect();
        for round in 0..options.rounds {
            for turn in 0..names.len() {
                let who = (round + turn) % names.len();
                let sample = self.sample(names[who], options.window);
                samples[who].push(sample.map_err(|error| format!("{}: {error}", names[who]))?);
            }
        }
        self.print(&names, &samples);
        Ok(())
    }

    /// One round of one contender, in a fresh process.
    fn sample(&self, server: &str, window: Duration) -> io::Result<Sample> {
        let server = ServerProcess::start(&["serve", server, &self.service.to_string()])?;
        let address = server.address();
        let warm_up = window / 4;
        match self.measure {
            Measure::Messages(connections, bytes, requests) => {
                let mut load = EchoLoad::connect(address, connections, message(bytes))?;
                load.run_for(warm_up)?;
                let before = server.cpu_time()?;
                let count = load.run_for(window)? * requests;
                let sample = Sample::of(server.cpu_time()? - before, count, window);
                load.finish()?;
                Ok(sample)
            }
            Measure::Connections => {
                connect_and_close(address, 64, warm_up)?;
                let before = server.cpu_time()?;
                let count = connect_and_close(address, 64, window)?;
                Ok(Sample::of(server.cpu_time()? - before, count, window))
            }
            Measure::Datagrams(sockets, bytes) => {
                let mut load = DatagramLoad::connect(address, sockets, message(bytes))?;
                load.run_for(warm_up)?;
                let before = server.cpu_time()?;
                let count = load.run_for(window)?;
                Ok(Sample::of(server.cpu_time()? - before, count, window))
            }
            Measure::Growth(connections) => {
                connect_and_close(address, 64, window)?;
                let before = (server.open_descriptors()?, server.resident_memory()?);
                let mut count = 0;
                while count < connections {
                    count += connect_and_close(address, 64, Duration::from_secs(1))?;
                }
                let after = (server.open_descriptors()?, server.resident_memory()?);
                if after.0 > before.0 {
                    return Err(io::Error::other("descriptors are left open"));
                }
                let grown = after.1.saturating_sub(before.1);
                Ok(Sample { cost: grown as f64 / count as f64, per_second: 0.0 })
            }
            Measure::Memory(connections) => {
                EchoLoad::connect(address, 1, message(KIB))?.once()?;
                let before = server.resident_memory()?;
                let mut load = EchoLoad::connect(address, connections, message(KIB))?;
                load.once()?;
                let bytes = server.resident_memory()? - before;
                Ok(Sample { cost: bytes as f64 / connections as f64, per_second: 0.0 })
            }
        }
    }

    fn print(&self, names: &[&str], samples: &[Vec<Sample>]) {
        let unit = match self.measure {
            Measure::Messages(..) => "CPU µs per request",
            Measure::Connections => "CPU µs per connection",
            Measure::Datagrams(..) => "CPU µs per datagram",
            Measure::Memory(_) | Measure::Growth(_) => "resident bytes per connection",
        };
        let medians: Vec<f64> =
            samples.iter().map(|samples| middle(samples, |sample| sample.cost)).collect();
        let over = |base: &str, cost: f64| match names.iter().position(|name| *name == base) {
            Some(index) => format!("{:.2}", cost / medians[index]),
            None => "–".to_owned(),
        };
        println!("\n| {} | {unit} | spread | ÷ floor | ÷ tokio | per second |", self.title);
        println!("|---|---|---|---|---|---|");
        for ((name, samples), cost) in names.iter().zip(samples).zip(&medians) {
            let rate = middle(samples, |sample| sample.per_second);
            let (floor, tokio) = (over("floor", *cost), over("tokio", *cost));
            println!(
                "| {name} | {cost:.3} | {} | {floor} | {tokio} | {rate:.0} |",
                spread(samples)
            );
        }
    }
}

impl Sample {
    fn of(cpu: Duration, count: u64, window: Duration) -> Self {
        let cost = cpu.as_secs_f64() * 1e6 / count as f64;
        Self { cost, per_second: count as f64 / window.as_secs_f64() }
    }
}

/// Lines of 32 bytes, also for servers that do not read lines.
fn message(bytes: usize) -> Vec<u8> {
    let line = b"get key 0123456789abcdefghijkl\r\n";
    line.iter().copied().cycle().take(bytes).collect()
}

fn middle(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(figure).collect())
}

fn spread(samples: &[Sample]) -> String {
    let costs = || samples.iter().map(|sample| sample.cost);
    let (least, most) = (costs().fold(f64::MAX, f64::min), costs().fold(0.0, f64::max));
    format!("{least:.2}–{most:.2}")
}
