//! Counting the requests that are being answered.

use std::cell::Cell;
use std::rc::Rc;

use asyncio_sync::Event;

/// The number of requests whose tasks have not ended.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    count: Cell<usize>,
    /// Whether a task waits until there are no requests. Only then is the event set and cleared.
    is_awaited: Cell<bool>,
    idle: Event,
}

impl Requests {
    pub(crate) fn begin(self: &Rc<Self>) -> Running {
        self.count.set(self.count.get() + 1);
        Running(Rc::clone(self))
    }

    /// Waits until all have ended.
    pub(crate) async fn wait_idle(&self) {
        self.is_awaited.set(true);
        while self.count.get() > 0 {
            self.idle.clear();
            self.idle.wait().await;
        }
    }
}

/// Counts a request until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Rc<Requests>);

impl Drop for Running {
    fn drop(&mut self) {
        let count = self.0.count.get() - 1;
        self.0.count.set(count);
        if count == 0 && self.0.is_awaited.get() {
            self.0.idle.set();
        }
    }
}
