//! Contexts for other threads: the values that can move between threads.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::bindings::{Binding, Bindings, Value};
use super::{Context, run_in};

/// A snapshot of a context for another thread, made by [`Context::to_send`].
///
/// It has the values of all variables except the `local` ones. Without values, making and cloning
/// it costs nothing.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{context_var, copy_context};
///
/// context_var! { static REQUEST: u64 = 0; }
///
/// REQUEST.set(7);
/// let context = copy_context().to_send();
/// let thread = std::thread::spawn(move || context.run(|| REQUEST.get()));
/// assert_eq!(thread.join().unwrap(), 7);
/// ```
#[derive(Clone, Default)]
pub struct SendContext {
    bindings: Option<Arc<[SendBinding]>>,
}

#[derive(Clone)]
struct SendBinding {
    id: u32,
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl SendContext {
    /// The values of the current context that can move to other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{SendContext, context_var};
    ///
    /// context_var! { static USER: &'static str = "nobody"; }
    ///
    /// USER.set("ada");
    /// let context = SendContext::current();
    /// let there = std::thread::spawn(move || context.run(|| USER.get()));
    /// assert_eq!(there.join().unwrap(), "ada");
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn current() -> Self {
        Self::from_bindings(super::Content::copy_current().bindings())
    }

    /// Whether there are no values.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, SendContext, context_var};
    ///
    /// context_var! { local static NAMES: std::rc::Rc<str>; }
    ///
    /// Context::new().run(|| {
    ///     NAMES.set("ada".into());
    ///     assert!(SendContext::current().is_empty(), "it stays on its thread");
    /// });
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_none()
    }

    /// Runs `f` with these values and no others. Values that `f` sets are discarded.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// let context = Context::new();
    /// context.run(|| LEVEL.set(1));
    /// let send = context.to_send();
    /// assert_eq!(send.run(|| (LEVEL.get(), drop(LEVEL.set(2))).0), 1);
    /// assert_eq!(send.run(|| LEVEL.get()), 1, "what it set is gone");
    /// ```
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        run_in(self.to_bindings().into(), f)
    }

    /// Makes a context of the calling thread with these values.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// let context = Context::new();
    /// context.run(|| LEVEL.set(1));
    /// assert_eq!(context.to_send().to_context().get(&LEVEL), Some(1));
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn to_context(&self) -> Context {
        Context { content: super::Content::from(self.to_bindings()).into_context() }
    }

    /// Sets these values in the current context, if they differ from its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{SendContext, context_var};
    ///
    /// context_var! { static REQUEST: u64 = 0; }
    ///
    /// let thread = std::thread::spawn(|| {
    ///     REQUEST.set(7);
    ///     SendContext::current()
    /// });
    /// thread.join().unwrap().apply();
    /// assert_eq!(REQUEST.get(), 7);
    /// ```
    #[doc(hidden)]
    pub fn apply(&self) {
        for binding in self.as_slice() {
            if !binding.is_current() {
                drop(super::content::bind(binding.clone().into()));
            }
        }
    }

    pub(super) fn from_bindings(bindings: &[Binding]) -> Self {
        let bindings: Vec<_> = bindings.iter().filter_map(SendBinding::new).collect();
        Self { bindings: (!bindings.is_empty()).then(|| bindings.into()) }
    }

    fn to_bindings(&self) -> Bindings {
        self.as_slice().iter().cloned().map(Binding::from).collect()
    }

    fn as_slice(&self) -> &[SendBinding] {
        self.bindings.as_deref().unwrap_or_default()
    }
}

impl SendBinding {
    fn new(binding: &Binding) -> Option<Self> {
        let Value::Send(value) = &binding.value else { return None };
        Some(Self { id: binding.id, name: binding.name, value: value.clone() })
    }

    /// Whether the current context has this very value.
    fn is_current(&self) -> bool {
        let current = super::Content::copy_current();
        match current.get(self.id) {
            Some(Value::Send(value)) => Arc::ptr_eq(value, &self.value),
            _ => false,
        }
    }
}

impl From<SendBinding> for Binding {
    fn from(SendBinding { id, name, value }: SendBinding) -> Self {
        Self { id, name, value: Value::Send(value) }
    }
}

impl fmt::Debug for SendContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendContext ")?;
        f.debug_set().entries(self.as_slice().iter().map(|binding| binding.name)).finish()
    }
}
