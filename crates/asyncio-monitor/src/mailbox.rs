//! Questions in transit to a loop. A question is removed when the monitor no longer waits for its
//! answer.
//!
//! A blocked loop takes nothing from its own queue, so entries would accumulate there. All
//! questions share one entry in that queue, the *bell*. The questions themselves wait here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use asyncio_loop::{LoopHandle, running_loop};

use crate::silence::Silence;

type Question = Box<dyn FnOnce() + Send>;

/// The questions that a loop has not begun to answer.
#[derive(Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    questions: VecDeque<(u64, Question)>,
    last: u64,
    /// Whether the bell is in the loop's queue.
    is_rung: bool,
}

impl Mailbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the loop run `question` on its thread, unless the returned value is dropped before.
    pub(crate) fn post(
        self: &Arc<Self>,
        handle: &LoopHandle,
        question: impl FnOnce() + Send + 'static,
    ) -> Result<PendingQuestion, Silence> {
        let mut inner = self.inner();
        inner.last += 1;
        let pending = PendingQuestion { mailbox: Arc::clone(self), number: inner.last };
        inner.questions.push_back((pending.number, Box::new(question)));
        let rings = !std::mem::replace(&mut inner.is_rung, true);
        drop(inner);
        if rings {
            let bell = Bell { mailbox: Arc::clone(self), is_heard: false };
            // If the loop is closed, the bell is dropped, and the questions with it.
            handle.call_soon_threadsafe(move || bell.answer()).map_err(|_| Silence::Closed)?;
        }
        Ok(pending)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.inner().questions.len()
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner();
        f.debug_struct("Mailbox").field("questions", &inner.questions.len()).finish_non_exhaustive()
    }
}

/// A question in transit. Dropping this removes the question if the loop has not begun to answer
/// it.
#[derive(Debug)]
pub(crate) struct PendingQuestion {
    mailbox: Arc<Mailbox>,
    number: u64,
}

impl Drop for PendingQuestion {
    fn drop(&mut self) {
        let mut inner = self.mailbox.inner();
        let place = inner.questions.iter().position(|(number, _)| *number == self.number);
        let question = place.and_then(|place| inner.questions.remove(place));
        drop(inner);
        drop(question);
    }
}

/// The entry in the loop's queue.
struct Bell {
    mailbox: Arc<Mailbox>,
    is_heard: bool,
}

impl Bell {
    /// Runs the oldest question. The next one runs in another callback, so that the loop's own work
    /// continues in between.
    fn answer(mut self) {
        let mut inner = self.mailbox.inner();
        let question = inner.questions.pop_front();
        inner.is_rung = !inner.questions.is_empty();
        let rings = inner.is_rung;
        self.is_heard = true;
        drop(inner);
        if rings {
            let bell = Self { mailbox: Arc::clone(&self.mailbox), is_heard: false };
            running_loop().call_soon(move || bell.answer());
        }
        if let Some((_, question)) = question {
            question();
        }
    }
}

impl Drop for Bell {
    /// A bell that is dropped without having run was in the queue of a closed loop.
    fn drop(&mut self) {
        if !self.is_heard {
            let mut inner = self.mailbox.inner();
            inner.is_rung = false;
            let questions = std::mem::take(&mut inner.questions);
            drop(inner);
            drop(questions);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use asyncio_loop::EventLoop;

    use super::*;

    fn note(tell: &Sender<u32>, number: u32) -> impl FnOnce() + Send + use<> {
        let tell = tell.clone();
        move || tell.send(number).unwrap()
    }

    fn told(told: &Receiver<u32>) -> Vec<u32> {
        told.try_iter().collect()
    }

    #[test]
    fn questions_are_answered_in_order_and_those_taken_back_are_not() {
        let event_loop = EventLoop::new().unwrap();
        let (handle, mailbox) = (event_loop.handle(), Arc::<Mailbox>::default());
        let (tell, answers) = channel();
        let pending: Vec<PendingQuestion> =
            (0..4).map(|number| mailbox.post(&handle, note(&tell, number)).unwrap()).collect();
        // The loop runs nothing, but the values that the questions hold are dropped.
        let mut pending = pending.into_iter();
        let (first, second) = (pending.next(), pending.next());
        drop(second);
        assert_eq!(mailbox.len(), 3);
        event_loop.run_until_complete(wait_until(|| mailbox.len() == 0)).unwrap();
        assert_eq!(told(&answers), [0, 2, 3]);
        drop((first, pending));

        // The bell is queued again.
        let pending = mailbox.post(&handle, note(&tell, 9)).unwrap();
        event_loop.run_until_complete(wait_until(|| mailbox.len() == 0)).unwrap();
        assert_eq!(told(&answers), [9]);
        drop(pending);
        let none = mailbox.post(&handle, note(&tell, 10)).unwrap();
        drop(none);
        event_loop.run_until_complete(asyncio_task::yield_now()).unwrap();
        let pending = mailbox.post(&handle, note(&tell, 11)).unwrap();
        event_loop.run_until_complete(wait_until(|| mailbox.len() == 0)).unwrap();
        assert_eq!(told(&answers), [11]);
        drop(pending);
    }

    async fn wait_until(is_true: impl Fn() -> bool) {
        while !is_true() {
            asyncio_task::yield_now().await;
        }
    }

    #[test]
    fn a_thousand_questions_to_a_blocked_loop_leave_one_entry_in_its_queue() {
        let event_loop = EventLoop::new().unwrap();
        let (handle, mailbox) = (event_loop.handle(), Arc::<Mailbox>::default());
        let (tell, answers) = channel();
        for number in 0..1000 {
            drop(mailbox.post(&handle, note(&tell, number)).unwrap());
        }
        assert_eq!(mailbox.len(), 0);
        drop(tell);
        assert!(answers.recv().is_err(), "no question is left that could be answered");
        let before = event_loop.statistics().steps;
        event_loop.run_until_complete(asyncio_task::yield_now()).unwrap();
        assert!(event_loop.statistics().steps - before < 10);
    }

    #[test]
    fn a_loop_that_is_closed_lets_its_questions_go() {
        let event_loop = EventLoop::new().unwrap();
        let (handle, mailbox) = (event_loop.handle(), Arc::<Mailbox>::default());
        let (tell, answers) = channel();
        let pending = mailbox.post(&handle, note(&tell, 1)).unwrap();
        drop(event_loop);
        assert_eq!(mailbox.len(), 0);
        assert_eq!(mailbox.post(&handle, note(&tell, 2)).unwrap_err(), Silence::Closed);
        assert_eq!(mailbox.len(), 0);
        drop((tell, pending));
        assert!(answers.recv().is_err());
    }
}
