//! A register that is replicated on three hosts, with a bug that only partitions reveal, and its
//! fix.
//!
//! ```text
//! cargo run -p asyncio-examples --features testing --example replicated_register
//! ```

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio::testing::{History, Network, Simulation, rng};

const HOSTS: [&str; 3] = ["a", "b", "c"];
const SECOND: Duration = Duration::from_secs(1);

/// An entry that a host stores. The greatest entry is the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    version: u64,
    writer: usize,
    value: u32,
}

/// Sends an entry to a host, which keeps the newest one and answers with it.
async fn exchange(host: &str, entry: Entry) -> io::Result<Entry> {
    let (mut reader, writer) = asyncio::open_connection((host, 7000)).await?;
    writeln!(writer, "{} {} {}", entry.version, entry.writer, entry.value);
    let answer = parse(&reader.read_line().await?)?;
    writer.close().await?;
    Ok(answer)
}

fn parse(line: &[u8]) -> io::Result<Entry> {
    let line = String::from_utf8_lossy(line);
    let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok([version, writer, value]) => {
            Ok(Entry { version: *version, writer: *writer as usize, value: *value as u32 })
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not an entry")),
    }
}

/// The hosts' answers that arrive within a second.
async fn exchange_with_all(entry: Entry) -> Vec<Entry> {
    let answers = HOSTS.map(|host| asyncio::timeout(SECOND, exchange(host, entry)));
    let answers = asyncio::gather(answers).await;
    answers.into_iter().filter_map(|answer| answer.ok()?.ok()).collect()
}

/// How many hosts have to answer, including this one. The bug is 1, on the assumption that a host
/// that does not answer is down and will be updated later.
type Needed = usize;

const ANY: Needed = 1;
const MAJORITY: Needed = 2;

/// The newest entry of all; `None` if too few have answered.
async fn newest(known: Entry, needed: Needed) -> Option<Entry> {
    let answers = exchange_with_all(known).await;
    if answers.len() < needed { None } else { answers.into_iter().max() }
}

async fn write(writer: usize, value: u32, needed: Needed) -> Option<()> {
    let version = newest(Entry::default(), needed).await?.version + 1;
    newest(Entry { version, writer, value }, needed).await.map(drop)
}

async fn read(needed: Needed) -> Option<u32> {
    let found = newest(Entry::default(), needed).await?;
    // No later read may return an older entry.
    newest(found, needed).await?;
    Some(found.value)
}

#[derive(Clone, Debug)]
enum Operation {
    Write(u32),
    Read,
}

type Operations = History<Operation, Option<u32>>;

/// The program of a host: serves its entry, and reads and writes the register.
async fn member(number: usize, needed: Needed, history: Operations) -> io::Result<()> {
    let entry = Rc::new(Cell::new(Entry::default()));
    let server = asyncio::start_server(":7000", async move |mut reader, writer| {
        entry.set(entry.get().max(parse(&reader.read_line().await?)?));
        let Entry { version, writer: by, value } = entry.get();
        writeln!(writer, "{version} {by} {value}");
        writer.close().await
    });
    let server = server.await?;
    let mut rng = rng();
    for turn in 0..4 {
        asyncio::sleep(rng.duration(Duration::ZERO, SECOND)).await;
        // A failed operation may have taken effect or not, so it has no end in the history.
        if rng.chance(0.5) {
            let value = (10 * (number + 1) + turn) as u32;
            let call = history.begin(Operation::Write(value));
            if write(number, value, needed).await.is_some() {
                call.end(None);
            }
        } else {
            let call = history.begin(Operation::Read);
            if let Some(value) = read(needed).await {
                call.end(Some(value));
            }
        }
    }
    // The other hosts may not be done.
    asyncio::sleep(60 * SECOND).await;
    server.close();
    Ok(())
}

/// Three hosts, one of which is isolated from time to time. Their history must be the one of a
/// single register.
async fn three_hosts(needed: Needed, partitions: u32) {
    let (net, history) = (Network::new(), Operations::new());
    let hosts: Vec<_> = (0..HOSTS.len())
        .map(|number| {
            let history = history.clone();
            let program = async move || member(number, needed, history.clone()).await;
            net.host(HOSTS[number], program)
        })
        .collect();
    let mut rng = rng();
    for _ in 0..partitions {
        asyncio::sleep(rng.duration(Duration::ZERO, SECOND)).await;
        net.isolate(HOSTS[rng.below(HOSTS.len())]);
        asyncio::sleep(rng.duration(Duration::ZERO, 2 * SECOND)).await;
        net.heal();
    }
    for host in &hosts {
        host.ended().await;
    }
    let checked = history.check(0, |register, operation| match operation {
        Operation::Write(value) => {
            *register = *value;
            None
        }
        Operation::Read => Some(*register),
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

fn main() {
    let simulation = Simulation::new().seeds(1000);
    let whole = simulation.clone().seeds(200).check(async || three_hosts(ANY, 0).await);
    println!("any answer, no partitions: {}", whole.expect("nothing is to be seen"));

    match simulation.check(async || three_hosts(ANY, 3).await) {
        Ok(summary) => panic!("not found in {summary}"),
        Err(failure) => println!("\nany answer, partitions:\n{failure}\n"),
    }
    let mended = simulation.seeds(200).check(async || three_hosts(MAJORITY, 3).await);
    println!("a majority, partitions: {}", mended.expect("it is one register"));
}
