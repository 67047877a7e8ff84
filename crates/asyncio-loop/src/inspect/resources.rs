//! The loop's table of locks, queues and similar resources that tasks wait for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// The description of a resource.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResourceInfo {
    /// The place where it was made.
    pub created_at: &'static Location<'static>,
    /// The task that holds it, of a lock.
    pub holder: Option<Holder>,
}

impl ResourceInfo {
    /// Makes a description of a resource, with the place where it was made and its holder.
    #[doc(hidden)]
    #[must_use]
    pub fn new(created_at: &'static Location<'static>, holder: Option<Holder>) -> Self {
        Self { created_at, holder }
    }
}

/// The task that holds a lock, and the place where it took the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The number of the task.
    pub task: u64,
    /// The place where the task asked for the lock.
    pub at: &'static Location<'static>,
}

impl Holder {
    /// Makes a holder: the task with this number, which asked for the lock at this place.
    #[doc(hidden)]
    #[must_use]
    pub fn new(task: u64, at: &'static Location<'static>) -> Self {
        Self { task, at }
    }
}

/// A resource that can describe itself.
pub trait Describe {
    /// Returns the description.
    fn describe(&self) -> ResourceInfo;
}

/// The resources for which tasks of a loop have waited: [`LoopRef::local`](crate::LoopRef::local).
#[derive(Default)]
pub struct Resources {
    /// By the address of the value in the `Rc`. An address that is used again replaces the entry.
    known: RefCell<HashMap<usize, Weak<dyn Describe>>>,
}

/// Entries of resources that are gone are dropped when the table would grow beyond this.
const SMALL: usize = 64;

impl Resources {
    /// Adds a resource, under the address of its value.
    pub fn add<T: Describe + 'static>(&self, resource: &Rc<T>) {
        let address = Rc::as_ptr(resource).addr();
        let mut known = self.known.borrow_mut();
        if known.len() >= SMALL && known.len() == known.capacity() {
            known.retain(|_, resource| resource.strong_count() > 0);
        }
        let resource: Rc<dyn Describe> = resource.clone();
        known.insert(address, Rc::downgrade(&resource));
    }

    /// The description of the resource with this address, if it is known and alive.
    pub(super) fn find(&self, address: usize) -> Option<ResourceInfo> {
        let resource = self.known.borrow().get(&address)?.upgrade()?;
        Some(resource.describe())
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources").field("known", &self.known.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(u64);

    impl Describe for Thing {
        fn describe(&self) -> ResourceInfo {
            let here = Location::caller();
            ResourceInfo::new(here, Some(Holder::new(self.0, here)))
        }
    }

    #[test]
    fn a_resource_is_found_while_it_lives() {
        let (resources, thing) = (Resources::default(), Rc::new(Thing(7)));
        resources.add(&thing);
        let address = Rc::as_ptr(&thing).addr();
        assert_eq!(resources.find(address).and_then(|found| found.holder).unwrap().task, 7);
        assert!(resources.find(address + 1).is_none());
        drop(thing);
        assert!(resources.find(address).is_none());
    }

    #[test]
    fn the_table_does_not_grow_by_resources_that_are_gone() {
        let resources = Resources::default();
        for number in 0..100_000 {
            resources.add(&Rc::new(Thing(number)));
        }
        assert!(resources.known.borrow().len() <= 1_000);
    }
}
