//! The endpoints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::request::Request;
use super::response::Response;
use crate::commands;
use crate::figures::{Figures, Measured};
use crate::state::State;
use crate::views::{self, Cycle, EndedRow, Filter, Order, Row, Tree, Wanted};

/// How many tasks are listed by default.
const ROWS: usize = 500;

pub(crate) async fn answer(state: &State, request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", path) => get(state, path, request).await,
        ("POST", "/api/command") => command(state, request).await,
        _ => Response::refusal((404, "there is nothing here")),
    }
}

/// These endpoints change nothing.
async fn get(state: &State, path: &str, request: &Request) -> Response {
    match path {
        "/" => Response::new(
            200,
            "text/html; charset=utf-8",
            include_bytes!("../page/index.html").as_slice(),
        ),
        "/monitor.css" => Response::new(
            200,
            "text/css; charset=utf-8",
            include_bytes!("../page/monitor.css").as_slice(),
        ),
        "/monitor.js" => Response::new(
            200,
            "text/javascript; charset=utf-8",
            include_bytes!("../page/monitor.js").as_slice(),
        ),
        "/timeline.js" => Response::new(
            200,
            "text/javascript; charset=utf-8",
            include_bytes!("../page/timeline.js").as_slice(),
        ),
        "/api/version" => Response::json(&Version::new()),
        "/api/overview" => Response::json(&overview(state).await),
        "/api/tasks" => tasks(state, request).await,
        "/api/tree" => tree(state).await,
        "/api/task" => task(state, request).await,
        "/api/terminated" => {
            let rows: Vec<EndedRow> = state.ended().iter().take(ROWS).map(EndedRow::new).collect();
            Response::json(&rows)
        }
        "/metrics" => metrics(state),
        "/api/record" => record(state, request),
        _ => Response::refusal((404, "there is nothing here")),
    }
}

/// Runs a console command line. A failed command has status 422.
async fn command(state: &State, request: &Request) -> Response {
    match std::str::from_utf8(&request.body) {
        Ok(line) => {
            let reply = commands::run(state, line.trim()).await;
            Response::text(if reply.is_ok { 200 } else { 422 }, reply.text)
        }
        Err(_) => Response::refusal((400, "the command is not UTF-8")),
    }
}

#[derive(Serialize)]
struct Version {
    monitor: &'static str,
    process: u32,
    program: String,
}

impl Version {
    fn new() -> Self {
        let program = std::env::current_exe().ok();
        let name = program.as_ref().and_then(|path| path.file_name());
        Self {
            monitor: env!("CARGO_PKG_VERSION"),
            process: std::process::id(),
            program: name.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        }
    }
}

#[derive(Serialize)]
struct Overview {
    #[serde(flatten)]
    version: Version,
    /// Seconds since the monitor was started.
    uptime: f64,
    loops: Vec<OneLoop>,
}

#[derive(Serialize)]
struct OneLoop {
    number: u64,
    thread: String,
    figures: Figures,
    /// How long a callback from another thread waits in the queue, in seconds; `None` if the loop
    /// has not answered.
    lag: Option<f64>,
    silence: Option<String>,
    /// Whether the loop's flight recorder is on.
    is_recorded: bool,
}

async fn overview(state: &State) -> Overview {
    let loops = state.figures().await.into_iter().map(|Measured { watched, figures, answer }| {
        let silence = answer.as_ref().err().map(|silence| watched.why(silence));
        let lag = answer.ok().map(|lag| lag.as_secs_f64());
        OneLoop {
            number: watched.number,
            thread: watched.thread.clone(),
            figures,
            lag,
            silence,
            is_recorded: watched.handle.recorder().is_some(),
        }
    });
    Overview {
        version: Version::new(),
        uptime: state.started.elapsed().as_secs_f64(),
        loops: loops.collect(),
    }
}

#[derive(Serialize)]
struct Listing {
    /// The number of tasks, and how many match the filter.
    count: usize,
    taken: usize,
    /// How many matching tasks precede the first one of these.
    offset: usize,
    tasks: Vec<Row>,
    /// The number of tasks in each state.
    states: BTreeMap<String, usize>,
    silent: Vec<String>,
    /// The longest time for which this blocked a loop, in seconds.
    longest_pause: f64,
}

async fn tasks(state: &State, request: &Request) -> Response {
    let text = request.word("filter").unwrap_or_default().to_owned();
    let in_state = request.word("state").filter(|state| !state.is_empty());
    let Some(order) = Order::parse(request.word("sort").unwrap_or("id")) else {
        return Response::refusal((400, "there is no such column"));
    };
    let number = |name| request.word(name).and_then(|word| word.parse().ok());
    let wanted = Wanted {
        filter: Filter { text, state: in_state.map(str::to_owned) },
        order,
        is_reversed: request.word("reverse").is_some_and(|word| word == "1"),
        offset: number("offset").unwrap_or(0),
        limit: number("limit").unwrap_or(ROWS),
    };
    let all = state.tasks().await;
    let listed = all.listed();
    let (shown, taken) = views::list(&listed, &wanted);
    Response::json(&Listing {
        count: listed.len(),
        taken,
        offset: wanted.offset.min(taken),
        tasks: shown.into_iter().map(Row::new).collect(),
        states: views::states(&listed),
        longest_pause: all.longest_pause().as_secs_f64(),
        silent: all.silent,
    })
}

#[derive(Serialize)]
struct TreeOfTasks {
    cycles: Vec<Cycle>,
    count: usize,
    /// The first tasks. Each row contains the task's waiters.
    tasks: Vec<Row>,
    silent: Vec<String>,
}

async fn tree(state: &State) -> Response {
    let all = state.tasks().await;
    let listed = all.listed();
    Response::json(&TreeOfTasks {
        cycles: Tree::new(&listed).cycles(),
        count: listed.len(),
        tasks: listed.iter().take(2 * ROWS).copied().map(Row::new).collect(),
        silent: all.silent,
    })
}

/// The events of a loop's flight recorder, as a file for Perfetto and chrome://tracing. It needs no
/// answer of the loop.
fn record(state: &State, request: &Request) -> Response {
    let wanted = request.word("loop").and_then(|number| number.parse().ok());
    let is_wanted = |number: u64| wanted.is_none_or(|wanted: u64| wanted == number);
    let loops = state.loops.open();
    let recorder = loops
        .iter()
        .filter(|watched| is_wanted(watched.number))
        .find_map(|watched| watched.handle.recorder());
    let Some(recorder) = recorder else {
        return Response::refusal((409, "no loop is recorded: the command record on begins"));
    };
    let mut trace = Vec::new();
    match recorder.recording().write_chrome_trace(&mut trace) {
        Ok(()) => {
            let mut response = Response::new(200, "application/json", trace);
            response.file = Some(format!("asyncio-{}.json", std::process::id()));
            response
        }
        Err(error) => Response::text(500, format!("{error}\n")),
    }
}

/// The statistics of all loops in the format of Prometheus.
fn metrics(state: &State) -> Response {
    let pages = state.loops.open().into_iter().map(|watched| {
        let name = format!("{}-{}", watched.thread, watched.number);
        watched.handle.statistics().to_prometheus(&name)
    });
    let text = in_groups(pages);
    Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
}

/// Groups the samples of a metric below one description.
fn in_groups(pages: impl Iterator<Item = String>) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut current = 0;
    for line in pages.flat_map(|page| page.lines().map(str::to_owned).collect::<Vec<_>>()) {
        if let Some(about) = line.strip_prefix("# ") {
            let metric = about.split(' ').nth(1).unwrap_or_default();
            let known = groups.iter().position(|(known, _)| known == metric);
            current = known.unwrap_or_else(|| {
                groups.push((metric.to_owned(), Vec::new()));
                groups.len() - 1
            });
        }
        if let Some((_, lines)) = groups.get_mut(current) {
            let is_description = line.starts_with('#');
            if !is_description || !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    groups.into_iter().flat_map(|(_, lines)| lines).map(|line| line + "\n").collect()
}

async fn task(state: &State, request: &Request) -> Response {
    let Some(id) = request.word("id").and_then(|word| word.parse().ok()) else {
        return Response::refusal((400, "id is the number of a task"));
    };
    let all = state.tasks().await;
    match views::describe(id, &all.listed()) {
        Some(text) => Response::text(200, text),
        None if all.silent.is_empty() => Response::text(404, format!("No task {id}\n")),
        None => Response::text(503, all.silent.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_a_metric_are_together() {
        let page = |name: &str| {
            format!(
                "# HELP a What a is.\n# TYPE a counter\na{{loop=\"{name}\"}} 1\n\
                 # HELP b What b is.\n# TYPE b gauge\nb{{loop=\"{name}\"}} 1\n"
            )
        };
        let text = in_groups([page("x"), page("y")].into_iter());
        assert_eq!(
            text,
            "# HELP a What a is.\n# TYPE a counter\na{loop=\"x\"} 1\na{loop=\"y\"} 1\n\
             # HELP b What b is.\n# TYPE b gauge\nb{loop=\"x\"} 1\nb{loop=\"y\"} 1\n"
        );
    }
}
