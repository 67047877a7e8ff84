//! What a task waits for.

use std::cell::Cell;
use std::fmt;
use std::os::fd::RawFd;
use std::panic::Location;

use super::resources::{ResourceInfo, Resources};
use super::sockets::{SocketNames, names};
use crate::clock::LoopTime;
use crate::event_loop::LoopRef;
use crate::kernel::{Detail, LookAtWait, WaitsFor};

/// What a blocked task waits for, where, and since when. For a task that waits in several places at
/// once, inside a `select!` or a `join!`, this is the place that was polled last.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitInfo {
    /// The kind of wait.
    pub what: WaitsFor,
    /// The line of code that waits: the place of `.await`. `None` if it is hidden behind a `Box<dyn
    /// Future>` or a future that is not polled by `.await`: use
    /// [`TaskInfo::created_at`](super::TaskInfo::created_at) then.
    pub at: Option<&'static Location<'static>>,
    /// The time of the task's last poll, in hundredths of a second.
    pub since: LoopTime,
    /// The details of the wait.
    pub detail: WaitDetail,
}

/// The details of a wait.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WaitDetail {
    /// Nothing is known.
    Unknown,
    /// The moment at which a sleep ends.
    Until(LoopTime),
    /// The task that is awaited.
    Task {
        /// Its number.
        id: u64,
        /// Its name. Known only if the task waits for nothing else at the same time, and not inside
        /// a timeout or another scope.
        name: Option<String>,
    },
    /// A descriptor.
    Descriptor {
        /// Its number.
        fd: RawFd,
        /// Whether the task waits for it to become writable instead of readable.
        to_write: bool,
        /// Its addresses, if it is a socket.
        socket: Option<SocketNames>,
    },
    /// The place where a promise was made.
    CreatedAt(&'static Location<'static>),
    /// The ID of a process.
    Number(u32),
    /// A resource that tasks share, such as a lock.
    Resource(ResourceInfo),
}

impl WaitInfo {
    pub(super) fn new(look: LookAtWait, since: LoopTime, event_loop: Option<&LoopRef>) -> Self {
        let detail = match look.awaited {
            Some(task) => WaitDetail::Task { id: task.id(), name: Some(task.name_text()) },
            None => shown(look.wait.detail(), event_loop),
        };
        Self {
            what: look.wait.what(),
            at: look.site.filter(|site| is_known_of_user(site)),
            since,
            detail,
        }
    }
}

fn shown(detail: Detail, event_loop: Option<&LoopRef>) -> WaitDetail {
    match detail {
        Detail::Unknown => WaitDetail::Unknown,
        Detail::Until(when) => WaitDetail::Until(when),
        Detail::Descriptor { fd, to_write } => {
            WaitDetail::Descriptor { fd, to_write, socket: names(fd) }
        }
        Detail::MadeAt(site) => WaitDetail::CreatedAt(site),
        Detail::Task(id) => WaitDetail::Task { id, name: None },
        Detail::Number(number) => WaitDetail::Number(number),
        Detail::Address(address) => event_loop
            .and_then(|event_loop| event_loop.local::<Resources>().find(address))
            .map_or(WaitDetail::Unknown, WaitDetail::Resource),
    }
}

/// The source files of the crates that have futures.
macro_rules! ours {
    ($($name:literal)+) => {
        [$(
            concat!($name, "/src/"),
            // Where cargo unpacks a package.
            concat!($name, "-", env!("CARGO_PKG_VERSION"), "/src/"),
        )+]
    };
}

static OURS: [&str; 18] = ours!(
    "asyncio-loop" "asyncio-task" "asyncio-sync" "asyncio-net" "asyncio-process" "asyncio-fs"
    "asyncio-tls" "asyncio-http" "asyncio-monitor"
);

/// Whether a place is in a program that uses this project. The others are in a future of ours, in
/// `std`'s boxes, or in the kernel, which polls the outermost future of a task.
pub(crate) fn is_of_user(site: &Location<'_>) -> bool {
    let file = site.file();
    let is_std = file.starts_with("/rustc/") || file.contains("/library/core/src/");
    !is_std && !OURS.iter().any(|ours| file.contains(ours))
}

/// [`is_of_user`], with a memory: of many tasks most wait at the same few places.
fn is_known_of_user(site: &'static Location<'static>) -> bool {
    const PLACES: usize = 64;
    thread_local! {
        /// Addresses of places, and whether each is in a program.
        static KNOWN: [Cell<(usize, bool)>; PLACES] =
            const { [const { Cell::new((0, false)) }; PLACES] };
    }
    let address = std::ptr::from_ref(site).addr();
    KNOWN.with(|known| {
        let known = &known[address / size_of::<Location<'static>>() % PLACES];
        if known.get().0 != address {
            known.set((address, is_of_user(site)));
        }
        known.get().1
    })
}

impl fmt::Display for WaitInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.what, f)?;
        fmt::Display::fmt(&self.detail, f)
    }
}

/// Goes on behind the kind: `a moment`, ` at 1.500000s`.
impl fmt::Display for WaitDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::Until(when) => write!(f, " at {when}"),
            Self::Task { id, name: Some(name) } => write!(f, " {name:?} ({id})"),
            Self::Task { id, name: None } => write!(f, " {id}"),
            Self::Descriptor { fd, to_write, socket } => {
                let way = if *to_write { "writable" } else { "readable" };
                write!(f, " {fd} to be {way}")?;
                socket.as_ref().map_or(Ok(()), |socket| write!(f, ", {socket}"))
            }
            Self::CreatedAt(site) => write!(f, " created at {site}"),
            Self::Number(number) => write!(f, " {number}"),
            Self::Resource(resource) => {
                write!(f, " created at {}", resource.created_at)?;
                resource.holder.map_or(Ok(()), |holder| {
                    write!(f, ", held by task {} since {}", holder.task, holder.at)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_this_project_are_not_those_of_a_user() {
        assert!(!is_of_user(Location::caller()), "this file is in src/");
        let package = concat!("asyncio-net-", env!("CARGO_PKG_VERSION"), "/src/");
        assert!(OURS.contains(&package));
    }
}
