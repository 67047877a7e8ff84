//! [`Pool`]: objects that are made once and used by one task after the other.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::{Rc, Weak};
use std::time::Duration;

use asyncio_loop::LoopTime;
use asyncio_loop::machinery::{around_user, with_running};

use crate::semaphore::{OwnedPermit, Semaphore};

/// A pool of objects that are costly to make, such as connections.
///
/// [`get`](Self::get) hands out an idle object, or makes one. A maximum number of objects is in use
/// at a time, and waiting tasks are served in order of arrival. Dropping the [`Pooled`] object
/// gives it back. The object that was given back last is handed out first, so objects that are not
/// needed age, and [`idle_timeout`](Self::idle_timeout) drops them.
///
/// Dropping the pool drops its idle objects; objects in use are dropped when they are given back.
///
/// # From asyncio
///
/// asyncio has no pool; drivers of databases bring their own.
///
/// # Examples
///
/// ```
/// use std::io;
/// use asyncio_sync::Pool;
///
/// struct Connection {
///     is_broken: bool,
/// }
///
/// # futures::executor::block_on(async {
/// let pool = Pool::new(2, async || io::Result::Ok(Connection { is_broken: false }))
///     .check(|connection| !connection.is_broken);
/// let first = pool.get().await?;
/// let mut second = pool.get().await?;
/// assert!(pool.try_get().is_none());
/// second.is_broken = true;
/// drop((first, second));
/// assert_eq!(pool.idle(), 1); // the broken one is gone
/// # io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct Pool<T, F> {
    make: F,
    slots: Rc<Semaphore>,
    idle: Rc<Idle<T>>,
}

/// The objects that are not in use, the latest last.
struct Idle<T> {
    objects: RefCell<Vec<Resting<T>>>,
    max: usize,
    timeout: Option<Duration>,
    check: Option<Check<T>>,
}

/// Whether an object may be used again.
type Check<T> = Box<dyn Fn(&mut T) -> bool>;

struct Resting<T> {
    object: T,
    /// When the object was given back; `None` outside a loop.
    since: Option<LoopTime>,
}

impl<T, F> Pool<T, F> {
    /// Creates an empty pool of which at most `max` objects are in use at a time. `make` makes the
    /// objects.
    ///
    /// # Panics
    ///
    /// If `max` is 0, since no object could ever be handed out.
    #[must_use]
    #[track_caller]
    pub fn new<E>(max: usize, make: F) -> Self
    where
        F: AsyncFn() -> Result<T, E>,
    {
        assert!(max > 0, "a pool needs room for one object at least");
        let objects = RefCell::new(Vec::new());
        let idle = Idle { objects, max, timeout: None, check: None };
        Self { make, slots: Rc::new(Semaphore::new(max)), idle: Rc::new(idle) }
    }

    /// Keeps at most `max` idle objects. Default: the maximum number of objects in use.
    #[must_use]
    pub fn max_idle(mut self, max: usize) -> Self {
        self.settings().max = max;
        self
    }

    /// Drops objects that were idle for `timeout`. This is checked when an object is taken or given
    /// back, on the clock of the running loop; without a loop, objects do not age.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings().timeout = Some(timeout);
        self
    }

    /// Checks each object when it is given back and before it is handed out again: an object for
    /// which `is_sound` returns false is dropped.
    #[must_use]
    pub fn check(mut self, is_sound: impl Fn(&mut T) -> bool + 'static) -> Self {
        self.settings().check = Some(Box::new(is_sound));
        self
    }

    /// The settings, which are changed before a second handle exists.
    fn settings(&mut self) -> &mut Idle<T> {
        Rc::get_mut(&mut self.idle).expect("no object is out while the pool is being made")
    }

    /// Waits until fewer than the maximum number of objects are in use, and hands out an idle
    /// object or a new one.
    ///
    /// # Errors
    ///
    /// The errors of the function that makes objects.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no object; an object that was being made is dropped with it.
    pub fn get<E>(&self) -> impl Future<Output = Result<Pooled<T>, E>>
    where
        F: AsyncFn() -> Result<T, E>,
    {
        let get = async move {
            let permit = Rc::clone(&self.slots).acquire_owned().await;
            let object = match self.idle.take() {
                Some(object) => object,
                None => (self.make)().await?,
            };
            Ok(self.hand_out(object, permit))
        };
        around_user(get, &file!())
    }

    /// Hands out an idle object if there is one and no task waits for it.
    #[must_use = "the object is given back at once if it is not used"]
    pub fn try_get(&self) -> Option<Pooled<T>> {
        let permit = Rc::clone(&self.slots).try_acquire_owned()?;
        let object = self.idle.take()?;
        Some(self.hand_out(object, permit))
    }

    fn hand_out(&self, object: T, permit: OwnedPermit) -> Pooled<T> {
        Pooled { object: Some(object), idle: Rc::downgrade(&self.idle), _permit: permit }
    }

    /// The number of idle objects.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.objects.borrow().len()
    }

    /// How many more objects can be handed out.
    #[must_use]
    pub fn available(&self) -> usize {
        self.slots.available()
    }

    /// Drops all idle objects.
    pub fn clear(&self) {
        let objects = self.idle.objects.take();
        drop(objects);
    }
}

impl<T> Idle<T> {
    /// Takes the object that was given back last, unless it is too old or broken.
    fn take(&self) -> Option<T> {
        drop(self.too_old());
        loop {
            let mut resting = self.objects.borrow_mut().pop()?;
            if self.is_sound(&mut resting.object) {
                return Some(resting.object);
            }
        }
    }

    /// Takes an object back.
    fn put(&self, mut object: T) {
        drop(self.too_old());
        if self.is_sound(&mut object) && self.objects.borrow().len() < self.max {
            self.objects.borrow_mut().push(Resting { object, since: now() });
        }
    }

    /// Calls code of the user, so nothing is borrowed meanwhile.
    fn is_sound(&self, object: &mut T) -> bool {
        self.check.as_ref().is_none_or(|check| check(object))
    }

    /// Takes out the objects that were idle for too long, which are the first ones.
    fn too_old(&self) -> Vec<Resting<T>> {
        let (Some(timeout), Some(now)) = (self.timeout, now()) else { return Vec::new() };
        let mut objects = self.objects.borrow_mut();
        let is_too_old =
            |resting: &Resting<T>| resting.since.is_some_and(|since| now - since >= timeout);
        let count = objects.iter().take_while(|resting| is_too_old(resting)).count();
        objects.drain(..count).collect()
    }
}

fn now() -> Option<LoopTime> {
    with_running(|event_loop| event_loop.time()).ok()
}

impl<T, F> fmt::Debug for Pool<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.idle())
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

/// An object of a [`Pool`]. Dropping it gives the object back.
#[must_use = "the object is given back at once if it is not used"]
pub struct Pooled<T> {
    /// `None` once it was taken out.
    object: Option<T>,
    idle: Weak<Idle<T>>,
    /// The permit is released after the object was given back, because fields are dropped after
    /// `drop` has run.
    _permit: OwnedPermit,
}

impl<T> Pooled<T> {
    /// Takes the object out of the pool for good; the pool may make another one in its place.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::Pool;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = Pool::new(1, async || Ok::<_, ()>(String::from("made")));
    /// let text: String = pool.get().await.unwrap().into_inner();
    /// assert_eq!((text.as_str(), pool.available(), pool.idle()), ("made", 1, 0));
    /// # });
    /// ```
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "nothing else takes the object out")]
    pub fn into_inner(mut self) -> T {
        self.object.take().expect("the object is there until it is taken out")
    }
}

impl<T> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object.as_ref().expect("the object is there until it is taken out")
    }
}

impl<T> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.object.as_mut().expect("the object is there until it is taken out")
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        match self.idle.upgrade() {
            Some(idle) => idle.put(object),
            None => drop(object),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
