//! [`Shared`]: a value that several tasks of one thread use.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::rc::Rc;

type Site = &'static Location<'static>;

/// A value that several owners on one thread may read and change, as `Rc<RefCell<T>>`.
///
/// A clone is another handle to the same value. If two borrows collide, the panic names both places
/// in the source. The other borrow is often far away: a guard that another task has kept across an
/// `.await`.
///
/// # Examples
///
/// ```
/// use asyncio_sync::Shared;
///
/// let hits = Shared::new(vec![1]);
/// let other = hits.clone();
/// other.borrow_mut().push(2);
/// assert_eq!(*hits.borrow(), [1, 2]);
/// assert_eq!(hits.with(Vec::len), 2);
/// ```
pub struct Shared<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    value: RefCell<T>,
    /// The places of the living borrows.
    borrows: RefCell<Vec<Site>>,
}

impl<T> Shared<T> {
    /// Creates a shared value, and returns its first handle.
    #[must_use]
    pub fn new(value: T) -> Self {
        let inner = Inner { value: RefCell::new(value), borrows: RefCell::default() };
        Self { inner: Rc::new(inner) }
    }

    /// Borrows the value to read it. Several such borrows can exist at a time.
    ///
    /// # Panics
    ///
    /// While it is borrowed mutably; the message names both places.
    ///
    /// # Examples
    ///
    /// ```should_panic
    /// let shared = asyncio_sync::Shared::new(1);
    /// let _guard = shared.borrow_mut();
    /// // "borrowed at src/main.rs:6 while it is borrowed mutably at src/main.rs:5"
    /// shared.borrow();
    /// ```
    #[track_caller]
    pub fn borrow(&self) -> SharedRef<'_, T> {
        match self.try_borrow() {
            Some(guard) => guard,
            None => self.inner.collide("borrowed", "borrowed mutably"),
        }
    }

    /// Borrows the value to change it. Nothing else may borrow it meanwhile.
    ///
    /// # Panics
    ///
    /// While it is borrowed; the message names both places.
    #[track_caller]
    pub fn borrow_mut(&self) -> SharedRefMut<'_, T> {
        match self.try_borrow_mut() {
            Some(guard) => guard,
            None => self.inner.collide("borrowed mutably", "borrowed"),
        }
    }

    /// Borrows the value to read it, unless it is borrowed mutably.
    #[track_caller]
    pub fn try_borrow(&self) -> Option<SharedRef<'_, T>> {
        let value = self.inner.value.try_borrow().ok()?;
        Some(SharedRef { value, _borrow: Borrow::new(&self.inner.borrows) })
    }

    /// Borrows the value to change it, unless it is borrowed.
    #[track_caller]
    pub fn try_borrow_mut(&self) -> Option<SharedRefMut<'_, T>> {
        let value = self.inner.value.try_borrow_mut().ok()?;
        Some(SharedRefMut { value, _borrow: Borrow::new(&self.inner.borrows) })
    }

    /// Calls `f` with the value. A closure cannot keep the borrow across an `.await`.
    ///
    /// # Panics
    ///
    /// As for [`borrow`](Self::borrow).
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.borrow())
    }

    /// Calls `f` with the value to change it. A closure cannot keep the borrow across an `.await`.
    ///
    /// # Panics
    ///
    /// As for [`borrow_mut`](Self::borrow_mut).
    ///
    /// # Examples
    ///
    /// ```
    /// let total = asyncio_sync::Shared::new(0);
    /// total.with_mut(|n| *n += 2);
    /// assert_eq!(total.get(), 2);
    /// ```
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.borrow_mut())
    }

    /// Returns a clone of the value.
    ///
    /// # Panics
    ///
    /// As for [`borrow`](Self::borrow).
    #[track_caller]
    #[must_use]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.borrow().clone()
    }

    /// Replaces the value, and drops the old one with nothing borrowed.
    ///
    /// # Panics
    ///
    /// As for [`borrow_mut`](Self::borrow_mut).
    #[track_caller]
    pub fn set(&self, value: T) {
        drop(self.replace(value));
    }

    /// Replaces the value, and returns the old one.
    ///
    /// # Panics
    ///
    /// As for [`borrow_mut`](Self::borrow_mut).
    #[track_caller]
    pub fn replace(&self, value: T) -> T {
        std::mem::replace(&mut *self.borrow_mut(), value)
    }

    /// Takes the value and leaves the default in its place.
    ///
    /// # Panics
    ///
    /// As for [`borrow_mut`](Self::borrow_mut).
    #[track_caller]
    pub fn take(&self) -> T
    where
        T: Default,
    {
        self.replace(T::default())
    }
}

impl<T> Inner<T> {
    #[cold]
    #[track_caller]
    fn collide(&self, wanted: &str, held: &str) -> ! {
        // The latest living borrow. There is one, because a `RefCell` refuses only while it is
        // borrowed.
        let other = self.borrows.borrow().last().copied();
        let other =
            other.map_or_else(String::new, |site| format!(" at {}:{}", site.file(), site.line()));
        let here = Location::caller();
        panic!(
            "a shared value is {wanted} at {}:{} while it is {held}{other}",
            here.file(),
            here.line()
        );
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shared = f.debug_tuple("Shared");
        match self.inner.value.try_borrow() {
            Ok(value) => shared.field(&*value),
            Err(_) => shared.field(&format_args!("<borrowed>")),
        };
        shared.finish()
    }
}

/// The place in the source where a borrow began, for as long as it lasts.
struct Borrow<'a> {
    borrows: &'a RefCell<Vec<Site>>,
    site: Site,
}

impl<'a> Borrow<'a> {
    #[track_caller]
    fn new(borrows: &'a RefCell<Vec<Site>>) -> Self {
        let site = Location::caller();
        borrows.borrow_mut().push(site);
        Self { borrows, site }
    }
}

impl Drop for Borrow<'_> {
    fn drop(&mut self) {
        let mut borrows = self.borrows.borrow_mut();
        let at = borrows.iter().rposition(|site| std::ptr::eq(*site, self.site));
        // Equal places are interchangeable, so any of them can be removed.
        borrows.swap_remove(at.expect("the borrow was noted"));
    }
}

/// The value of a [`Shared`], borrowed to read it.
pub struct SharedRef<'a, T> {
    value: std::cell::Ref<'a, T>,
    _borrow: Borrow<'a>,
}

impl<T> Deref for SharedRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// The value of a [`Shared`], borrowed to change it.
pub struct SharedRefMut<'a, T> {
    value: std::cell::RefMut<'a, T>,
    _borrow: Borrow<'a>,
}

impl<T> Deref for SharedRefMut<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for SharedRefMut<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedRefMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
