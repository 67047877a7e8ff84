//! Tasks that have ended.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Table, function, place, plain, short, write_number, write_place};
use crate::history::{Ended, Request};

/// The maximum length of a chain of cancellations that is followed.
const LINKS: usize = 32;

/// An ended task in the format for the page. Times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct EndedRow {
    id: u64,
    name: String,
    state: String,
    function: &'static str,
    created_at: String,
    polls: u32,
    /// The lifetime of the task.
    lasted: f64,
    /// The time since the task ended.
    ago: f64,
    /// The reason for the cancellation, if it was cancelled.
    reason: Option<String>,
}

impl EndedRow {
    pub(crate) fn new(ended: &Ended) -> Self {
        let info = &ended.info;
        Self {
            id: info.id,
            name: info.name.clone(),
            state: info.state.to_string(),
            function: function(info),
            created_at: place(info.created_at),
            polls: info.polls,
            lasted: info.age().as_secs_f64(),
            ago: ago(ended).as_secs_f64(),
            reason: ended.request.as_ref().map(reason),
        }
    }
}

fn ago(ended: &Ended) -> Duration {
    Instant::now().saturating_duration_since(ended.at)
}

fn reason(request: &Request) -> String {
    let mut text = "cancelled".to_owned();
    if let Some(name) = &request.asked_by {
        text.push_str(&format!(" by task {name:?}"));
    }
    if let Some(site) = request.site {
        text.push_str(&format!(" at {}", place(site)));
    }
    if let Some(message) = &request.message {
        text.push_str(&format!(": {message}"));
    }
    text
}

/// The table of `ps-terminated`.
pub(crate) fn table_of_ended(ended: &[&Ended]) -> String {
    let header = ["ID", "How", "Name", "Function", "Created at", "Started", "Ended"];
    let mut table = Table::new(&header, ended.len());
    for ended in ended {
        let info = &ended.info;
        table.cell(|text| write_number(text, info.id));
        table.cell(|text| text.push_str(&info.state.to_string()));
        table.cell(|text| text.push_str(&plain(&info.name)));
        table.cell(|text| text.push_str(function(info)));
        table.cell(|text| write_place(text, info.created_at));
        table.cell(|text| text.push_str(&format!("{} ago", short(info.age() + ago(ended)))));
        table.cell(|text| text.push_str(&format!("{} ago", short(ago(ended)))));
    }
    table.finish()
}

/// All details of an ended task: how it ended, which task cancelled it, and which task cancelled
/// that one. `all` is the history, the newest task first.
pub(crate) fn describe_ended(id: u64, all: &[Ended]) -> Option<String> {
    let ended = all.iter().find(|ended| ended.info.id == id)?;
    let info = &ended.info;
    let mut text = format!(
        "Task {id} {:?}: {} {} ago, after {} and {} polls\n\
         Created at {} by {}\n",
        info.name,
        info.state,
        short(ago(ended)),
        short(info.age()),
        info.polls,
        place(info.created_at),
        info.parent.map_or_else(|| "no task".to_owned(), |parent| format!("task {parent}")),
    );
    match &ended.request {
        None if info.state == asyncio_loop::inspect::TaskState::Finished => {
            text.push_str("It ran to completion\n");
        }
        None => {}
        Some(request) => chain(request, all, &mut text),
    }
    Some(text)
}

/// Follows the chain of cancellations as far as the history goes.
fn chain(first: &Request, all: &[Ended], text: &mut String) {
    let mut request = Some(first);
    for _ in 0..LINKS {
        let Some(this) = request else { return };
        text.push_str(&format!("It was {}\n", reason(this)));
        let Some(name) = &this.asked_by else { return };
        let by = all.iter().find(|ended| ended.info.name == *name);
        request = by.and_then(|by| by.request.as_ref());
        if request.is_some() {
            text.push_str(&format!("Task {name:?} has been cancelled itself:\n"));
        }
    }
}
