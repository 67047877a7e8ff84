//! Context variables and the tokens that undo a change.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bindings::{Binding, Value};
use super::content::{self, Content};

/// A variable whose value belongs to a task, and is inherited by everything that the task starts.
///
/// Declare one with [`context_var!`](crate::context_var). There are two kinds. The values of a
/// usual variable are `Send + Sync`, and executor jobs on other threads see them. The values of a
/// `local` variable can be of any `'static` type, and stay on their thread.
///
/// # From asyncio
///
/// A default is an expression, evaluated whenever it is needed: it is not one shared object.
///
/// # Examples
///
/// ```
/// use asyncio_loop::context_var;
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// context_var! {
///     /// Who asks.
///     static CLIENT: String;
///     static RETRIES: u32 = 3;
///     local static LOG: Rc<RefCell<Vec<String>>>;
/// }
///
/// CLIENT.set("10.0.0.1".to_owned());
/// assert_eq!(CLIENT.get(), "10.0.0.1");
/// assert_eq!(RETRIES.get(), 3);
/// assert_eq!(LOG.try_get(), None);
/// ```
#[doc(alias = "contextvars.ContextVar")]
pub struct ContextVar<T: 'static> {
    name: &'static str,
    /// Assigned at first use; 0 before.
    id: AtomicU32,
    wrap: fn(T) -> Value,
    default: Option<fn() -> T>,
}

/// Declares [`ContextVar`]s.
///
/// Each is a `static` with a type and an optional default. `local static` declares a variable whose
/// values stay on their thread and need not be `Send`.
///
/// # Examples
///
/// ```
/// asyncio_loop::context_var! {
///     pub static REQUEST: u64;
///     static VERBOSE: bool = false;
///     local static NAME: std::rc::Rc<str> = "nobody".into();
/// }
///
/// assert_eq!(REQUEST.try_get(), None);
/// assert!(!VERBOSE.get());
/// assert_eq!(&*NAME.get(), "nobody");
/// ```
#[macro_export]
macro_rules! context_var {
    () => {};
    ($(#[$attribute:meta])* $vis:vis local static $name:ident: $type:ty; $($rest:tt)*) => {
        $(#[$attribute])*
        $vis static $name: $crate::ContextVar<$type> = $crate::ContextVar::local(stringify!($name));
        $crate::context_var! { $($rest)* }
    };
    (
        $(#[$attribute:meta])* $vis:vis local static $name:ident: $type:ty = $default:expr;
        $($rest:tt)*
    ) => {
        $(#[$attribute])*
        $vis static $name: $crate::ContextVar<$type> =
            $crate::ContextVar::local(stringify!($name)).with_default(|| $default);
        $crate::context_var! { $($rest)* }
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty; $($rest:tt)*) => {
        $(#[$attribute])*
        $vis static $name: $crate::ContextVar<$type> = $crate::ContextVar::new(stringify!($name));
        $crate::context_var! { $($rest)* }
    };
    (
        $(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = $default:expr;
        $($rest:tt)*
    ) => {
        $(#[$attribute])*
        $vis static $name: $crate::ContextVar<$type> =
            $crate::ContextVar::new(stringify!($name)).with_default(|| $default);
        $crate::context_var! { $($rest)* }
    };
}

/// Ids are given out in the order in which variables are used first.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl<T: 'static> ContextVar<T> {
    /// Makes a variable whose values can move to other threads. The name is for messages and tools.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ContextVar;
    ///
    /// static LEVEL: ContextVar<u32> = ContextVar::new("level");
    ///
    /// LEVEL.set(3);
    /// assert_eq!(LEVEL.get(), 3);
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str) -> Self
    where
        T: Send + Sync,
    {
        Self { name, id: AtomicU32::new(0), wrap: Value::send::<T>, default: None }
    }

    /// Makes a variable whose values stay on their thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use asyncio_loop::ContextVar;
    ///
    /// static WORDS: ContextVar<Rc<[&str]>> = ContextVar::local("words");
    ///
    /// WORDS.set(Rc::new(["one", "two"]));
    /// assert_eq!(WORDS.with(|words| words.len()), 2);
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub const fn local(name: &'static str) -> Self {
        Self { name, id: AtomicU32::new(0), wrap: Value::local::<T>, default: None }
    }

    /// Sets the default, for contexts without a value.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ContextVar;
    ///
    /// static LEVEL: ContextVar<u32> = ContextVar::new("level").with_default(|| 7);
    ///
    /// assert_eq!(LEVEL.get(), 7);
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub const fn with_default(self, default: fn() -> T) -> Self {
        Self { name: self.name, id: AtomicU32::new(0), wrap: self.wrap, default: Some(default) }
    }

    /// The variable's name.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::context_var;
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// assert_eq!(LEVEL.name(), "LEVEL");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The value in the current context, else the default.
    ///
    /// # Panics
    ///
    /// If there is neither a value nor a default; see [`try_get`](Self::try_get) and
    /// [`get_or`](Self::get_or).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::context_var;
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// assert_eq!(LEVEL.get(), 0);
    /// LEVEL.set(1);
    /// assert_eq!(LEVEL.get(), 1);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// The value in the current context, else the default, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::context_var;
    ///
    /// context_var! { static USER: String; }
    ///
    /// assert_eq!(USER.try_get(), None);
    /// USER.set("ada".to_owned());
    /// assert_eq!(USER.try_get().as_deref(), Some("ada"));
    /// ```
    #[must_use]
    pub fn try_get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    /// The value in the current context, else `fallback`, which takes precedence over the default.
    ///
    /// # Examples
    ///
    /// ```
    /// asyncio_loop::context_var! { static RETRIES: u32 = 3; }
    ///
    /// assert_eq!(RETRIES.get_or(5), 5);
    /// RETRIES.set(4);
    /// assert_eq!(RETRIES.get_or(5), 4);
    /// ```
    #[must_use]
    pub fn get_or(&self, fallback: T) -> T
    where
        T: Clone,
    {
        self.look(T::clone).unwrap_or(fallback)
    }

    /// Calls `f` with the value in the current context, else with the default.
    ///
    /// # Panics
    ///
    /// If there is neither a value nor a default; see [`try_with`](Self::try_with).
    ///
    /// # Examples
    ///
    /// ```
    /// asyncio_loop::context_var! { static CLIENT: String; }
    ///
    /// CLIENT.set("10.0.0.1".to_owned());
    /// assert_eq!(CLIENT.with(|client| client.len()), 8);
    /// ```
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Some(result) => result,
            None => panic!("context variable `{}` has no value here and no default", self.name),
        }
    }

    /// Calls `f` with the value in the current context, else with the default, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::context_var;
    ///
    /// context_var! { static USER: String; }
    ///
    /// assert_eq!(USER.try_with(String::len), None);
    /// USER.set("ada".to_owned());
    /// assert_eq!(USER.try_with(String::len), Some(3));
    /// ```
    pub fn try_with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let values = Content::copy_current();
        match (values.get(self.id()).and_then(Value::downcast_ref), self.default) {
            (Some(value), _) => Some(f(value)),
            (None, Some(default)) => Some(f(&default())),
            (None, None) => None,
        }
    }

    /// Sets the value in the current context. The token undoes this; drop the token to keep the
    /// value.
    ///
    /// # Examples
    ///
    /// ```
    /// asyncio_loop::context_var! { static LEVEL: u32 = 0; }
    ///
    /// let token = LEVEL.set(1);
    /// assert_eq!(LEVEL.get(), 1);
    /// LEVEL.reset(token)?;
    /// assert_eq!(LEVEL.get(), 0);
    /// # Ok::<(), asyncio_loop::ResetError<u32>>(())
    /// ```
    pub fn set(&'static self, value: T) -> Token<T> {
        let (old, context) = content::bind(self.binding((self.wrap)(value)));
        Token { var: self, old, context }
    }

    /// Gives the variable the value that it had before the [`set`](Self::set) that made the token.
    /// Tokens can be used in any order, each once.
    ///
    /// # Errors
    ///
    /// [`ResetError`] with the token, if the token belongs to another variable, or was made in
    /// another context than the current one. The value does not change then.
    ///
    /// # Examples
    ///
    /// A token cannot be used twice:
    ///
    /// ```compile_fail,E0382
    /// asyncio_loop::context_var! { static LEVEL: u32 = 0; }
    ///
    /// let token = LEVEL.set(1);
    /// LEVEL.reset(token).unwrap();
    /// LEVEL.reset(token).unwrap();
    /// ```
    pub fn reset(&'static self, token: Token<T>) -> Result<(), ResetError<T>> {
        if !std::ptr::eq(self, token.var) {
            return Err(ResetError { token, kind: ResetErrorKind::OtherVariable });
        }
        if !content::is_current(&token.context) {
            return Err(ResetError { token, kind: ResetErrorKind::OtherContext });
        }
        let _dropped_last = match token.old {
            Some(old) => content::bind(self.binding(old)),
            None => content::unbind(self.id()),
        };
        Ok(())
    }

    fn look<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        Content::copy_current().get(self.id())?.downcast_ref().map(f)
    }

    fn binding(&self, value: Value) -> Binding {
        Binding { id: self.id(), name: self.name, value }
    }

    #[inline]
    pub(super) fn id(&self) -> u32 {
        match self.id.load(Ordering::Relaxed) {
            0 => self.assign_id(),
            id => id,
        }
    }

    #[cold]
    fn assign_id(&self) -> u32 {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        assert_ne!(id, 0, "too many context variables");
        match self.id.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => id,
            Err(assigned_meanwhile) => assigned_meanwhile,
        }
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextVar").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Undoes one [`ContextVar::set`].
///
/// # From asyncio
///
/// The types ensure that a token is used once: [`reset`](ContextVar::reset) consumes it.
///
/// # Examples
///
/// ```
/// use asyncio_loop::context_var;
///
/// context_var! { static LEVEL: u32 = 0; }
///
/// let token = LEVEL.set(1);
/// assert_eq!((token.var().name(), token.old_value()), ("LEVEL", None));
/// LEVEL.reset(token).unwrap();
/// assert_eq!(LEVEL.get(), 0);
/// ```
#[doc(alias = "contextvars.Token")]
pub struct Token<T: 'static> {
    var: &'static ContextVar<T>,
    old: Option<Value>,
    context: Content,
}

impl<T: 'static> Token<T> {
    /// The variable that was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::context_var;
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// assert!(std::ptr::eq(LEVEL.set(1).var(), &LEVEL));
    /// ```
    #[must_use]
    pub fn var(&self) -> &'static ContextVar<T> {
        self.var
    }

    /// The value before the `set`, if there was one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::context_var;
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// assert_eq!(LEVEL.set(1).old_value(), None);
    /// assert_eq!(LEVEL.set(2).old_value(), Some(1));
    /// ```
    #[must_use]
    pub fn old_value(&self) -> Option<T>
    where
        T: Clone,
    {
        self.old.as_ref()?.downcast_ref().cloned()
    }

    /// A guard that gives the variable its old value when dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// asyncio_loop::context_var! { static LEVEL: u32 = 0; }
    ///
    /// {
    ///     let _indented = LEVEL.set(1).scope();
    ///     assert_eq!(LEVEL.get(), 1);
    /// }
    /// assert_eq!(LEVEL.get(), 0);
    /// ```
    #[must_use = "the old value returns as soon as the guard is dropped"]
    pub fn scope(self) -> TokenGuard<T> {
        TokenGuard { token: Some(self) }
    }
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("var", &self.var.name).finish_non_exhaustive()
    }
}

/// Gives a variable its old value when dropped; made by [`Token::scope`].
///
/// Dropped in another context than the token's, it does nothing.
///
/// # Examples
///
/// ```
/// use asyncio_loop::context_var;
///
/// context_var! { static LEVEL: u32 = 0; }
///
/// {
///     let _guard = LEVEL.set(1).scope();
///     assert_eq!(LEVEL.get(), 1);
/// }
/// assert_eq!(LEVEL.get(), 0);
/// ```
#[derive(Debug)]
pub struct TokenGuard<T: 'static> {
    token: Option<Token<T>>,
}

impl<T: 'static> Drop for TokenGuard<T> {
    fn drop(&mut self) {
        let refused = self.token.take().map(|token| token.var.reset(token));
        // In another context there is nothing to undo.
        drop(refused);
    }
}

/// The error of [`ContextVar::reset`], with the token.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{copy_context, context_var};
///
/// context_var! { static LEVEL: u32 = 0; }
///
/// let token = LEVEL.set(1);
/// let error = copy_context().run(|| LEVEL.reset(token)).unwrap_err();
/// assert_eq!(error.to_string(), "the token of `LEVEL` was made in a different context");
/// assert!(LEVEL.reset(error.into_token()).is_ok());
/// ```
pub struct ResetError<T: 'static> {
    token: Token<T>,
    kind: ResetErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResetErrorKind {
    OtherVariable,
    OtherContext,
}

impl<T: 'static> ResetError<T> {
    /// The token, unused.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    ///
    /// context_var! { static LEVEL: u32 = 0; }
    ///
    /// let context = Context::new();
    /// let refused = LEVEL.reset(context.run(|| LEVEL.set(1))).unwrap_err();
    /// assert!(context.run(|| LEVEL.reset(refused.into_token())).is_ok());
    /// ```
    #[must_use]
    pub fn into_token(self) -> Token<T> {
        self.token
    }
}

impl<T> fmt::Debug for ResetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetError").field("kind", &self.kind).field("token", &self.token).finish()
    }
}

impl<T> fmt::Display for ResetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.token.var.name;
        match self.kind {
            ResetErrorKind::OtherVariable => write!(f, "the token was made by `{name}`"),
            ResetErrorKind::OtherContext => {
                write!(f, "the token of `{name}` was made in a different context")
            }
        }
    }
}

impl<T> std::error::Error for ResetError<T> {}
