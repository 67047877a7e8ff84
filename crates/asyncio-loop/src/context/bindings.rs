//! The values of a context by variable, shared between copies until one of them changes.

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// A value of a variable, shared by every context it was copied to.
#[derive(Clone)]
pub(super) enum Value {
    /// A value that stays on its thread.
    Local(Rc<dyn Any>),
    /// A value that executor jobs see on other threads.
    Send(Arc<dyn Any + Send + Sync>),
}

impl Value {
    pub(super) fn local<T: 'static>(value: T) -> Self {
        Self::Local(Rc::new(value))
    }

    pub(super) fn send<T: Send + Sync + 'static>(value: T) -> Self {
        Self::Send(Arc::new(value))
    }

    pub(super) fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        match self {
            Self::Local(value) => value.downcast_ref(),
            Self::Send(value) => value.downcast_ref(),
        }
    }
}

/// A variable and its value in one context, from [`Context::iter`](super::Context::iter).
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
/// let binding = context.iter().next().unwrap();
/// assert_eq!((binding.name(), binding.downcast_ref::<u32>()), ("LEVEL", Some(&1)));
/// ```
#[derive(Clone)]
pub struct Binding {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) value: Value,
}

impl Binding {
    /// The variable's name.
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
    /// assert_eq!(context.iter().next().unwrap().name(), "LEVEL");
    /// ```
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the value stays on its thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { local static NAMES: std::rc::Rc<str>; }
    ///
    /// let context = Context::new();
    /// context.run(|| NAMES.set("ada".into()));
    /// assert!(context.iter().next().unwrap().is_local());
    /// ```
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.value, Value::Local(_))
    }

    /// The value, if it is a `T`.
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
    /// let binding = context.iter().next().unwrap();
    /// assert_eq!(binding.downcast_ref::<u32>(), Some(&1));
    /// assert_eq!(binding.downcast_ref::<u64>(), None);
    /// ```
    #[must_use]
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("name", &self.name)
            .field("is_local", &self.is_local())
            .finish_non_exhaustive()
    }
}

/// Bindings sorted by the variables' ids.
#[derive(Clone, Default)]
pub(super) struct Bindings(Vec<Binding>);

impl Bindings {
    pub(super) fn as_slice(&self) -> &[Binding] {
        &self.0
    }

    pub(super) fn get(&self, id: u32) -> Option<&Value> {
        self.find(id).ok().map(|index| &self.0[index].value)
    }

    /// Binds a variable and returns the value it had.
    pub(super) fn insert(&mut self, binding: Binding) -> Option<Value> {
        match self.find(binding.id) {
            Ok(index) => Some(std::mem::replace(&mut self.0[index].value, binding.value)),
            Err(index) => {
                self.0.insert(index, binding);
                None
            }
        }
    }

    /// Unbinds a variable and returns the value it had.
    pub(super) fn remove(&mut self, id: u32) -> Option<Value> {
        self.find(id).ok().map(|index| self.0.remove(index).value)
    }

    fn find(&self, id: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |binding| binding.id)
    }
}

impl FromIterator<Binding> for Bindings {
    /// The bindings must come sorted by id.
    fn from_iter<I: IntoIterator<Item = Binding>>(bindings: I) -> Self {
        Self(bindings.into_iter().collect())
    }
}
