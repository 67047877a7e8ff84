//! The receivers of one channel that wait for what comes next.
//!
//! A receiver waits again and again, mostly in the same task, and has one waiting future at a time.
//! So it has a *seat*, which keeps the waker of that task. A waiting receiver is a number in the
//! line, which determines the order of waking. Waking all receivers empties the line. Neither
//! takes, counts or drops a waker, as a [`Line`](crate::line::Line) does, which is for futures that
//! wait once.
//!
//! A seat keeps its waker when its receiver has stopped waiting. Until the receiver waits in
//! another task or is dropped, the memory of the task stays, though not its future.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::task::Context;

use asyncio_loop::inspect::{Describe, ResourceInfo};
use asyncio_loop::machinery::Wait;
use asyncio_loop::{LoopWaker, WaitsFor};

use crate::debug::Site;
use crate::loop_binding::LoopBinding;

/// The receivers of a channel that wait. The first wait allocates.
pub(crate) struct Listeners {
    shared: OnceCell<Rc<Shared>>,
    /// The kind of wait, for reports.
    what: WaitsFor,
    /// The place where the channel was made.
    made: Site,
}

/// The number of a receiver's seat, which it takes when it first waits.
#[derive(Debug)]
pub(crate) struct Seat(u32);

impl Seat {
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// The seats. The loop's reports know a channel by their address.
struct Shared {
    made: Site,
    binding: LoopBinding,
    seats: RefCell<Seats>,
}

#[derive(Default)]
struct Seats {
    places: Vec<Place>,
    /// Seats whose receivers are gone.
    free: Vec<u32>,
    /// The seats of the waiting receivers, in the order of arrival, and gaps.
    line: Vec<u32>,
    gaps: usize,
}

#[derive(Default)]
struct Place {
    waker: Option<LoopWaker>,
    /// The place in the line, counted from 1; 0 if the receiver does not wait.
    at: u32,
}

/// The entry of the line whose receiver has left.
const GAP: u32 = u32::MAX;

impl Listeners {
    /// Creates the list for a channel that the caller creates.
    #[track_caller]
    pub(crate) fn new(what: WaitsFor) -> Self {
        Self { shared: OnceCell::new(), what, made: Location::caller() }
    }

    /// Puts a receiver into the line unless it is there. The task being polled waits, at the place
    /// of the caller. Returns whether code of a user may have run, which may have sent something.
    #[inline]
    #[track_caller]
    pub(crate) fn wait(&self, seat: &mut Seat, cx: &Context<'_>) -> bool {
        if let Some(shared) = self.shared.get() {
            let wait = Wait::shared(self.what, &**shared);
            if shared.seats.borrow_mut().wait_again(seat, cx, wait, Location::caller()) {
                return false;
            }
        }
        self.wait_anew(seat, cx);
        true
    }

    /// As [`wait`](Self::wait), for a receiver without a seat, and for one whose seat has the waker
    /// of another task or of another crate.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn wait_anew(&self, seat: &mut Seat, cx: &Context<'_>) {
        let shared = self.shared.get_or_init(|| Shared::new(self.made));
        shared.binding.check(shared);
        let wait = Wait::shared(self.what, &**shared);
        if shared.seats.borrow().has_waker(seat, cx) {
            wait.note(cx);
            shared.seats.borrow_mut().join(seat.0);
            return;
        }
        // Nothing is borrowed here: a foreign waker may use the channel when it is cloned.
        let waker = LoopWaker::waiting(cx, wait);
        let stale = shared.seats.borrow_mut().sit_down(seat, waker);
        drop(stale);
    }

    /// Takes the receiver of this seat out of the line.
    #[inline]
    pub(crate) fn leave(&self, seat: &Seat) {
        if let Some(shared) = self.shared.get() {
            shared.seats.borrow_mut().leave(seat.0);
        }
    }

    /// Frees the seat of a receiver that is dropped.
    pub(crate) fn give_up(&self, seat: &Seat) {
        if let Some(shared) = self.shared.get() {
            let waker = shared.seats.borrow_mut().give_up(seat.0);
            drop(waker);
        }
    }

    /// Wakes all waiting receivers, in the order of their arrival.
    #[inline]
    pub(crate) fn signal(&self) {
        if let Some(shared) = self.shared.get() {
            let rest = shared.seats.borrow_mut().wake_quietly();
            if let Some(rest) = rest {
                shared.wake(&rest);
            }
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.shared.get().map_or(0, |shared| shared.seats.borrow().waiting());
        f.debug_struct("Listeners").field("waiting", &waiting).finish()
    }
}

impl Describe for Shared {
    fn describe(&self) -> ResourceInfo {
        ResourceInfo::new(self.made, None)
    }
}

impl Shared {
    fn new(made: Site) -> Rc<Self> {
        Rc::new(Self { made, binding: LoopBinding::default(), seats: RefCell::default() })
    }

    /// Wakes the receivers of these seats. A foreign waker is code of a user, which may wait, leave
    /// and send, so nothing is borrowed while it runs.
    #[cold]
    fn wake(&self, line: &[u32]) {
        for number in line {
            let waker = self.seats.borrow_mut().waker(*number);
            waker.into_iter().for_each(LoopWaker::wake);
        }
    }
}

impl Seats {
    /// Puts a receiver into the line, if its seat has the waker of the task being polled.
    #[inline]
    fn wait_again(&mut self, seat: &Seat, cx: &Context<'_>, wait: Wait, site: Site) -> bool {
        let Some(place) = self.places.get_mut(seat.0 as usize) else { return false };
        let again = place.waker.as_ref().is_some_and(|waker| waker.waits_again(cx, wait, site));
        if again && place.at == 0 {
            self.line.push(seat.0);
            place.at = self.line.len() as u32;
        }
        again
    }

    fn has_waker(&self, seat: &Seat, cx: &Context<'_>) -> bool {
        let place = self.places.get(seat.0 as usize);
        place.and_then(|place| place.waker.as_ref()).is_some_and(|waker| waker.will_wake(cx))
    }

    /// Gives the receiver a seat if it has none, and puts the seat into the line. Returns the old
    /// waker, which the caller drops when nothing is borrowed.
    fn sit_down(&mut self, seat: &mut Seat, waker: LoopWaker) -> Option<LoopWaker> {
        if seat.0 == Seat::NONE.0 {
            seat.0 = self.free.pop().unwrap_or_else(|| {
                self.places.push(Place::default());
                u32::try_from(self.places.len() - 1).expect("fewer than 2^32 receivers")
            });
        }
        self.join(seat.0);
        self.places[seat.0 as usize].waker.replace(waker)
    }

    fn join(&mut self, number: u32) {
        let place = &mut self.places[number as usize];
        if place.at == 0 {
            self.line.push(number);
            place.at = self.line.len() as u32;
        }
    }

    #[inline]
    fn leave(&mut self, number: u32) {
        let place = self.places.get_mut(number as usize);
        let at = place.map_or(0, |place| std::mem::take(&mut place.at));
        if at > 0 {
            self.make_gap(at as usize - 1);
        }
    }

    #[cold]
    fn make_gap(&mut self, at: usize) {
        self.line[at] = GAP;
        self.gaps += 1;
        while self.line.last() == Some(&GAP) {
            self.line.pop();
            self.gaps -= 1;
        }
        if self.gaps > self.line.len() / 2 {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        self.line.retain(|number| *number != GAP);
        self.gaps = 0;
        for (at, number) in self.line.iter().enumerate() {
            self.places[*number as usize].at = at as u32 + 1;
        }
    }

    fn give_up(&mut self, number: u32) -> Option<LoopWaker> {
        self.leave(number);
        let place = self.places.get_mut(number as usize)?;
        self.free.push(number);
        place.waker.take()
    }

    /// Empties the line and wakes its receivers up to the first whose waker runs code of a user.
    /// Returns the seats from that one on.
    #[inline]
    fn wake_quietly(&mut self) -> Option<Vec<u32>> {
        let places = &mut self.places;
        let loud = self.line.iter().position(|number| {
            let Some(place) = places.get_mut(*number as usize) else { return false };
            place.at = 0;
            !place.waker.as_ref().is_none_or(LoopWaker::wake_quietly)
        });
        let rest = loud.map(|at| self.take_rest(at));
        self.line.clear();
        self.gaps = 0;
        rest
    }

    #[cold]
    fn take_rest(&mut self, from: usize) -> Vec<u32> {
        let rest = self.line.split_off(from);
        for number in &rest {
            if let Some(place) = self.places.get_mut(*number as usize) {
                place.at = 0;
            }
        }
        rest
    }

    /// The waker of this seat: a copy of a waker of this thread's loop. A foreign waker is taken
    /// out, since cloning it would run code of a user.
    fn waker(&mut self, number: u32) -> Option<LoopWaker> {
        let place = self.places.get_mut(number as usize)?;
        let copy = place.waker.as_ref().and_then(LoopWaker::clone_local);
        copy.or_else(|| place.waker.take())
    }

    fn waiting(&self) -> usize {
        self.line.len() - self.gaps
    }
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
