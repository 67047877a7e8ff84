//! Several hosts on one clock.
//!
//! The test's own loop runs as usual. Between two of its turns, each host with work makes one turn,
//! in an order that the seed decides. When no host has work, the clock advances to the next
//! deadline or arrival.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use asyncio_loop::LoopTime;
use asyncio_loop::machinery::Rest;

use super::machine::Machine;
use super::sockets::Net;
use crate::conductor::{Companions, Conductor};

/// After this many turns without a rest, time advances nevertheless, as in a single loop.
const RESTLESS: u32 = 10_000;

#[derive(Debug)]
pub(super) struct Fleet {
    net: Net,
    conductor: Rc<Conductor>,
    machines: RefCell<Rc<[Rc<Machine>]>>,
    /// The numbers of the hosts with work in a turn.
    busy: RefCell<Vec<usize>>,
    restless: Cell<u32>,
}

impl Fleet {
    pub(super) fn new(net: Net) -> Rc<Self> {
        let conductor = Rc::clone(net.wire.conductor());
        Rc::new(Self {
            net,
            conductor,
            machines: RefCell::new(Rc::new([])),
            busy: RefCell::default(),
            restless: Cell::new(0),
        })
    }

    pub(super) fn add(&self, machine: &Rc<Machine>) {
        let mut machines = self.machines();
        machines = machines.iter().chain([machine]).cloned().collect();
        self.machines.replace(machines);
    }

    fn machines(&self) -> Rc<[Rc<Machine>]> {
        Rc::clone(&self.machines.borrow())
    }

    fn happen(&self) {
        let now = self.net.wire.now();
        while let Some(event) = self.net.wire.agenda().take_due(now) {
            event();
        }
    }
}

impl Companions for Fleet {
    fn turn(&self) {
        self.happen();
        let machines = self.machines();
        machines.iter().for_each(Machine::fulfil);
        let mut busy = self.busy.take();
        busy.extend((0..machines.len()).filter(|index| machines[*index].is_busy()));
        if busy.len() > 1 {
            let first = self.conductor.choose(busy.len());
            busy.rotate_left(first);
        }
        for index in busy.drain(..) {
            machines[index].turn();
            machines[index].fulfil();
        }
        self.busy.replace(busy);
    }

    fn rest(&self, deadline: Option<LoopTime>, idle: bool) -> Rest {
        let machines = self.machines.borrow();
        let is_due = self.net.wire.agenda().next().is_some_and(|next| next <= self.net.wire.now());
        let is_busy = is_due || machines.iter().any(|machine| machine.is_busy());
        if idle && is_busy && self.restless.get() < RESTLESS {
            self.restless.set(self.restless.get() + 1);
            return Rest::Again;
        }
        self.restless.set(0);
        let others = machines.iter().filter_map(|machine| machine.deadline());
        let others = others.filter(|deadline| *deadline > self.net.wire.now());
        let next = others.chain(deadline).chain(self.net.wire.agenda().next()).min();
        match next {
            Some(next) => Rest::MoveTo(next),
            None if is_busy => Rest::Again,
            None => Rest::Stall,
        }
    }

    fn is_reachable(&self) -> bool {
        self.machines.borrow().iter().any(|machine| machine.is_reachable())
    }

    fn tasks(&self) -> Vec<String> {
        let words = |machine: &Rc<Machine>| -> Vec<String> {
            let name = Rc::clone(machine.name());
            machine.tasks().iter().map(|task| format!("{task:?} on {name}")).collect()
        };
        self.machines.borrow().iter().flat_map(words).collect()
    }

    fn end(&self) {
        let machines = self.machines.replace(Rc::new([]));
        machines.iter().for_each(|machine| machine.end_run());
        self.net.end();
    }
}
