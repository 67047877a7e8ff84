//! Servers and clients of HTTP against those of tokio.
//!
//! ```text
//! cd benches/http
//! cargo run --release -- [--rounds N] [--seconds N] [ROW…]
//! ```
//!
//! The rows are `plaintext`, `json`, `two-loops` and `client`. Each contender is a process of its
//! own; they take turns, round after round. A server's figure is requests per second of its CPU
//! time under the load of wrk, or of a small generator where there is no wrk. A client's figure is
//! requests per second of its CPU time.

mod clients;
mod load;
mod measure;
mod servers;

use std::env;
use std::io;
use std::time::Duration;

use measure::{Figures, Process};

/// What a row compares.
struct Row {
    name: &'static str,
    ours: &'static str,
    theirs: &'static str,
    kind: Kind,
}

enum Kind {
    /// The page that is asked for.
    Server(&'static str),
    Client,
}

const ROWS: [Row; 4] = [
    Row { name: "plaintext", ours: "ours", theirs: "tokio", kind: Kind::Server("/plaintext") },
    Row { name: "json", ours: "ours", theirs: "tokio", kind: Kind::Server("/json") },
    Row { name: "two-loops", ours: "ours-2", theirs: "tokio-2", kind: Kind::Server("/plaintext") },
    Row { name: "client", ours: "session", theirs: "reqwest", kind: Kind::Client },
];

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (mut rounds, mut seconds, mut names) = (5, 2, Vec::new());
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    while let Some(argument) = arguments.next() {
        match &*argument {
            // What the processes of a run are told to be.
            "serve" => return servers::serve(&arguments.next().unwrap_or_default()),
            "ask" => {
                let name = arguments.next().unwrap_or_default();
                return clients::ask(&name, &arguments.next().unwrap_or_default());
            }
            "--rounds" => rounds = number(arguments.next()).unwrap_or(rounds),
            "--seconds" => seconds = number(arguments.next()).unwrap_or(seconds),
            _ => names.push(argument),
        }
    }
    println!("| row | asyncio | tokio | asyncio ÷ tokio |\n|---|---|---|---|");
    for row in ROWS.iter().filter(|row| names.is_empty() || names.iter().any(|n| n == row.name)) {
        let (mut ours, mut theirs) = (Figures::default(), Figures::default());
        for _ in 0..rounds {
            ours.add(measured(row, row.ours, Duration::from_secs(seconds))?);
            theirs.add(measured(row, row.theirs, Duration::from_secs(seconds))?);
        }
        let ratio = ours.ratios(&theirs);
        println!("| {} | {ours:.0} | {theirs:.0} | {ratio:.3} |", row.name);
    }
    Ok(())
}

/// Requests per second of the contender's CPU time.
fn measured(row: &Row, name: &str, duration: Duration) -> io::Result<f64> {
    match row.kind {
        Kind::Server(page) => {
            let mut server = Process::start(&["serve", name])?;
            let address = server.line()?;
            let before = server.cpu_time()?;
            let count = load::ask_for(&address, page, duration)?;
            Ok(count as f64 / (server.cpu_time()? - before).as_secs_f64())
        }
        Kind::Client => {
            let mut server = Process::start(&["serve", "load"])?;
            let address = server.line()?;
            let mut client = Process::start(&["ask", name, &address])?;
            let ready = client.line()?;
            assert_eq!(ready, "ready");
            let before = client.cpu_time()?;
            client.say("go")?;
            let done = client.line()?;
            let time = client.cpu_time()? - before;
            Ok(done.parse::<f64>().map_err(io::Error::other)? / time.as_secs_f64())
        }
    }
}
