//! What the driver keeps for each descriptor: its readiness and who waits for it.

use std::os::fd::RawFd;
use std::task::Context;

use mio::event::Event;
use slab::Slab;

use super::Direction;
use super::wake::WakeList;
use crate::LocalWaker;

/// Half of a token is the slot's index, half its generation.
const INDEX_BITS: u32 = usize::BITS / 2;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// Names one registration, never reused (within 2^31 of them) although the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(usize);

impl Token {
    fn new(index: usize, generation: u32) -> Self {
        debug_assert!(index < INDEX_MASK);
        // The top bit stays clear: tokens above are the driver's own.
        Self(((generation as usize) << INDEX_BITS) & (usize::MAX >> 1) | index)
    }

    fn index(self) -> usize {
        self.0 & INDEX_MASK
    }
}

impl From<mio::Token> for Token {
    fn from(token: mio::Token) -> Self {
        Self(token.0)
    }
}

impl From<Token> for mio::Token {
    fn from(token: Token) -> Self {
        Self(token.0)
    }
}

/// All descriptors of one loop.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Slab<Slot>,
    generation: u32,
    /// By descriptor: its slot's index and one, or 0.
    by_fd: Vec<u32>,
}

impl Slots {
    /// A slot for a descriptor that nobody else is supposed to use.
    pub(super) fn insert(&mut self, fd: RawFd) -> Token {
        self.add(fd, 0)
    }

    /// A slot for a descriptor that several may wait for: a new one, or the one that is there. `None` if
    /// the descriptor is somebody's own.
    pub(super) fn share(&mut self, fd: RawFd) -> Option<Token> {
        let Some(slot) = self.of_fd(fd) else { return Some(self.add(fd, SHARED)) };
        if slot.flags & SHARED == 0 {
            return None;
        }
        slot.users += 1;
        Some(slot.token)
    }

    fn add(&mut self, fd: RawFd, flags: u8) -> Token {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let token = Token::new(entry.key(), self.generation);
        entry.insert(Slot::new(token, fd, flags));
        let fd = fd as usize;
        if self.by_fd.len() <= fd {
            self.by_fd.resize(fd + 1, 0);
        }
        self.by_fd[fd] = token.index() as u32 + 1;
        token
    }

    fn of_fd(&mut self, fd: RawFd) -> Option<&mut Slot> {
        let index = self.by_fd.get(fd as usize)?.checked_sub(1)?;
        self.slots.get_mut(index as usize)
    }

    /// The slot of `token`, unless it is gone.
    #[inline]
    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut Slot> {
        self.slots.get_mut(token.index()).filter(|slot| slot.token == token)
    }

    /// Gives up one use of the slot, and the slot out if it was the last: its wakers must not be
    /// dropped while `self` is borrowed.
    pub(super) fn remove(&mut self, token: Token) -> Option<Slot> {
        let slot = self.get_mut(token)?;
        slot.users -= 1;
        if slot.users > 0 {
            return None;
        }
        let fd = slot.fd as usize;
        let place = &mut self.by_fd[fd];
        if *place == token.index() as u32 + 1 {
            *place = 0;
        }
        self.slots.try_remove(token.index())
    }
}

/// One descriptor.
#[derive(Debug)]
pub(super) struct Slot {
    token: Token,
    fd: RawFd,
    users: u16,
    flags: u8,
    reader: Option<LocalWaker>,
    /// Boxed because few wait to write.
    writer: Option<Box<LocalWaker>>,
}

/// An attempt to read may succeed.
const READABLE: u8 = 1;
/// An attempt to write may succeed.
const WRITABLE: u8 = 1 << 1;
/// The other side has finished: after a short read there is an end of file to be seen.
const READ_CLOSED: u8 = 1 << 2;
/// The selector knows the descriptor.
const REGISTERED: u8 = 1 << 3;
/// Several may use the descriptor at a time.
const SHARED: u8 = 1 << 4;

impl Slot {
    fn new(token: Token, fd: RawFd, flags: u8) -> Self {
        let flags = flags | READABLE | WRITABLE;
        Self { token, fd, users: 1, flags, reader: None, writer: None }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(super) fn is_registered(&self) -> bool {
        self.flags & REGISTERED != 0
    }

    pub(super) fn set_registered(&mut self) {
        self.flags |= REGISTERED;
    }

    #[inline]
    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        self.flags & direction.ready_flag() != 0
    }

    /// An operation would have blocked: whatever was known is out of date.
    #[inline]
    pub(super) fn clear(&mut self, direction: Direction) {
        self.flags &= !match direction {
            Direction::Read => READABLE | READ_CLOSED,
            Direction::Write => WRITABLE,
        };
    }

    /// An operation moved fewer bytes than it could have: nothing is left, but perhaps an end of file.
    #[inline]
    pub(super) fn drained(&mut self, direction: Direction) {
        if direction == Direction::Write || self.flags & READ_CLOSED == 0 {
            self.clear(direction);
        }
    }

    /// Whether the task of `cx` is the one that waits for `direction`.
    #[inline]
    pub(super) fn waits(&self, direction: Direction, cx: &Context<'_>) -> bool {
        let waiter = match direction {
            Direction::Read => self.reader.as_ref(),
            Direction::Write => self.writer.as_deref(),
        };
        waiter.is_some_and(|waiter| waiter.will_wake(cx))
    }

    /// Has `waker` woken when `direction` may be ready; gives the one before out.
    #[inline]
    pub(super) fn set_waiter(
        &mut self,
        direction: Direction,
        waker: LocalWaker,
    ) -> Option<LocalWaker> {
        match direction {
            Direction::Read => self.reader.replace(waker),
            Direction::Write => self.writer.replace(Box::new(waker)).map(|before| *before),
        }
    }

    #[inline]
    pub(super) fn take_waiter(&mut self, direction: Direction) -> Option<LocalWaker> {
        match direction {
            Direction::Read => self.reader.take(),
            Direction::Write => self.writer.take().map(|waiter| *waiter),
        }
    }

    /// Takes note of an event; a failed descriptor is ready for both, so that operations meet the error.
    pub(super) fn on_event(&mut self, event: &Event, woken: &mut WakeList) {
        if event.is_read_closed() {
            self.flags |= READ_CLOSED;
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.flags |= READABLE;
            woken.push(self.take_waiter(Direction::Read));
        }
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            self.flags |= WRITABLE;
            woken.push(self.take_waiter(Direction::Write));
        }
    }
}

impl Direction {
    #[inline]
    fn ready_flag(self) -> u8 {
        match self {
            Direction::Read => READABLE,
            Direction::Write => WRITABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_an_earlier_generation_finds_nothing() {
        let mut slots = Slots::default();
        let old = slots.insert(5);
        assert!(slots.remove(old).is_some());
        let new = slots.insert(5);
        assert_eq!(new.index(), old.index());
        assert!(slots.get_mut(old).is_none());
        assert!(slots.remove(old).is_none());
        assert!(slots.get_mut(new).is_some());
    }

    #[test]
    fn a_shared_slot_lives_as_long_as_its_last_user() {
        let mut slots = Slots::default();
        let first = slots.share(5).unwrap();
        assert_eq!(slots.share(5), Some(first));
        assert!(slots.remove(first).is_none());
        assert!(slots.remove(first).is_some());
        assert_ne!(slots.share(5), Some(first));
    }

    #[test]
    fn what_is_somebodys_own_is_not_shared() {
        let mut slots = Slots::default();
        let own = slots.insert(5);
        assert_eq!(slots.share(5), None);
        slots.remove(own);
        assert!(slots.share(5).is_some());
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Slot>() <= 48, "{}", size_of::<Slot>());
    }
}
