//! Writing by polling, for callers that collect small pieces by themselves, as hyper does.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::write::DIRECT;
use super::{ALONE, BLOCKED, CORKED, Connection, EOF_ASKED, NOT_OPEN};
use crate::outgoing::SLICES;

/// Slices up to this total length are copied together, which costs less than a system call with
/// several slices.
const GATHERED: usize = 512;

impl Connection {
    /// As [`poll_write`](Self::poll_write), except that small pieces are sent now, unless queued
    /// bytes have to be sent before them.
    pub(crate) fn poll_write_collected(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let may_wait = EOF_ASKED | ALONE | NOT_OPEN | BLOCKED | CORKED;
        if (1..DIRECT).contains(&length) && !self.has(may_wait) {
            match self.try_gathered(slices, length) {
                Ok(0) => {}
                Ok(sent) => {
                    self.all_taken();
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if is_for_now(&error) => {}
                // The call must not be repeated: the system reports the error only once.
                Err(error) => self.fail(error),
            }
        }
        let mut parts = [&[][..]; SLICES];
        let slices = slices.iter().filter(|slice| !slice.is_empty());
        let count = parts.iter_mut().zip(slices).map(|(part, slice)| *part = slice).count();
        self.poll_write(cx, &parts[..count])
    }

    fn try_gathered(&self, slices: &[IoSlice<'_>], length: usize) -> io::Result<usize> {
        match slices {
            [one] => self.io.try_send(one),
            _ if length > GATHERED => self.io.try_write(slices),
            _ => self.network.with_gathered(|gathered| {
                slices.iter().for_each(|slice| gathered.extend_from_slice(slice));
                self.io.try_send(gathered)
            }),
        }
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
