//! Switching the flight recorder on and off.

use std::sync::Arc;

use super::marks::RECORDED;
use super::{Inner, LoopRef};
use crate::inspect::Recorder;
use crate::kernel::What;
use crate::loop_handle::LoopHandle;
use crate::report;

impl LoopRef {
    /// Records events from now on: tasks that are made, woken, polled and end, callbacks, polls for
    /// events, and reports. The last `events` of them are kept, in 32 bytes each; the number is
    /// rounded up to a power of two from 16 to 16,777,216. Ends an earlier recording as
    /// [`stop_recording`](Self::stop_recording) does.
    ///
    /// A loop with a director of tests records only its tasks.
    ///
    /// A loop that does not record pays nothing. `docs/DEBUGGING.md` has the cost of recording.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let recorder = event_loop.record(10_000);
    /// event_loop.run_until_complete(async {})?;
    /// event_loop.stop_recording();
    /// assert!(recorder.recording().events().count() > 3, "it keeps what there was");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&self, events: usize) -> Recorder {
        let recorder = Recorder::new(events);
        if !self.is_closed() {
            self.set_recorder(Some(recorder.clone()));
        }
        recorder
    }

    /// Stops recording. The recorder keeps its events, and writes its file, if it was given one.
    pub fn stop_recording(&self) {
        self.set_recorder(None);
    }

    fn set_recorder(&self, recorder: Option<Recorder>) {
        let inner = &*self.0;
        if let Some(before) = self.recorder() {
            report::quietly(|| before.keep(None), || ());
        }
        inner.marks.set(RECORDED, recorder.is_some());
        inner.scheduler.set_ring(recorder.as_ref().map(|recorder| Arc::clone(recorder.ring())));
    }

    /// The recorder, while the loop records.
    #[must_use]
    pub fn recorder(&self) -> Option<Recorder> {
        self.0.scheduler.ring().map(Recorder::of_ring)
    }

    /// Records that something was reported.
    pub(super) fn record_report(&self, text: impl FnOnce() -> String) {
        if self.0.marks.has(RECORDED) {
            if let Some(recorder) = self.recorder() {
                recorder.ring().note(text());
            }
        }
    }
}

impl Inner {
    /// Records that the loop begins or ends a poll for events, and the cause of wakes from here on.
    #[inline]
    pub(super) fn record_look(&self, what: Option<What>, due_to: u8) {
        if self.marks.has(RECORDED) {
            self.scheduler.record_poll(what, due_to);
        }
    }
}

impl LoopHandle {
    /// The loop's recorder, while it records.
    #[must_use]
    pub fn recorder(&self) -> Option<Recorder> {
        self.ring().map(Recorder::of_ring)
    }
}
