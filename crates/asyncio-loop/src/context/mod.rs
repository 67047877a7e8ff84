//! Context variables: values that follow tasks, callbacks and executor jobs.

mod bindings;
mod content;
mod send;
mod slot;
mod var;

pub use bindings::Binding;
pub use send::SendContext;
#[allow(unused_imports)]
pub(crate) use slot::{ContextSlot, Entered};
pub use var::{ContextVar, ResetError, Token, TokenGuard};

use std::fmt;

use content::{Content, Previous};

/// A set of values of [context variables](ContextVar), for the code that runs in it.
///
/// Every task and every callback of the loop runs in a context: a copy of the one that was current
/// when it was created, or one it was given. The copy shares its values with the original and costs
/// next to nothing.
///
/// A clone is the same context, as with `Rc`. A [`copy`](Self::copy) has the same values, and
/// afterwards the two change independently. The values themselves are shared: changing a value with
/// interior mutability in one copy changes it for all.
///
/// # From asyncio
///
/// A context is bound to its thread, like everything of the loop. [`to_send`](Self::to_send) copies
/// the values that can move to other threads.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{Context, context_var};
///
/// context_var! { static DEPTH: u32 = 0; }
///
/// let context = Context::new();
/// context.run(|| DEPTH.set(1));
/// assert_eq!(DEPTH.get(), 0);
/// assert_eq!(context.get(&DEPTH), Some(1));
/// assert_eq!(context.run(|| DEPTH.get()), 1);
/// ```
#[doc(alias = "contextvars.Context")]
pub struct Context {
    /// A context with an identity.
    content: Content,
}

/// The error of [`Context::try_run`]: this context is running already.
///
/// # Examples
///
/// ```
/// use asyncio_loop::Context;
///
/// let context = Context::new();
/// assert!(context.run(|| context.try_run(|| ())).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextEntered;

/// A copy of the current context.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{context_var, copy_context};
///
/// context_var! { static USER: &'static str; }
///
/// USER.set("ada");
/// let copy = copy_context();
/// USER.set("grace");
/// assert_eq!(copy.get(&USER), Some("ada"));
/// ```
#[doc(alias = "contextvars.copy_context")]
#[must_use]
pub fn copy_context() -> Context {
    Context { content: Content::copy_current().into_context() }
}

impl Context {
    /// A context without values.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// LEVEL.set(1);
    /// assert_eq!(Context::new().run(|| LEVEL.get()), 0);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { content: Content::default().into_context() }
    }

    /// A new context with the same values.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static LEVEL: u32; }
    ///
    /// let context = Context::new();
    /// let (same, copy) = (context.clone(), context.copy());
    /// context.run(|| LEVEL.set(1));
    /// assert_eq!((same.get(&LEVEL), copy.get(&LEVEL)), (Some(1), None));
    /// ```
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { content: self.content.copy().into_context() }
    }

    /// Runs `f` in this context. Values that `f` sets stay in this context, even if `f` panics.
    /// Afterwards the previous context is current again.
    ///
    /// # Panics
    ///
    /// If this context is running already, here or further up the stack: copy it, or use
    /// [`try_run`](Self::try_run).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static STEP: u32 = 0; }
    ///
    /// let context = Context::new();
    /// for _ in 0..3 {
    ///     context.run(|| STEP.set(STEP.get() + 1));
    /// }
    /// assert_eq!(context.get(&STEP), Some(3));
    /// ```
    #[track_caller]
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        match self.try_run(f) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Does the same as [`run`](Self::run), with an error instead of a panic.
    ///
    /// # Errors
    ///
    /// [`ContextEntered`] if this context is running already; `f` is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Context;
    ///
    /// let context = Context::new();
    /// assert!(context.run(|| context.try_run(|| 1).is_err()));
    /// assert_eq!(context.run(|| context.copy().try_run(|| 1)), Ok(1));
    /// ```
    pub fn try_run<R>(&self, f: impl FnOnce() -> R) -> Result<R, ContextEntered> {
        if self.content.is_entered() {
            return Err(ContextEntered);
        }
        Ok(run_in(self.content.share(), f))
    }

    /// The value of a variable in this context. The variable's default does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static RETRIES: u32 = 3; }
    ///
    /// assert_eq!(Context::new().get(&RETRIES), None);
    /// ```
    #[must_use]
    pub fn get<T: Clone + 'static>(&self, var: &ContextVar<T>) -> Option<T> {
        self.content.copy().get(var.id())?.downcast_ref().cloned()
    }

    /// Whether a variable has a value in this context. Its default does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// let context = Context::new();
    /// assert!(!context.contains(&LEVEL));
    /// context.run(|| LEVEL.set(1));
    /// assert!(context.contains(&LEVEL));
    /// ```
    #[must_use]
    pub fn contains<T: 'static>(&self, var: &ContextVar<T>) -> bool {
        self.content.copy().get(var.id()).is_some()
    }

    /// The number of variables that have a value in this context.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! {
    ///     static LEVEL: u32 = 0;
    ///     static USER: &'static str = "nobody";
    /// }
    ///
    /// let context = Context::new();
    /// context.run(|| (LEVEL.set(1), LEVEL.set(2), USER.set("ada")));
    /// assert_eq!(context.len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.content.copy().bindings().len()
    }

    /// Whether no variable has a value in this context.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Context;
    ///
    /// assert!(Context::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of the variables that have a value in this context.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! {
    ///     static USER: &'static str;
    ///     static PORT: u16;
    /// }
    ///
    /// let context = Context::new();
    /// context.run(|| (USER.set("ada"), PORT.set(80)));
    /// let mut names: Vec<_> = context.iter().map(|binding| binding.name()).collect();
    /// names.sort();
    /// assert_eq!(names, ["PORT", "USER"]);
    /// assert!(context.iter().any(|binding| binding.downcast_ref() == Some(&80_u16)));
    /// ```
    #[doc(alias = "items")]
    #[doc(alias = "keys")]
    pub fn iter(&self) -> impl Iterator<Item = Binding> + use<> {
        self.content.copy().bindings().to_vec().into_iter()
    }

    /// A copy for other threads, without the values of `local` variables.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{copy_context, context_var};
    ///
    /// context_var! { static REQUEST: u64; }
    ///
    /// REQUEST.set(7);
    /// let context = copy_context().to_send();
    /// let thread = std::thread::spawn(move || context.run(|| REQUEST.get()));
    /// assert_eq!(thread.join().unwrap(), 7);
    /// ```
    #[must_use]
    pub fn to_send(&self) -> SendContext {
        SendContext::from_bindings(self.content.copy().bindings())
    }
}

/// Runs `f` with `content` as the current one.
fn run_in<R>(content: Content, f: impl FnOnce() -> R) -> R {
    let _left_at_the_end = Inside(Some(content.enter()));
    f()
}

/// Leaves a context when dropped, so also when a panic unwinds.
struct Inside(Option<Previous>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.take().map(Previous::restore);
    }
}

impl Clone for Context {
    fn clone(&self) -> Self {
        Self { content: self.content.share() }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the variables' names; their values may have no `Debug`.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context ")?;
        f.debug_set().entries(self.content.copy().bindings().iter().map(Binding::name)).finish()
    }
}

impl fmt::Display for ContextEntered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot enter the context: it is already entered")
    }
}

impl std::error::Error for ContextEntered {}
