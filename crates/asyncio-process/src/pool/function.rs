//! Functions that worker processes know by name.

use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function that can be run in a worker process.
///
/// Make it a `static` and pass it to [`init_process_pool`](crate::init_process_pool), so that
/// parent and worker know the same code by the same name.
///
/// ```
/// use asyncio_process::PoolFunction;
///
/// static SQUARE: PoolFunction<u64, u64> = PoolFunction::new("square", |n| n * n);
/// assert_eq!(SQUARE.name(), "square");
/// assert_eq!(SQUARE.call(12), 144);
/// ```
pub struct PoolFunction<A, R> {
    name: &'static str,
    function: fn(A) -> R,
}

impl<A, R> PoolFunction<A, R> {
    /// Gives `function` a name that is unique within the program.
    #[must_use]
    pub const fn new(name: &'static str, function: fn(A) -> R) -> Self {
        PoolFunction { name, function }
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Calls the function here, in this process.
    pub fn call(&self, arguments: A) -> R {
        (self.function)(arguments)
    }
}

impl<A, R> fmt::Debug for PoolFunction<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolFunction").field("name", &self.name).finish()
    }
}

/// A [`PoolFunction`] of any argument and result. The trait is sealed.
pub trait Registrable: Sync + private::Call {
    /// Returns its name.
    #[doc(hidden)]
    fn name(&self) -> &'static str;
}

impl<A: DeserializeOwned, R: Serialize> Registrable for PoolFunction<A, R> {
    fn name(&self) -> &'static str {
        self.name
    }
}

mod private {
    /// Private, so that the encoding of arguments can change.
    pub trait Call {
        /// Calls the function with encoded arguments, and encodes the result.
        fn call_encoded(&self, arguments: &[u8]) -> Result<Vec<u8>, postcard::Error>;

        /// Calls the function with each argument of an encoded list, and encodes the list of the
        /// results.
        fn call_each_encoded(&self, arguments: &[u8]) -> Result<Vec<u8>, postcard::Error>;
    }
}

impl<A: DeserializeOwned, R: Serialize> private::Call for PoolFunction<A, R> {
    fn call_encoded(&self, arguments: &[u8]) -> Result<Vec<u8>, postcard::Error> {
        let arguments = postcard::from_bytes(arguments)?;
        postcard::to_stdvec(&self.call(arguments))
    }

    fn call_each_encoded(&self, arguments: &[u8]) -> Result<Vec<u8>, postcard::Error> {
        let arguments: Vec<A> = postcard::from_bytes(arguments)?;
        let results: Vec<R> = arguments.into_iter().map(|one| self.call(one)).collect();
        postcard::to_stdvec(&results)
    }
}

/// The functions of this program; set once, by `init`.
static FUNCTIONS: OnceLock<Vec<&'static dyn Registrable>> = OnceLock::new();

/// Keeps the functions. A second call changes nothing.
pub(super) fn register(functions: &[&'static dyn Registrable]) {
    FUNCTIONS.get_or_init(|| functions.to_vec());
}

/// Whether `init` was called.
pub(super) fn is_initialised() -> bool {
    FUNCTIONS.get().is_some()
}

pub(super) fn find(name: &str) -> Option<&'static dyn Registrable> {
    FUNCTIONS.get()?.iter().copied().find(|function| function.name() == name)
}
