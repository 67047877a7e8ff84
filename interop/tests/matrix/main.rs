//! The matrix of docs/ECOSYSTEM.md: crates of the ecosystem on the loop of asyncio.
//!
//! Each row has three programs: what one does with the crate, a cancel in the middle, and a
//! shutdown with requests in flight. They run on the loop alone, and inside a runtime of tokio. The
//! results are a table, which has to be the one that docs/ECOSYSTEM.md shows.
//!
//! ```text
//! cargo test --test matrix                 # all of it
//! cargo test --test matrix -- sqlx redis   # rows whose crates are named so; no table
//! cargo test --test matrix -- --write      # puts the table into docs/ECOSYSTEM.md
//! ```
//!
//! It is a program of its own, not a set of parallel tests, because it counts the open descriptors
//! of the process.

mod database;
mod http3;
mod pools;
mod queues;
mod row;
mod rpc;
mod run;
mod servers;
mod streams;
mod table;
mod web;

use std::env;
use std::process::ExitCode;

use run::Verdict;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (options, names): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.starts_with('-'));
    let rows = [web::rows(), rpc::rows(), streams::rows(), http3::rows()];
    let mut rows: Vec<_> = rows.into_iter().flatten().collect();
    rows.extend([database::rows(), pools::rows(), queues::rows()].into_iter().flatten());
    rows.retain(|row| names.is_empty() || names.iter().any(|name| row.is_named(name)));

    run::collect_panics();
    let mut failed = false;
    let mut results = Vec::new();
    for row in rows {
        let verdict = run::run(&row);
        match &verdict {
            Verdict::Failed(text) => {
                failed = true;
                println!("FAILED  {} ({}): {text}", row.crates[0], row.what);
            }
            Verdict::Works { .. } => println!("ok      {} ({})", row.crates[0], row.what),
        }
        results.push((row, verdict));
    }
    servers::stop();
    if failed {
        return ExitCode::FAILURE;
    }
    if !names.is_empty() {
        return ExitCode::SUCCESS;
    }
    let writes = options.iter().any(|option| option == "--write");
    match table::compare(&results, writes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
