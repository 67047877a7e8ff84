//! The table of docs/ECOSYSTEM.md.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;

use crate::row::{Outcome, Row};
use crate::run::Verdict;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ECOSYSTEM.md");
const LOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
const BEGIN: &str = "<!-- The table is made by interop/. -->\n";
const END: &str = "<!-- End of the table. -->\n";

/// Fails if the page has another table; with `writes`, replaces the page's table.
pub(crate) fn compare(results: &[(Row, Verdict)], writes: bool) -> Outcome {
    let page = fs::read_to_string(PAGE)?;
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        rest.split_once(END).map(|(shown, after)| (before, shown, after))
    });
    let (before, shown, after) = parts.ok_or("docs/ECOSYSTEM.md has no place for the table")?;
    let table = table(results)?;
    if shown == table {
        return Ok(());
    }
    if writes {
        fs::write(PAGE, format!("{before}{BEGIN}{table}{END}{after}"))?;
        return Ok(());
    }
    let again = "cargo test --test matrix -- --write";
    Err(format!("docs/ECOSYSTEM.md shows another table ({again}). This run's:\n{table}").into())
}

fn table(results: &[(Row, Verdict)]) -> Outcome<String> {
    let lock = fs::read_to_string(LOCK)?;
    let versions = versions(&lock);
    let mut table = String::new();
    writeln!(table, "| crates | what | alone | with `tokio` | to know |")?;
    writeln!(table, "|---|---|---|---|---|")?;
    for (row, verdict) in results {
        let mut crates = Vec::new();
        for name in row.crates {
            let version = versions.get(name).ok_or_else(|| format!("no {name} in Cargo.lock"))?;
            crates.push(format!("{name} {version}"));
        }
        let alone = matches!(verdict, Verdict::Works { alone: true });
        let alone = if alone { "works" } else { "no" };
        let (crates, what, note) = (crates.join(", "), row.what, row.note);
        writeln!(table, "| {crates} | {what} | {alone} | works | {note} |")?;
    }
    Ok(table)
}

/// The version of each package in a lock file (the first one, if there are several).
fn versions(lock: &str) -> HashMap<&str, &str> {
    let mut versions = HashMap::new();
    let mut name = "";
    for line in lock.lines() {
        let value = |key| line.strip_prefix(key).map(|value: &str| value.trim_matches('"'));
        if let Some(of_package) = value("name = ") {
            name = of_package;
        } else if let Some(version) = value("version = ") {
            versions.entry(name).or_insert(version);
        }
    }
    versions
}
