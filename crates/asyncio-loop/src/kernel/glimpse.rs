//! The data that a signal handler may read of the callback or task that it has interrupted.
//!
//! The handler runs on the loop's thread, in the middle of any code. It reads only data that is
//! written once, before the callback or task can run, and a task's name, which it reads only while
//! no code on this thread is changing it.

use std::panic::Location;

use super::callback;
use super::header::{Runnable, VTable};
use super::site::Site;
use super::task::TaskPtr;

/// The maximum number of bytes of a name that are copied.
const NAME: usize = 96;

/// See the top of this file. Making one allocates nothing, takes no lock, and calls no user.
#[derive(Clone, Copy)]
pub(crate) struct Glimpse {
    /// The number of the task; zero for a callback.
    task: u64,
    kind: &'static VTable,
    /// The place of a task, as a number, because looking it up may take a lock.
    site: Site,
    /// The place of a callback.
    place: Option<&'static Location<'static>>,
    name: [u8; NAME],
    length: u8,
}

impl Glimpse {
    /// # Safety
    ///
    /// `running` is the one that runs on this thread.
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "android")),
        allow(dead_code, reason = "the watchdog uses it, where it can interrupt a thread")
    )]
    pub(super) unsafe fn of(running: Runnable) -> Self {
        let mut glimpse = Self {
            task: 0,
            kind: running.vtable,
            site: Site::NONE,
            place: None,
            name: [0; NAME],
            length: 0,
        };
        match TaskPtr::of(running) {
            None => glimpse.place = Some(callback::site_of(running)),
            Some(task) => {
                glimpse.task = task.number();
                glimpse.site = task.made_at();
                let (name, length) = (&mut glimpse.name, &mut glimpse.length);
                task.peek_name(|text| {
                    *length = text.len().min(NAME) as u8;
                    let short = usize::from(*length);
                    name[..short].copy_from_slice(&text.as_bytes()[..short]);
                });
            }
        }
        glimpse
    }

    /// The number of the task; `None` for a callback.
    pub(crate) fn task(&self) -> Option<u64> {
        (self.task != 0).then_some(self.task)
    }

    /// The Rust type of the callback, or of the task's future.
    pub(crate) fn function(&self) -> &'static str {
        (self.kind.type_name)()
    }

    /// Where it was made.
    pub(crate) fn created_at(&self) -> Option<&'static Location<'static>> {
        self.place.or_else(|| self.site.get())
    }

    /// The name that the task was given, cut if it is long.
    pub(crate) fn name(&self) -> Option<String> {
        let name = &self.name[..usize::from(self.length)];
        (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    }
}
