//! How a loop is made.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::hooks::Hooks;
use super::host::Hosting;
use super::marks::{DEBUG, Marks, VIRTUAL};
use super::measure::Measure;
use super::reports::HOST;
use super::{EventLoop, Inner, LoopRef};
use crate::budget::StepBudget;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::kernel::LocalScheduler;
use crate::pace::Pace;
use crate::timers::Timers;

impl EventLoop {
    pub(crate) fn with(
        clock: Clock,
        debug: bool,
        slow_callback: Duration,
        timer_gap: u64,
        made_at: &'static Location<'static>,
    ) -> io::Result<Self> {
        let driver = Driver::new()?;
        let waker = driver.waker();
        let scheduler = LocalScheduler::new(&HOST, move || waker.wake());
        let inner = Rc::new(Inner {
            guided: RefCell::new(None),
            scheduler,
            clock,
            timers: RefCell::new(Timers::new()),
            timer_wake: Cell::new(0),
            timer_gap,
            driver,
            pace: Pace::new(),
            step_budget: StepBudget::default(),
            marks: Marks::default(),
            made_at,
            orphan: Cell::new(false),
            served: Cell::new((0, 0)),
            rested: Cell::new(0),
            turn_end: RefCell::new(Vec::new()),
            slow_callback: Cell::new(slow_callback),
            handler: RefCell::new(None),
            factory: RefCell::new(None),
            has_factory: Cell::new(false),
            looks_for_errors: Cell::new(false),
            locals: RefCell::new(HashMap::new()),
            hosting: Hosting::default(),
            measure: Measure::default(),
            hooks: Hooks::default(),
            watched: RefCell::new(None),
            deadlock_told: Cell::new(false),
        });
        inner.marks.set(DEBUG, debug);
        inner.marks.set(VIRTUAL, inner.clock.is_virtual());
        inner.scheduler.set_owner(&inner);
        let event_loop = LoopRef(inner);
        #[cfg(guest)]
        super::guest_check::run_as_guest(&event_loop);
        Ok(Self(event_loop))
    }
}
