//! One loop of a pool, with its thread.

use std::cell::OnceCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use asyncio_loop::{EventLoop, LoopHandle, ThreadFuture, ThreadPromise, running_loop};

use super::cpus::{self, Cpu};
use super::end::End;
use super::gate::Gate;
use super::load::Load;
use crate::runner::Runner;
use crate::timeout::Timeout;

#[derive(Debug)]
pub(super) struct Worker {
    handle: LoopHandle,
    load: Arc<Load>,
    thread: Option<JoinHandle<()>>,
}

/// The values that a worker's thread starts with.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) make: Box<dyn FnOnce() -> io::Result<EventLoop> + Send>,
    /// The processor that the thread stays on.
    pub(super) cpu: Option<Cpu>,
    pub(super) grace_period: Duration,
    pub(super) end: Arc<End>,
}

/// A thread that has been started, and may not have its loop yet.
pub(super) struct Starting {
    started: ThreadFuture<io::Result<LoopHandle>>,
    load: Arc<Load>,
    thread: JoinHandle<()>,
}

impl Starting {
    pub(super) fn new(plan: Plan) -> io::Result<Self> {
        let (ready, started) = ThreadPromise::new();
        let load = Arc::new(Load::default());
        let own_load = Arc::clone(&load);
        let thread = thread::Builder::new().name(plan.name.clone()).spawn(move || {
            let end = Arc::clone(&plan.end);
            end.run_thread(|| run_loop(plan, &own_load, ready));
        })?;
        Ok(Self { started, load, thread })
    }

    /// Waits until the loop runs.
    pub(super) fn finish(self) -> io::Result<Worker> {
        let Self { started, load, thread } = self;
        match started.result(None) {
            Ok(Ok(handle)) => Ok(Worker { handle, load, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the factory of a loop panicked")),
        }
    }
}

impl Worker {
    pub(super) fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Stops the loop when nothing is left to do, or when `grace` is over.
    pub(super) fn stop(&self, grace: Duration) {
        // A loop that has ended refuses the call.
        let _ = self.handle.call_soon_threadsafe(move || {
            let stop = running_loop().local::<Stop>();
            if let Some(limit) = stop.limit.get() {
                let when = running_loop().time() + grace;
                // The loop refuses the call when the time is over already.
                let _ = limit.reschedule(Some(limit.when().map_or(when, |set| set.min(when))));
            }
            running_loop().local::<Gate>().open();
        });
    }

    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread has caught its panic itself.
            let _ = thread.join();
        }
    }
}

/// How long the loop goes on after it was told to stop.
#[derive(Default)]
struct Stop {
    limit: OnceCell<Timeout>,
}

/// The body of the thread.
fn run_loop(plan: Plan, load: &Load, ready: ThreadPromise<io::Result<LoopHandle>>) {
    let pinned = plan.cpu.map_or(Ok(()), cpus::stay_on);
    let event_loop = match pinned.and_then(|()| (plan.make)()) {
        Ok(event_loop) => event_loop,
        Err(error) => {
            ready.set_result(Err(error));
            return;
        }
    };
    let runner = Runner::builder().grace_period(plan.grace_period);
    runner.loop_factory(move || Ok(event_loop)).run(async move {
        let event_loop = running_loop();
        let limit = Timeout::at(None);
        let known = event_loop.local::<Stop>().limit.set(limit.clone());
        debug_assert!(known.is_ok(), "a loop has one main task");
        let gate: Rc<Gate> = event_loop.local();
        let work = limit.run(async {
            ready.set_result(Ok(event_loop.handle()));
            gate.passed().await;
            load.until_none().await;
        });
        // Futures that have not ended in time are cancelled with the other tasks.
        let _ = work.await;
    });
}
