//! The state of each descriptor: its readiness and its waiters.

use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::task::Context;

use mio::event::Event;
use slab::Slab;

use super::Direction;
use super::lists::Lists;
use super::wake::WakeList;
use crate::LoopWaker;
use crate::kernel::RunnableRef;

/// Half of a token is the slot's index, half its generation.
const INDEX_BITS: u32 = usize::BITS / 2;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// The top bit of a token stays clear: tokens above are the driver's own.
const GENERATION_MASK: u32 = (usize::MAX >> (INDEX_BITS + 1)) as u32;

/// Names one registration, never reused (within 2^31 of them) although the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(usize);

impl Token {
    fn new(index: usize, generation: NonZeroU32) -> Self {
        debug_assert!(index < INDEX_MASK);
        Self((generation.get() as usize) << INDEX_BITS | index)
    }

    #[inline]
    fn index(self) -> usize {
        self.0 & INDEX_MASK
    }

    #[inline]
    fn generation(self) -> u32 {
        (self.0 >> INDEX_BITS) as u32
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
    pub(super) lists: Lists,
}

impl Slots {
    /// How many descriptors have a slot.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no descriptor has a slot.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A slot for a descriptor that has one user.
    pub(super) fn insert(&mut self, fd: RawFd) -> Token {
        self.add(fd, 0)
    }

    /// A slot for a descriptor that several may wait for: a new one, or the one that is there.
    /// `None` if the descriptor has a slot that is not shared.
    pub(super) fn share(&mut self, fd: RawFd) -> Option<Token> {
        let Some((index, slot)) = self.of_fd(fd) else { return Some(self.add(fd, SHARED)) };
        if slot.flags & SHARED == 0 {
            return None;
        }
        slot.number += 1;
        Some(Token::new(index, slot.generation))
    }

    fn add(&mut self, fd: RawFd, flags: u8) -> Token {
        let generation = self.next_generation();
        let index = self.slots.insert(Slot::new(generation, fd, flags));
        let fd = fd as usize;
        if self.by_fd.len() <= fd {
            self.by_fd.resize(fd + 1, 0);
        }
        self.by_fd[fd] = index as u32 + 1;
        Token::new(index, generation)
    }

    fn next_generation(&mut self) -> NonZeroU32 {
        self.generation = (self.generation + 1) & GENERATION_MASK;
        NonZeroU32::new(self.generation).unwrap_or_else(|| self.next_generation())
    }

    fn of_fd(&mut self, fd: RawFd) -> Option<(usize, &mut Slot)> {
        let index = self.by_fd.get(fd as usize)?.checked_sub(1)? as usize;
        Some((index, self.slots.get_mut(index)?))
    }

    /// Whether `token` is the latest registration of its descriptor's number. An earlier one is of
    /// a descriptor that was closed too early.
    pub(super) fn is_latest(&mut self, token: Token) -> bool {
        let Some(fd) = self.get_mut(token).map(|slot| slot.fd) else { return false };
        self.of_fd(fd).is_some_and(|(index, _)| index == token.index())
    }

    /// Whether the poller knows the number `fd` by a registration that is still there.
    pub(super) fn is_registered(&mut self, fd: RawFd) -> bool {
        self.of_fd(fd).is_some_and(|(_, slot)| slot.is_registered())
    }

    /// The slot of `token`, unless it is gone.
    #[inline]
    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token.index())?;
        (slot.generation.get() == token.generation()).then_some(slot)
    }

    /// Notes an event. Its waiters are woken later, through `woken`.
    #[inline]
    pub(super) fn on_event(&mut self, event: &Event, woken: &mut WakeList) {
        let token = Token::from(event.token());
        let Some(slot) = self.slots.get_mut(token.index()) else { return };
        if slot.generation.get() == token.generation() {
            slot.on_event(event, &mut self.lists, woken);
        }
    }

    /// Makes the slot push `number` to a list whenever it becomes readable, instead of waking a
    /// reader.
    pub(super) fn enlist(&mut self, token: Token, list: u16, number: u32) {
        let slot = self.get_mut(token).expect("a registration keeps its slot");
        assert!(
            slot.flags & (SHARED | LISTED) == 0,
            "a shared source, or one that has joined a list"
        );
        slot.flags |= LISTED;
        (slot.list, slot.number) = (list, number);
        self.lists.joined(list);
    }

    /// Ends one use of the slot. Returns the slot if it was the last use: its wakers must not be
    /// dropped while `self` is borrowed.
    pub(super) fn remove(&mut self, token: Token) -> Option<Slot> {
        let slot = self.get_mut(token)?;
        if slot.flags & SHARED != 0 {
            slot.number -= 1;
            if slot.number > 0 {
                return None;
            }
        }
        if slot.flags & LISTED != 0 {
            let list = slot.list;
            self.lists.left(list);
        }
        let slot = self.slots.try_remove(token.index())?;
        let place = &mut self.by_fd[slot.fd as usize];
        if *place == token.index() as u32 + 1 {
            *place = 0;
        }
        Some(slot)
    }
}

/// One descriptor.
#[derive(Debug)]
pub(super) struct Slot {
    /// Never zero, so that an empty place in the slab costs no more.
    generation: NonZeroU32,
    fd: RawFd,
    /// `LISTED`: number pushed to the ready list; `SHARED`: reference count.
    number: u32,
    list: u16,
    flags: u8,
    /// The reading task. It stays stored after a wake, because it will wait again.
    reader: Option<RunnableRef>,
    /// Boxed because few have any.
    others: Option<Box<Others>>,
}

/// Waiters other than the usual reader.
#[derive(Debug, Default)]
struct Others {
    /// A reader of another executor.
    reader: Option<LoopWaker>,
    writer: Option<LoopWaker>,
    /// The task that waits for the descriptor to fail.
    watcher: Option<LoopWaker>,
}

/// An attempt to read may succeed.
const READABLE: u8 = 1;
/// An attempt to write may succeed.
const WRITABLE: u8 = 1 << 1;
/// A short read does not mean that nothing is left: an end of file, or bytes after urgent data, may
/// follow.
const SHORT_OF_ALL: u8 = 1 << 2;
/// The selector knows the descriptor.
const REGISTERED: u8 = 1 << 3;
/// Several may use the descriptor at a time.
const SHARED: u8 = 1 << 4;
/// The reader is to be woken.
const AWAITED: u8 = 1 << 5;
/// The slot pushes a number to a list when the descriptor becomes readable.
const LISTED: u8 = 1 << 6;
/// The descriptor has failed, or its peer is gone.
const HUNG_UP: u8 = 1 << 7;

impl Slot {
    fn new(generation: NonZeroU32, fd: RawFd, flags: u8) -> Self {
        let flags = flags | READABLE | WRITABLE;
        Self { generation, fd, number: 1, list: 0, flags, reader: None, others: None }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    #[inline]
    pub(super) fn is_registered(&self) -> bool {
        self.flags & REGISTERED != 0
    }

    pub(super) fn set_registered(&mut self, yes: bool) {
        self.flags = if yes { self.flags | REGISTERED } else { self.flags & !REGISTERED };
    }

    pub(super) fn is_shared(&self) -> bool {
        self.flags & SHARED != 0
    }

    pub(super) fn is_listed(&self) -> bool {
        self.flags & LISTED != 0
    }

    #[inline]
    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        self.flags & direction.ready_flag() != 0
    }

    /// Clears the readiness: an operation would have blocked.
    #[inline]
    pub(super) fn clear(&mut self, direction: Direction) {
        self.flags &= !match direction {
            Direction::Read => READABLE | SHORT_OF_ALL,
            Direction::Write => WRITABLE,
        };
    }

    /// Notes that an operation moved fewer bytes than it could have, so that at most an end of file
    /// is left.
    #[inline]
    pub(super) fn drained(&mut self, direction: Direction) {
        if direction == Direction::Write || self.flags & SHORT_OF_ALL == 0 {
            self.clear(direction);
        }
    }

    /// Notes that the task of `cx` waits again, if it is the one that waited last. Returns whether
    /// it is.
    #[inline]
    pub(super) fn waits_again(&mut self, direction: Direction, cx: &Context<'_>) -> bool {
        let others = self.others.as_deref();
        if direction == Direction::Write {
            let writer = others.and_then(|others| others.writer.as_ref());
            return writer.is_some_and(|writer| writer.will_wake(cx));
        }
        let again = self.reader.as_ref().is_some_and(|reader| reader.is_polled(cx))
            && others.is_none_or(|others| others.reader.is_none());
        if again {
            self.flags |= AWAITED;
        }
        again
    }

    /// Sets the waker of `direction`; returns those before.
    pub(super) fn set_waiter(&mut self, direction: Direction, waker: LoopWaker) -> Replaced {
        if direction == Direction::Write {
            return Replaced(None, self.others().writer.replace(waker));
        }
        self.flags &= !AWAITED;
        let foreign = self.others.as_mut().and_then(|others| others.reader.take());
        match waker.into_runnable() {
            Ok(task) => {
                self.flags |= AWAITED;
                Replaced(self.reader.replace(task), foreign)
            }
            Err(waker) => {
                self.others().reader = Some(LoopWaker::foreign(waker));
                Replaced(self.reader.take(), foreign)
            }
        }
    }

    pub(super) fn is_hung_up(&self) -> bool {
        self.flags & HUNG_UP != 0
    }

    /// The descriptor still works.
    pub(super) fn clear_hang_up(&mut self) {
        self.flags &= !HUNG_UP;
    }

    /// Sets the waker for the descriptor's failure; returns the one before.
    pub(super) fn set_watcher(&mut self, waker: LoopWaker) -> Option<LoopWaker> {
        self.others().watcher.replace(waker)
    }

    pub(super) fn take_watcher(&mut self) -> Option<LoopWaker> {
        self.others.as_mut()?.watcher.take()
    }

    fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }

    #[inline]
    pub(super) fn take_waiter(&mut self, direction: Direction) -> Option<LoopWaker> {
        match direction {
            Direction::Read if self.flags & AWAITED != 0 => {
                self.flags &= !AWAITED;
                self.reader.clone().map(LoopWaker::from_runnable)
            }
            Direction::Read => self.others.as_mut()?.reader.take(),
            Direction::Write => self.others.as_mut()?.writer.take(),
        }
    }

    /// A failed descriptor is ready in both directions, so that operations get the error.
    #[inline]
    fn on_event(&mut self, event: &Event, lists: &mut Lists, woken: &mut WakeList) {
        let read_closed = event.is_read_closed();
        if read_closed || event.is_priority() || event.is_error() {
            self.flags |= SHORT_OF_ALL;
            self.note_hang_up(event, woken);
        }
        if event.is_readable() || read_closed || event.is_error() {
            let before = self.flags;
            self.flags |= READABLE;
            if before & LISTED == 0 {
                self.wake_reader(woken);
            } else if before & READABLE == 0 {
                lists.push(self.list, self.number, woken);
            }
        }
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            self.flags |= WRITABLE;
            if self.others.is_some() {
                woken.push(self.take_waiter(Direction::Write));
            }
        }
    }
}

impl Slot {
    #[cold]
    fn note_hang_up(&mut self, event: &Event, woken: &mut WakeList) {
        if event.is_error() || event.is_write_closed() {
            self.flags |= HUNG_UP;
            woken.push(self.take_watcher());
        }
    }

    /// Wakes the reader: at once if that only schedules it, else through `woken`.
    #[inline]
    fn wake_reader(&mut self, woken: &mut WakeList) {
        if self.flags & AWAITED != 0
            && self.reader.as_ref().is_some_and(RunnableRef::schedule_unless_child)
        {
            self.flags &= !AWAITED;
        } else if self.flags & AWAITED != 0 || self.others.is_some() {
            woken.push(self.take_waiter(Direction::Read));
        }
    }
}

/// Waiters that were replaced, to be dropped when nothing is borrowed.
#[derive(Debug)]
#[expect(dead_code, reason = "for its destructor")]
pub(super) struct Replaced(Option<RunnableRef>, Option<LoopWaker>);

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
    fn a_slot_with_one_user_is_not_shared() {
        let mut slots = Slots::default();
        let own = slots.insert(5);
        assert_eq!(slots.share(5), None);
        slots.remove(own);
        assert!(slots.share(5).is_some());
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Option<Slot>>() <= 32, "{}", size_of::<Option<Slot>>());
    }
}
