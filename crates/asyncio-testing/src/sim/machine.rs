//! A host: its program and the loop that runs it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::machinery::{Candidates, Director, Rest, Step};
use asyncio_loop::{EventLoop, Job, LoopRef, LoopTime, LoopWaker, TaskOptions, TaskRef};
use asyncio_net::machinery::set_sockets;

use super::sockets::{HostSockets, Net};
use super::wire::HostId;
use crate::conductor::Conductor;
use crate::failure::FailureKind;
use crate::quiet;

/// A program, which is called for each start of its host. It returns its failure, if any.
pub(super) type Program = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<String>>>>>;

pub(super) struct Machine {
    net: Net,
    conductor: Rc<Conductor>,
    id: HostId,
    name: Rc<str>,
    program: Program,
    /// The location of the call that created the host.
    site: &'static Location<'static>,
    run: RefCell<Option<Run>>,
    /// Requests to be handled when no loop is in a step.
    wish: Cell<Option<Wish>>,
    clock: Cell<Clock>,
    ended: Rc<Cell<bool>>,
    waiters: RefCell<Vec<Weak<Waiter>>>,
}

/// The tasks that wait for the end of the host.
pub(super) type Waiter = Cell<Option<LoopWaker>>;

/// One run of the program.
struct Run {
    event_loop: EventLoop,
    sockets: Rc<HostSockets>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Start,
    Stop,
    Restart,
}

impl Machine {
    pub(super) fn new(
        net: &Net,
        id: HostId,
        program: Program,
        site: &'static Location<'static>,
    ) -> Rc<Self> {
        Rc::new(Self {
            net: net.clone(),
            conductor: Rc::clone(net.wire.conductor()),
            id,
            name: Rc::clone(&net.wire.host(id).name),
            program,
            site,
            run: RefCell::default(),
            wish: Cell::new(Some(Wish::Start)),
            clock: Cell::new(Clock::default()),
            ended: Rc::default(),
            waiters: RefCell::default(),
        })
    }

    pub(super) fn id(&self) -> HostId {
        self.id
    }

    pub(super) fn name(&self) -> &Rc<str> {
        &self.name
    }

    /// Whether its program runs or is about to start.
    pub(super) fn is_running(&self) -> bool {
        match self.wish.get() {
            Some(Wish::Start | Wish::Restart) => true,
            Some(Wish::Stop) => false,
            None => self.run.borrow().is_some() && !self.ended.get(),
        }
    }

    /// Ends the program: its loop is closed before another step runs on it.
    pub(super) fn stop(&self, silently: bool) {
        if self.is_running() {
            self.net.end_host(self.id, silently);
        }
        if let Some(run) = &*self.run.borrow() {
            run.sockets.end();
        }
        self.net.wire.host(self.id).is_off.set(silently);
        self.wish.set(Some(Wish::Stop));
    }

    /// Restarts the program.
    pub(super) fn restart(&self) {
        if self.is_running() {
            self.stop(false);
        }
        self.net.wire.host(self.id).is_off.set(false);
        self.wish.set(Some(Wish::Restart));
    }

    pub(super) fn waiter_for_end(&self) -> Rc<Waiter> {
        let waiter = Rc::default();
        let mut waiters = self.waiters.borrow_mut();
        waiters.retain(|waiter| waiter.strong_count() > 0);
        waiters.push(Rc::downgrade(&waiter));
        waiter
    }

    fn wake_waiters(&self) {
        for waiter in self.waiters.borrow().iter().filter_map(Weak::upgrade) {
            if let Some(waker) = waiter.take() {
                waker.wake();
            }
        }
    }

    /// Handles the request. No loop is in a step.
    pub(super) fn fulfil(self: &Rc<Self>) {
        if self.ended.get() {
            self.end_run();
        }
        match self.wish.take() {
            None => {}
            Some(Wish::Start) => self.start(),
            Some(Wish::Stop) => self.end_run(),
            Some(Wish::Restart) => {
                self.end_run();
                self.start();
            }
        }
    }

    fn start(self: &Rc<Self>) {
        let builder = EventLoop::builder().virtual_time(true).debug(self.conductor.explains());
        let event_loop = builder.build().expect("the system has descriptors left for a loop");
        event_loop.advance_to(self.time());
        let direct = Directs { machine: Rc::clone(self) };
        event_loop.set_director(Some(Rc::new(direct)));
        self.conductor.attend(&event_loop, &self.name);
        let sockets = HostSockets::new(&self.net, self.id);
        self.ended.set(false);
        event_loop.run_in(|| {
            set_sockets(&event_loop, Rc::clone(&sockets) as _);
            let options = TaskOptions::new().name("main").site(self.site);
            let main = event_loop.spawn(self.main(), options);
            let main = main.expect("the loop is open");
            self.conductor.spare(main.task().id());
        });
        self.run.replace(Some(Run { event_loop, sockets }));
    }

    /// The program. Its failure fails the test.
    fn main(self: &Rc<Self>) -> impl Future<Output = ()> + 'static {
        let this = Rc::clone(self);
        let program = Rc::clone(&self.program);
        let mut future = None;
        poll_fn(move |cx| {
            let poll = || future.get_or_insert_with(|| program()).as_mut().poll(cx);
            let polled = catch_unwind(AssertUnwindSafe(poll));
            let failure = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(None)) => None,
                Ok(Poll::Ready(Some(error))) => Some((FailureKind::Error, error)),
                Err(payload) => Some((FailureKind::Panic, quiet::words(&*payload))),
            };
            if let Some((kind, words)) = failure {
                this.conductor.fail_aside(kind, format!("host {}: {words}", this.name));
            }
            this.ended.set(true);
            this.wake_waiters();
            Poll::Ready(())
        })
    }

    /// Closes the loop, with everything that the program has left.
    pub(super) fn end_run(&self) {
        let run = self.run.take();
        let Some(Run { event_loop, sockets }) = run else { return };
        // The end of a process reports nothing.
        event_loop.set_exception_handler(Some(Rc::new(|_, _| {})));
        sockets.end();
        event_loop.close_driven();
        // This drops what the program has leaked.
        self.net.end_host(self.id, self.net.wire.is_off(self.id));
        self.ended.set(false);
        self.wake_waiters();
    }

    /// Runs a turn if there is work. Returns whether there was.
    pub(super) fn turn(&self) -> bool {
        let event_loop = self.run.borrow().as_ref().map(|run| run.event_loop.loop_ref());
        let Some(event_loop) = event_loop.filter(|it| self.is_running() && self.has_work(it))
        else {
            return false;
        };
        event_loop.turn_driven();
        true
    }

    /// Whether there is work to do before time advances.
    pub(super) fn is_busy(&self) -> bool {
        let has_work = |run: &Run| self.has_work(&run.event_loop);
        self.ended.get()
            || self.wish.get().is_some()
            || self.run.borrow().as_ref().is_some_and(has_work)
    }

    fn has_work(&self, event_loop: &LoopRef) -> bool {
        event_loop.advance_to(self.time());
        event_loop.has_work()
    }

    /// The next deadline of its timers, on the clock of the network.
    pub(super) fn deadline(&self) -> Option<LoopTime> {
        let deadline = self.run.borrow().as_ref()?.event_loop.next_deadline()?;
        Some(self.clock.get().world_at(deadline))
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.run.borrow().as_ref().is_some_and(|run| run.event_loop.is_reachable())
    }

    pub(super) fn tasks(&self) -> Vec<TaskRef> {
        self.run.borrow().as_ref().map_or(Vec::new(), |run| run.event_loop.all_tasks())
    }

    fn time(&self) -> LoopTime {
        self.clock.get().host_at(self.net.wire.now())
    }

    pub(super) fn advance_clock(&self, by: Duration) {
        let clock = self.clock.get();
        self.clock.set(Clock { ahead: clock.ahead + by, ..clock });
    }

    pub(super) fn set_clock_rate(&self, parts_per_million: i32) {
        let (clock, now) = (self.clock.get(), self.net.wire.now());
        let ahead = clock.host_at(now) - now;
        let behind = now - clock.host_at(now);
        self.clock.set(Clock { ahead, behind, world: now, rate: parts_per_million });
    }
}

/// The difference of a host's clock from the network's.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    ahead: Duration,
    behind: Duration,
    /// The time since which the rate applies.
    world: LoopTime,
    /// By how many parts per million the clock is too fast.
    rate: i32,
}

const MILLION: i128 = 1_000_000;

impl Clock {
    fn host_at(self, world: LoopTime) -> LoopTime {
        if self.rate == 0 {
            return world + self.ahead - self.behind;
        }
        let since = i128::from((world - self.world).as_nanos() as u64);
        let passed = since * (MILLION + i128::from(self.rate)) / MILLION;
        let passed = Duration::from_nanos(u64::try_from(passed).unwrap_or(0));
        self.world + self.ahead + passed - self.behind
    }

    /// The first moment at which the host's clock shows `host`.
    fn world_at(self, host: LoopTime) -> LoopTime {
        if self.rate == 0 {
            return host + self.behind - self.ahead;
        }
        let since = (host + self.behind) - (self.world + self.ahead);
        let since = i128::from(since.as_nanos() as u64);
        let rate = MILLION + i128::from(self.rate);
        let passed = (since * MILLION + rate - 1) / rate;
        self.world + Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

/// The conductor, as the director of a host's loop.
struct Directs {
    machine: Rc<Machine>,
}

impl Director for Directs {
    fn next(&self, ready: &Candidates, now: LoopTime) -> Step {
        let Machine { conductor, net, name, .. } = &*self.machine;
        let step = conductor.step(ready, now, net.wire.now(), Some(name));
        if step == Step::Stop {
            conductor.stop_main();
        }
        step
    }

    fn before(&self, task: Option<&TaskRef>) {
        self.machine.conductor.before(task);
    }

    fn pick(&self, count: usize) -> usize {
        self.machine.conductor.pick(count)
    }

    fn takes_remote(&self) -> bool {
        self.machine.conductor.takes_remote()
    }

    /// Time advances for all hosts at once.
    fn rest(&self, _deadline: Option<LoopTime>, _idle: bool) -> Rest {
        Rest::Again
    }

    fn moved(&self, _to: LoopTime, _idle: bool) {}

    fn stalled(&self, _event_loop: &LoopRef, _reachable: bool) -> Option<Duration> {
        None
    }

    fn execute(&self, event_loop: &LoopRef, job: Job) {
        self.machine.conductor.execute(event_loop, job);
    }

    fn random(&self) -> u64 {
        self.machine.conductor.random()
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("name", &self.name)
            .field("is_running", &self.is_running())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_by_a_wrong_clock_is_neither_missed_nor_early() {
        let at = LoopTime::from_nanos;
        for rate in [-500_000, -300, -1, 0, 1, 7, 300, 1_000_000] {
            let clock = Clock {
                ahead: Duration::from_nanos(13),
                world: at(1000),
                rate,
                ..Clock::default()
            };
            for deadline in (1013..3000).map(at) {
                let world = clock.world_at(deadline);
                assert!(clock.host_at(world) >= deadline, "{rate} {deadline}");
                let before = at(world.as_nanos() - 1);
                assert!(world == at(1000) || clock.host_at(before) < deadline, "{rate} {deadline}");
            }
        }
    }
}
