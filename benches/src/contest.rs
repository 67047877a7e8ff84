//! The runner: the same work by several contenders, measured side by side.
//!
//! Every file in `benches/benches/` is a list of [`Contest`]s handed to [`run`]. There are two ways
//! to run them. `cargo bench` gives them to criterion, with its statistics and its comparison to
//! the last run. `cargo bench -- --table` runs the contenders of each contest in turn, round after
//! round, so that drift of the machine hits all of them alike, and prints medians and ratios as a
//! table.
//!
//! `cargo bench -- --times=N` does each piece of work N times, once, without looking at the clock:
//! a profiler that counts instructions counts the same ones each time.

use std::fmt;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::process::warn_if_busy;

/// Interleaved rounds of `--table`.
const ROUNDS: usize = 15;
/// How long one contender's turn in a round should take.
const TURN: Duration = Duration::from_millis(20);
/// The columns of `--table`, in order: those of a table in which somebody stands.
const COLUMNS: [&str; 8] =
    ["floor", "asyncio", "tokio", "tokio LocalSet", "smol", "monoio", "compio", "glommio"];

/// Does the work a number of times and returns how long that took.
type Work = Box<dyn FnMut(u64) -> Duration>;

/// A piece of work, and its contenders.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub struct Contest {
    name: &'static str,
    operations: u64,
    contenders: Vec<(&'static str, Work)>,
}

impl Contest {
    /// A contest in which one run of the work consists of a number of operations. The figures are
    /// per operation.
    pub fn new(name: &'static str, operations: u64) -> Self {
        Self { name, operations, contenders: Vec::new() }
    }

    /// Adds a contender.
    #[must_use]
    pub fn with(mut self, name: &'static str, work: impl FnMut(u64) -> Duration + 'static) -> Self {
        self.contenders.push((name, Box::new(work)));
        self
    }
}

/// The whole of a bench program: criterion, or the interleaved table with `--table`. `--table=NAME`
/// is for the contest `NAME`, or those whose name contains `NAME`; `--only=asyncio,tokio` leaves
/// out other contenders. `--times=N` takes the same filters and measures nothing.
pub fn run(area: &str, contests: Vec<Contest>) {
    let filter = option("--table");
    let times = option("--times").map(|times| times.parse().expect("a number of times"));
    match (filter, times) {
        (filter, Some(times)) => repeat(contests, &filter.unwrap_or_default(), times),
        (Some(filter), None) => print_table(area, contests, &filter),
        (None, None) => run_criterion(contests),
    }
}

/// The text after the `=` of this option; empty if there is none.
fn option(name: &str) -> Option<String> {
    let rest =
        std::env::args().find_map(|argument| Some(argument.strip_prefix(name)?.to_owned()))?;
    Some(rest.trim_start_matches('=').to_owned())
}

fn run_criterion(contests: Vec<Contest>) {
    let mut criterion = Criterion::default().configure_from_args();
    for contest in contests {
        let mut group = criterion.benchmark_group(contest.name);
        group.throughput(Throughput::Elements(contest.operations));
        for (name, mut work) in contest.contenders {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(&mut work);
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

fn print_table(area: &str, contests: Vec<Contest>, filter: &str) {
    warn_if_busy();
    let contests = chosen(contests, filter);
    let stands = |name: &&str| {
        contests.iter().flat_map(|contest| &contest.contenders).any(|(who, _)| who == name)
    };
    let columns: Vec<&str> = COLUMNS.into_iter().filter(stands).collect();
    println!(
        "\n| {area}: ns per operation | {} | tokio ÷ asyncio | best peer ÷ asyncio |",
        columns.join(" | ")
    );
    println!("|---|{}---|---|", "---|".repeat(columns.len()));
    for contest in contests {
        let name = contest.name;
        println!("| {name} | {} |", row(&columns, &interleave(contest)));
    }
}

fn repeat(contests: Vec<Contest>, filter: &str, times: u64) {
    for contest in chosen(contests, filter) {
        for (_, mut work) in contest.contenders {
            work(times);
        }
    }
}

/// The contests and contenders that `--table=NAME` and `--only=NAMES` select.
fn chosen(contests: Vec<Contest>, filter: &str) -> Vec<Contest> {
    let only = option("--only");
    let wanted =
        |name| only.as_ref().is_none_or(|only| only.split(',').any(|wanted| wanted == name));
    let exact = contests.iter().any(|contest| contest.name == filter);
    let mut chosen = contests;
    chosen.retain(
        |contest| {
            if exact { contest.name == filter } else { contest.name.contains(filter) }
        },
    );
    for contest in &mut chosen {
        contest.contenders.retain(|(name, _)| wanted(*name));
    }
    chosen
}

/// Nanoseconds per operation.
#[derive(Clone, Copy)]
struct Figure {
    median: f64,
    /// The quartiles: a quarter of the rounds took less than the first, and a quarter more than the
    /// second.
    spread: (f64, f64),
}

impl Figure {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |quarters: usize| samples[samples.len() * quarters / 4];
        Self { median: at(2), spread: (at(1), at(3)) }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.spread;
        write!(f, "{} ({}–{})", number(self.median), number(low), number(high))
    }
}

/// Figures by contender.
fn interleave(mut contest: Contest) -> Vec<(&'static str, Figure)> {
    let repeats: Vec<u64> =
        contest.contenders.iter_mut().map(|(_, work)| calibrate(work)).collect();
    let mut samples = vec![Vec::with_capacity(ROUNDS); repeats.len()];
    for round in 0..ROUNDS {
        for turn in 0..repeats.len() {
            let who = (round + turn) % repeats.len();
            let took = contest.contenders[who].1(repeats[who]);
            samples[who].push(took.as_nanos() as f64 / (repeats[who] * contest.operations) as f64);
        }
    }
    let names = contest.contenders.iter().map(|(name, _)| *name);
    names.zip(samples.into_iter().map(Figure::of)).collect()
}

/// How often the work must be repeated to fill a turn. Warms up on the way; the best of three,
/// because a disturbance would end the search too early.
fn calibrate(work: &mut Work) -> u64 {
    let mut repeats = 1;
    loop {
        let took = (0..3).map(|_| work(repeats)).fold(Duration::MAX, Duration::min);
        if took >= TURN / 4 {
            let wanted = TURN.as_secs_f64() / took.as_secs_f64() * repeats as f64;
            return (wanted as u64).max(1);
        }
        repeats *= 2;
    }
}

fn row(columns: &[&str], figures: &[(&'static str, Figure)]) -> String {
    let of = |name: &str| figures.iter().find(|(who, _)| *who == name).map(|(_, figure)| *figure);
    let peers = columns.iter().filter(|name| !["floor", "asyncio"].contains(name));
    let peers = peers.filter_map(|name| of(name));
    let best_peer = peers.min_by(|one, other| one.median.total_cmp(&other.median));
    let cell = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let ratio = |peer: Option<Figure>| Some(number(peer?.median / of("asyncio")?.median));
    let shown = |name: &&str| cell(of(name).map(|figure| figure.to_string()));
    let mut cells: Vec<String> = columns.iter().map(shown).collect();
    cells.push(cell(ratio(of("tokio"))));
    cells.push(cell(ratio(best_peer)));
    cells.join(" | ")
}

fn number(figure: f64) -> String {
    if figure < 100.0 { format!("{figure:.1}") } else { format!("{figure:.0}") }
}

/// The median of the samples.
///
/// # Panics
///
/// If there are none.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
