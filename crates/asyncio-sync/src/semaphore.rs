//! [`Semaphore`] and [`BoundedSemaphore`]: a limited number of permits.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::ReleaseError;
use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::at_await;

use crate::line::{Line, Turn};

/// A number of permits that tasks take and give back.
///
/// It is as fair as [`Lock`](crate::Lock): tasks are served in order of arrival, and no task
/// overtakes one that was woken to take a permit. A future that is woken and never polled again is
/// passed over.
///
/// # From asyncio
///
/// A [`Permit`] releases itself when it is dropped. [`release`](Self::release) adds a permit, even
/// beyond the initial number; use it together with [`Permit::forget`]. A negative initial value
/// does not compile.
///
/// # Examples
///
/// At most two downloads at a time:
///
/// ```
/// use asyncio_sync::Semaphore;
///
/// # futures::executor::block_on(async {
/// let slots = Semaphore::new(2);
/// let first = slots.acquire().await;
/// let second = slots.acquire().await;
/// assert!(slots.try_acquire().is_none());
/// drop(first);
/// assert!(slots.try_acquire().is_some());
/// # });
/// ```
pub struct Semaphore {
    free: Cell<usize>,
    /// Permits that were taken out of their guards, and have not been released since.
    forgotten: Cell<usize>,
    line: Line,
}

impl Semaphore {
    /// Creates a semaphore with `permits` permits. With 0, all tasks wait for a
    /// [`release`](Self::release).
    #[must_use]
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        Self {
            free: Cell::new(permits),
            forgotten: Cell::new(0),
            line: Line::new(WaitsFor::Semaphore),
        }
    }

    /// Waits for a permit and takes it.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in line. If it had been woken already, the next in
    /// line is woken instead; no permit is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Semaphore;
    /// # futures::executor::block_on(async {
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.acquire().await;
    /// assert_eq!(semaphore.available(), 0);
    /// drop(permit);
    /// assert_eq!(semaphore.available(), 1);
    /// # });
    /// ```
    pub fn acquire(&self) -> AcquirePermit<'_> {
        AcquirePermit { semaphore: self, turn: Turn::new(&self.line) }
    }

    /// Like [`acquire`](Self::acquire), with a permit that keeps the semaphore alive and borrows
    /// nothing.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use asyncio_sync::{OwnedPermit, Semaphore};
    ///
    /// # futures::executor::block_on(async {
    /// let semaphore = Rc::new(Semaphore::new(1));
    /// let permit: OwnedPermit = semaphore.clone().acquire_owned().await;
    /// assert!(semaphore.is_locked());
    /// drop(permit);
    /// assert!(!semaphore.is_locked());
    /// # });
    /// ```
    pub fn acquire_owned(self: Rc<Self>) -> impl Future<Output = OwnedPermit> {
        at_await(async move {
            self.acquire().await.disarm();
            HeldPermit::new(self)
        })
    }

    /// Takes a permit if one is free and no task waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Semaphore;
    /// assert!(Semaphore::new(1).try_acquire().is_some());
    /// assert!(Semaphore::new(0).try_acquire().is_none());
    /// ```
    ///
    /// It returns an `Option`, not a `Result`, since there is only one reason to fail.
    ///
    /// ```compile_fail,E0308
    /// # use asyncio_sync::Semaphore;
    /// if let Ok(permit) = Semaphore::new(1).try_acquire() {}
    /// ```
    #[must_use = "if unused the permit is given back at once"]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        if self.is_locked() {
            return None;
        }
        Some(self.take())
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that keeps the semaphore alive and borrows
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use asyncio_sync::Semaphore;
    /// let semaphore = Rc::new(Semaphore::new(1));
    /// let permit = semaphore.clone().try_acquire_owned();
    /// assert!(permit.is_some() && semaphore.is_locked());
    /// ```
    #[must_use = "if unused the permit is given back at once"]
    pub fn try_acquire_owned(self: Rc<Self>) -> Option<OwnedPermit> {
        self.try_acquire()?.disarm();
        Some(HeldPermit::new(self))
    }

    /// Adds a permit, and wakes the next in line for it.
    ///
    /// Permits in guards release themselves: call this for permits that were
    /// [forgotten](HeldPermit::forget), or to add permits.
    ///
    /// # Panics
    ///
    /// If there would be more than `usize::MAX` permits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Semaphore;
    /// let semaphore = Semaphore::new(0);
    /// semaphore.release();
    /// assert_eq!(semaphore.available(), 1);
    /// ```
    pub fn release(&self) {
        self.forgotten.set(self.forgotten.get().saturating_sub(1));
        self.give_back();
    }

    /// The number of free permits, including those that were promised to woken tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Semaphore::new(3).available(), 3);
    /// ```
    pub fn available(&self) -> usize {
        self.free.get()
    }

    /// Whether [`acquire`](Self::acquire) would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Semaphore;
    /// assert!(Semaphore::new(0).is_locked());
    /// assert!(!Semaphore::new(1).is_locked());
    /// ```
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        self.free.get() == 0 || self.line.notified() > 0
    }

    #[inline]
    fn take(&self) -> Permit<'_> {
        self.free.set(self.free.get() - 1);
        HeldPermit::new(self)
    }

    #[inline]
    fn give_back(&self) {
        let free = self.free.get().checked_add(1).expect("fewer than usize::MAX permits");
        self.free.set(free);
        self.line.notify_one();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.free.get())
            .field("waiters", &self.line.len())
            .finish()
    }
}

/// The future of [`Semaphore::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct AcquirePermit<'a> {
    semaphore: &'a Semaphore,
    turn: Turn<'a>,
}

impl<'a> Future for AcquirePermit<'a> {
    type Output = Permit<'a>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let semaphore = self.semaphore;
        // Woken futures go first, even if there are enough permits for all.
        let free = if semaphore.line.notified() > 0 { 0 } else { semaphore.free.get() };
        let polled = self.turn.poll(free, cx);
        if polled.is_pending() {
            semaphore.line.offer(semaphore.free.get());
        }
        polled.map(|()| semaphore.take())
    }
}

/// A permit of a [`Semaphore`] that it borrows. Dropping it gives the permit back.
pub type Permit<'a> = HeldPermit<&'a Semaphore>;

/// A permit of a [`Semaphore`] that it keeps alive. Dropping it gives the permit back.
pub type OwnedPermit = HeldPermit<Rc<Semaphore>>;

/// A permit of a [`Semaphore`], reached through `S`: see [`Permit`] and [`OwnedPermit`].
#[derive(Debug)]
#[must_use = "if unused the permit is given back at once"]
#[clippy::has_significant_drop]
pub struct HeldPermit<S: Deref<Target = Semaphore>> {
    semaphore: S,
    /// Whether dropping gives the permit back.
    armed: bool,
}

impl<S: Deref<Target = Semaphore>> HeldPermit<S> {
    fn new(semaphore: S) -> Self {
        Self { semaphore, armed: true }
    }

    /// Drops the guard without giving the permit back. Call `release` to give it back.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Semaphore;
    /// let semaphore = Semaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert!(semaphore.is_locked());
    /// semaphore.release();
    /// assert!(!semaphore.is_locked());
    /// ```
    pub fn forget(self) {
        let forgotten = &self.semaphore.forgotten;
        forgotten.set(forgotten.get() + 1);
        self.disarm();
    }

    fn disarm(mut self) {
        self.armed = false;
    }
}

impl<S: Deref<Target = Semaphore>> Drop for HeldPermit<S> {
    #[inline]
    fn drop(&mut self) {
        if self.armed {
            self.semaphore.give_back();
        }
    }
}

/// A [`Semaphore`] that never has more permits than it began with.
///
/// It detects a release without an acquire. It dereferences to a [`Semaphore`], which has the other
/// methods.
///
/// # From asyncio
///
/// A living permit releases itself, so [`release`](Self::release) refuses to release it: only a
/// [forgotten](HeldPermit::forget) permit can be released by hand.
///
/// # Examples
///
/// ```
/// use asyncio_sync::BoundedSemaphore;
///
/// # futures::executor::block_on(async {
/// let semaphore = BoundedSemaphore::new(1);
/// let permit = semaphore.acquire().await;
/// drop(permit);
/// assert!(semaphore.release().is_err());
/// assert_eq!(semaphore.available(), 1);
/// # });
/// ```
#[derive(Debug)]
pub struct BoundedSemaphore {
    /// Shared with owned permits.
    semaphore: Rc<Semaphore>,
}

impl BoundedSemaphore {
    /// Creates a semaphore with `permits` permits, which will never be more.
    #[must_use]
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        Self { semaphore: Rc::new(Semaphore::new(permits)) }
    }

    /// Waits for a permit that borrows nothing. See [`Semaphore::acquire_owned`].
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::BoundedSemaphore;
    /// # futures::executor::block_on(async {
    /// let semaphore = BoundedSemaphore::new(1);
    /// let permit = semaphore.acquire_owned().await;
    /// drop(semaphore);
    /// drop(permit);
    /// # });
    /// ```
    pub fn acquire_owned(&self) -> impl Future<Output = OwnedPermit> + use<> {
        self.semaphore.clone().acquire_owned()
    }

    /// Gives a [forgotten](HeldPermit::forget) permit back.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] if no permit was forgotten, since there would be more permits than at the
    /// beginning. The number does not change then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::BoundedSemaphore;
    /// let semaphore = BoundedSemaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert!(semaphore.release().is_ok());
    /// assert!(semaphore.release().is_err());
    /// ```
    pub fn release(&self) -> Result<(), ReleaseError> {
        if self.semaphore.forgotten.get() == 0 {
            return Err(ReleaseError(()));
        }
        self.semaphore.release();
        Ok(())
    }
}

impl Deref for BoundedSemaphore {
    type Target = Semaphore;

    fn deref(&self) -> &Semaphore {
        &self.semaphore
    }
}
