//! Sends pings, and closes a connection whose peer does not answer them.

use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::LoopTime;
use asyncio_task::{TaskOptions, create_task_with, running_loop, sleep_until};
use tungstenite::Message;

use super::socket::Inner;

/// Sends a ping when nothing was received for `interval`, and closes the connection if nothing
/// arrives within half of that. It ends when the web socket is dropped.
pub(super) fn start(inner: &Rc<Inner>, interval: Duration) {
    let socket = Rc::downgrade(inner);
    let beat = async move {
        let mut next = running_loop().time() + interval;
        loop {
            sleep_until(next).await;
            let Some(inner) = socket.upgrade().filter(|inner| !inner.is_over()) else { return };
            let quiet_until = inner.heard() + interval;
            if quiet_until > running_loop().time() {
                next = quiet_until;
                continue;
            }
            let reads = inner.reads();
            inner.ask();
            // The task holds no reference meanwhile, so dropping the web socket closes it at once.
            drop(inner);
            sleep_until(running_loop().time() + interval / 2).await;
            let Some(inner) = socket.upgrade().filter(|inner| !inner.is_over()) else { return };
            if !inner.hears_more_than(reads) {
                log::debug!("a web socket is cut: its peer did not answer a ping");
                inner.socket.borrow_mut().get_mut().cut();
                return;
            }
            next = running_loop().time() + interval / 2;
        }
    };
    drop(create_task_with(beat, TaskOptions::new().hidden()));
}

impl Inner {
    fn heard(&self) -> LoopTime {
        self.socket.borrow().get_ref().heard()
    }

    fn reads(&self) -> u64 {
        self.socket.borrow().get_ref().reads()
    }

    /// Sends a ping. A ping that cannot be sent has the same effect as one that is not answered.
    fn ask(&self) {
        let mut socket = self.socket.borrow_mut();
        let _ = socket.write(Message::Ping(bytes::Bytes::new()));
        let _ = socket.flush();
    }

    /// Whether anything was received since the read counter had the given value, also while no task
    /// receives. A message that waits for the program blocks the bytes behind it, so this returns
    /// `true` then.
    fn hears_more_than(&self, reads: u64) -> bool {
        if self.reads() <= reads {
            self.read_ahead();
        }
        self.reads() > reads || self.has_found()
    }
}
