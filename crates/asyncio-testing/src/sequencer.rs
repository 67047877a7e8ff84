//! Steps of several tasks in a given order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use asyncio_sync::Event;

/// Puts steps of several tasks into an order: step 0, step 1, and so on.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use asyncio_task::{create_task, run};
/// use asyncio_testing::{Sequencer, assert_trace, event};
///
/// run(async {
///     let sequencer = Rc::new(Sequencer::new());
///     let other = create_task({
///         let sequencer = Rc::clone(&sequencer);
///         async move {
///             let _step = sequencer.step(1).await;
///             event("one");
///         }
///     });
///     {
///         let _step = sequencer.step(0).await;
///         event("zero");
///     }
///     let _step = sequencer.step(2).await;
///     event("two");
///     other.await.unwrap();
///     assert_trace!["zero", "one", "two"];
/// });
/// ```
#[derive(Debug, Default)]
pub struct Sequencer {
    /// The step that may run.
    next: Cell<u32>,
    steps: RefCell<BTreeMap<u32, Rc<Event>>>,
    broken: Cell<bool>,
}

impl Sequencer {
    /// Begins with step 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until all earlier steps are over. This step is over when the returned value is
    /// dropped.
    ///
    /// # Panics
    ///
    /// If another task has this step, or if a task gave up waiting for an earlier step, which then
    /// would never be over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future breaks the sequencer: later steps panic instead of waiting forever.
    pub async fn step(&self, number: u32) -> SequencerStep<'_> {
        let event = Rc::new(Event::new());
        let before = self.steps.borrow_mut().insert(number, Rc::clone(&event));
        assert!(before.is_none(), "step {number} of a sequencer is taken twice");
        let mut step = SequencerStep { sequencer: self, number, began: false };
        self.wake();
        event.wait().await;
        assert!(!self.broken.get(), "a step before {number} of a sequencer was given up");
        step.began = true;
        step
    }

    /// Lets the next step begin, if a task waits for it.
    fn wake(&self) {
        let steps = self.steps.borrow();
        let broken = self.broken.get();
        let begins = |(number, _): &(&u32, &Rc<Event>)| broken || **number == self.next.get();
        steps.iter().filter(begins).for_each(|(_, event)| event.set());
    }
}

/// A running step. Dropping it ends the step.
#[derive(Debug)]
#[must_use = "the step is over when this is dropped"]
pub struct SequencerStep<'a> {
    sequencer: &'a Sequencer,
    number: u32,
    began: bool,
}

impl Drop for SequencerStep<'_> {
    fn drop(&mut self) {
        if self.began {
            self.sequencer.next.set(self.number + 1);
        } else {
            self.sequencer.broken.set(true);
        }
        self.sequencer.wake();
    }
}
