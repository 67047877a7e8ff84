//! TLS servers side by side: CPU time per request, per MiB and per handshake, and resident memory;
//! each server in a process of its own on one core, the load on another. All have the same
//! configuration of rustls.
//!
//! ```text
//! cargo run --release -p asyncio-benches --features tls --bin tls_bench               every table
//! cargo run --release -p asyncio-benches --features tls --bin tls_bench -- 1k idle    some of them
//! ```
//!
//! Tables: `64`, `1k`, `16k`, `receive`, `send`, `full`, `resumed`, `idle`. `--rounds N` and
//! `--millis N` (per contender and round) trade time for steadiness; `--only NAMES` leaves others
//! out. `--one-core` puts the load on the server's core: two cores that are threads of one
//! processor core slow each other down, the more the better a contender keeps both busy.

use std::error::Error;
use std::io;
use std::time::Duration;

use asyncio_benches::contest::median;
use asyncio_benches::process::{
    LOAD_CORE, SERVER_CORE, ServerProcess, pin_to, raise_descriptor_limit, warn_if_busy,
};
use asyncio_benches::servers;
use asyncio_benches::tls::{
    Exchange, TLS_SERVERS, TlsLoad, TlsService, client_config, server_config,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const BULK: usize = 256 * MIB;
/// Handshakes at the same time. rustls keeps eight tickets of a server: with more, some find none.
const AT_ONCE: usize = 8;
/// What everything is compared with.
const BASE: &str = "tokio-rustls";

struct Table {
    name: &'static str,
    title: &'static str,
    service: TlsService,
    measure: Measure,
}

#[derive(Clone, Copy)]
enum Measure {
    /// CPU per message of so many bytes, on 100 connections.
    Messages(usize),
    /// CPU per MiB of one long exchange.
    Bulk(Exchange),
    /// CPU per handshake; whether they resume sessions.
    Handshakes(bool),
    /// Resident bytes per connection.
    Memory(usize),
}

/// Buffers of tokio-rustls are larger than the message.
const fn echo(name: &'static str, title: &'static str, bytes: usize, buffer: usize) -> Table {
    Table { name, title, service: TlsService::Echo(buffer), measure: Measure::Messages(bytes) }
}

const TABLES: &[Table] = &[
    echo("64", "echo 64 B x 100 connections", 64, 4 * KIB),
    echo("1k", "echo 1 KiB x 100 connections", KIB, 4 * KIB),
    echo("16k", "echo 16 KiB x 100 connections", 16 * KIB, 32 * KIB),
    Table {
        name: "receive",
        title: "256 MiB are received",
        service: TlsService::Receive(BULK),
        measure: Measure::Bulk(Exchange { sent: BULK, received: 1 }),
    },
    Table {
        name: "send",
        title: "256 MiB are sent",
        service: TlsService::Send(BULK),
        measure: Measure::Bulk(Exchange { sent: 1, received: BULK }),
    },
    Table {
        name: "full",
        title: "full handshakes, then close",
        service: TlsService::Close,
        measure: Measure::Handshakes(false),
    },
    Table {
        name: "resumed",
        title: "resumed handshakes, then close",
        service: TlsService::Close,
        measure: Measure::Handshakes(true),
    },
    Table {
        name: "idle",
        title: "idle connections, 2,000, each has echoed 1 KiB once",
        service: TlsService::Echo(KIB),
        measure: Measure::Memory(2000),
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
    pin_to(if options.one_core { SERVER_CORE } else { LOAD_CORE });
    for table in TABLES.iter().filter(|table| options.wants(&options.tables, table.name)) {
        table.run(&options)?;
    }
    Ok(())
}

/// The server process.
fn serve(server: &str, service: TlsService) -> Outcome<()> {
    let known = TLS_SERVERS.iter().find(|(name, _)| *name == server);
    let (_, serve) = known.ok_or("no such server")?;
    raise_descriptor_limit()?;
    pin_to(SERVER_CORE);
    let listener = servers::listen()?;
    let config = server_config()?;
    println!("{}", listener.local_addr()?.port());
    Ok(serve(listener, config, service)?)
}

struct Options {
    rounds: usize,
    window: Duration,
    only: Vec<String>,
    one_core: bool,
    tables: Vec<String>,
}

impl Options {
    fn parse(arguments: Vec<String>) -> Outcome<Self> {
        let mut options = Self {
            rounds: 7,
            window: Duration::from_millis(500),
            only: Vec::new(),
            one_core: false,
            tables: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or("an option without its value");
            match argument.as_str() {
                "--rounds" => options.rounds = value()?.parse()?,
                "--millis" => options.window = Duration::from_millis(value()?.parse()?),
                "--one-core" => options.one_core = true,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                table if TABLES.iter().any(|known| known.name == table) => {
                    options.tables.push(argument)
                }
                _ => return Err(format!("what is {argument}?").into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, list: &[String], name: &str) -> bool {
        list.is_empty() || list.iter().any(|wanted| wanted == name)
    }
}

impl Table {
    fn run(&self, options: &Options) -> Outcome<()> {
        let names: Vec<&str> = TLS_SERVERS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| options.wants(&options.only, name))
            .collect();
        let mut samples = vec![Vec::new(); names.len()];
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

    /// One round of one contender, in a fresh process: the cost.
    fn sample(&self, server: &str, window: Duration) -> Outcome<f64> {
        let server = ServerProcess::start(&["serve", server, &self.service.to_string()])?;
        let address = server.address();
        let connect = |connections, exchange| {
            let config = client_config(false).map_err(|error| io::Error::other(error.to_string()));
            TlsLoad::connect(address, config?, connections, exchange)
        };
        match self.measure {
            Measure::Messages(bytes) => {
                let mut load = connect(100, Exchange { sent: bytes, received: bytes })?;
                load.run_for(window / 4)?;
                let before = server.cpu_time()?;
                let count = load.run_for(window)?;
                Ok(microseconds(server.cpu_time()? - before) / count as f64)
            }
            Measure::Bulk(exchange) => {
                let mut load = connect(0, exchange)?;
                load.add()?;
                let before = server.cpu_time()?;
                load.once()?;
                Ok(microseconds(server.cpu_time()? - before) / (BULK / MIB) as f64)
            }
            Measure::Handshakes(resumed) => {
                let config = client_config(resumed)?;
                TlsLoad::handshakes(address, config.clone(), AT_ONCE, window / 4, resumed)?;
                let before = server.cpu_time()?;
                let count = TlsLoad::handshakes(address, config, AT_ONCE, window, resumed)?;
                Ok(microseconds(server.cpu_time()? - before) / count as f64)
            }
            Measure::Memory(connections) => {
                let exchange = Exchange { sent: KIB, received: KIB };
                connect(20, exchange)?;
                let before = server.resident_memory()?;
                let _load = connect(connections, exchange)?;
                Ok((server.resident_memory()? - before) as f64 / connections as f64)
            }
        }
    }

    fn print(&self, names: &[&str], samples: &[Vec<f64>]) {
        let unit = match self.measure {
            Measure::Messages(_) => "CPU µs per request",
            Measure::Bulk(_) => "CPU µs per MiB",
            Measure::Handshakes(_) => "CPU µs per handshake",
            Measure::Memory(_) => "resident bytes per connection",
        };
        let medians: Vec<f64> = samples.iter().map(|samples| median(samples.clone())).collect();
        let base = names.iter().position(|name| *name == BASE);
        println!("\n| {} | {unit} | spread | ÷ {BASE} |", self.title);
        println!("|---|---|---|---|");
        for ((name, samples), cost) in names.iter().zip(samples).zip(&medians) {
            let least = samples.iter().copied().fold(f64::MAX, f64::min);
            let most = samples.iter().copied().fold(0.0, f64::max);
            let ratio =
                base.map_or("–".to_owned(), |base| format!("{:.2}", cost / medians[base]));
            println!("| {name} | {cost:.1} | {least:.1}–{most:.1} | {ratio} |");
        }
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
