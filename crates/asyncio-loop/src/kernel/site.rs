//! Places in the source code, in half a word.
//!
//! A [`Location`] of `#[track_caller]` is a constant of the program. It lies in the same module of
//! code as [`ANCHOR`], so its distance from there fits into 32 bits. A task holds two of them in
//! the room of one pointer. The locations of another module (a plugin, or a program that links this
//! crate dynamically) may be further away; they are kept in a table, and the number is their place.

use std::collections::HashMap;
use std::panic::Location;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// A place in the source code, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Site(u32);

/// The point from which distances count. Its alignment is that of a `Location`, so that distances
/// are even.
static ANCHOR: u64 = 0;

/// The bit of a place in the table of far locations.
const FAR: u32 = 1;
const _: () = assert!(align_of::<Location<'static>>() > FAR as usize);

/// The locations that are far away, and their numbers by address.
#[derive(Default)]
struct Far {
    list: Vec<&'static Location<'static>>,
    numbers: HashMap<usize, u32>,
}

static FAR_ONES: Mutex<Option<Far>> = Mutex::new(None);

impl Site {
    /// No place. The anchor is no location, so no location is at a distance of zero.
    pub(super) const NONE: Self = Self(0);

    #[inline]
    pub(super) fn new(location: &'static Location<'static>) -> Self {
        Self::near(location).unwrap_or_else(|| Self::far(location))
    }

    /// The place, unless it is far away.
    #[inline]
    pub(super) fn near(location: &'static Location<'static>) -> Option<Self> {
        let distance = ptr::from_ref(location).expose_provenance().wrapping_sub(anchor());
        let near = distance as i32;
        let is_near = near as isize as usize == distance && near as u32 & FAR == 0;
        is_near.then_some(Self(near as u32))
    }

    #[cold]
    #[inline(never)]
    fn far(location: &'static Location<'static>) -> Self {
        let mut far = FAR_ONES.lock().unwrap_or_else(PoisonError::into_inner);
        let Far { list, numbers } = far.get_or_insert_default();
        let number = *numbers.entry(ptr::from_ref(location).addr()).or_insert_with(|| {
            list.push(location);
            // Each is a line of the program's source: they do not come near 2^31.
            list.len() as u32 - 1
        });
        Self(number << 1 | FAR)
    }

    /// The number, to be kept elsewhere.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// # Safety
    ///
    /// `bits` come from a `Site`.
    pub(super) unsafe fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) fn get(self) -> Option<&'static Location<'static>> {
        if self == Self::NONE {
            return None;
        }
        if self.0 & FAR != 0 {
            let far = FAR_ONES.lock().unwrap_or_else(PoisonError::into_inner);
            return far.as_ref()?.list.get((self.0 >> 1) as usize).copied();
        }
        let address = anchor().wrapping_add(self.0 as i32 as isize as usize);
        // SAFETY: `new` made the number of the address of a `&'static Location`, whose provenance
        // it exposed.
        Some(unsafe { &*ptr::with_exposed_provenance::<Location<'static>>(address) })
    }
}

#[inline]
fn anchor() -> usize {
    (&raw const ANCHOR).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_comes_back() {
        let here = Location::caller();
        let site = Site::new(here);
        assert!(site.get().is_some_and(|got| ptr::eq(got, here)));
        assert_eq!(Site::NONE.get(), None);
    }

    #[test]
    fn so_does_one_that_is_far_away() {
        let (here, there) = (Location::caller(), Location::caller());
        let (one, two) = (Site::far(here), Site::far(there));
        assert!(one == Site::far(here) && one != two);
        assert_eq!((one.get(), two.get()), (Some(here), Some(there)));
    }
}
