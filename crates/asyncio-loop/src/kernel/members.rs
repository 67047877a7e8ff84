//! An index list: each member knows its place, so that it leaves in constant time.

use std::cell::Cell;

/// Has a place in one index list.
pub(super) trait Member: Copy {
    /// The place, for as long as this is in the list.
    fn place(&self) -> &Cell<u32>;
}

/// Members in no particular order.
pub(super) struct Members<M>(Vec<M>);

impl<M: Member> Members<M> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    #[inline]
    pub(super) fn push(&mut self, member: M) {
        member.place().set(u32::try_from(self.0.len()).expect("fewer than 2^32 members"));
        self.0.push(member);
    }

    /// Takes a member out.
    #[inline]
    pub(super) fn remove(&mut self, member: M) {
        let place = member.place().replace(u32::MAX);
        self.0.swap_remove(place as usize);
        if let Some(moved) = self.0.get(place as usize) {
            moved.place().set(place);
        }
    }

    pub(super) fn last(&self) -> Option<M> {
        self.0.last().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = M> {
        self.0.iter().copied()
    }

    /// Gives memory back if most of it is unused.
    pub(super) fn shrink(&mut self) {
        if self.0.capacity() > 4096 && self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    /// Gives all unused memory back.
    pub(super) fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }
}
