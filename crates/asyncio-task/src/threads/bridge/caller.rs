//! The thread that waits in `async_to_sync`: meanwhile it runs the thread-sensitive functions that
//! the asynchronous code below it calls.

use std::sync::mpsc::{self, Receiver, Sender};

use asyncio_loop::{Job, context_var};

context_var! {
    /// The innermost thread that waits in `async_to_sync` above this code.
    pub(super) static CALLER: Option<Caller> = None;
}

/// How jobs get to the thread.
#[derive(Clone)]
pub(super) struct Caller(Sender<Work>);

enum Work {
    Job(Job),
    Done,
}

impl Caller {
    /// The calling thread, and what it has to [`serve`](Waiting::serve).
    pub(super) fn new() -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel();
        (Caller(sender), Waiting(receiver))
    }

    /// Has the thread run a job. `Err`: it waits no more; here is the job back.
    pub(super) fn send(&self, job: Job) -> Result<(), Job> {
        self.0.send(Work::Job(job)).map_err(|refused| match refused.0 {
            Work::Job(job) => job,
            Work::Done => unreachable!("a job was sent"),
        })
    }

    /// Ends the wait.
    pub(super) fn done(&self) {
        // Refused by a thread that waits no more.
        let _ = self.0.send(Work::Done);
    }
}

/// The thread's side.
pub(super) struct Waiting(Receiver<Work>);

impl Waiting {
    /// Runs jobs until the wait is over; those that came before its end are run, too.
    pub(super) fn serve(self) {
        while let Ok(Work::Job(job)) = self.0.recv() {
            job.run();
        }
        while let Ok(work) = self.0.try_recv() {
            if let Work::Job(job) = work {
                job.run();
            }
        }
    }
}
