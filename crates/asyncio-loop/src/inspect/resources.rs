//! Locks, queues and the like that tasks wait for, as the loop knows them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// What a resource says about itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResourceInfo {
    /// Where it was made.
    pub created_at: &'static Location<'static>,
    /// The task that holds it, of a lock.
    pub holder: Option<Holder>,
}

impl ResourceInfo {
    /// It was made here, and this task holds it.
    #[doc(hidden)]
    #[must_use]
    pub fn new(created_at: &'static Location<'static>, holder: Option<Holder>) -> Self {
        Self { created_at, holder }
    }
}

/// Which task holds a lock, and where it took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The number of the task.
    pub task: u64,
    /// Where it asked for the lock.
    pub at: &'static Location<'static>,
}

impl Holder {
    /// The task with this number has asked for a lock at this place, and has it.
    #[doc(hidden)]
    #[must_use]
    pub fn new(task: u64, at: &'static Location<'static>) -> Self {
        Self { task, at }
    }
}

/// A resource that can say something about itself.
pub trait Describe {
    /// What it is.
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
    /// Makes a resource known, under the address of its value.
    pub fn add<T: Describe + 'static>(&self, resource: &Rc<T>) {
        let address = Rc::as_ptr(resource).addr();
        let mut known = self.known.borrow_mut();
        if known.len() >= SMALL && known.len() == known.capacity() {
            known.retain(|_, resource| resource.strong_count() > 0);
        }
        let resource: Rc<dyn Describe> = resource.clone();
        known.insert(address, Rc::downgrade(&resource));
    }

    /// What the resource of this address says about itself, if it is known and alive.
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
