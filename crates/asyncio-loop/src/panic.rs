//! The panic of a task or a job, for use in errors.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::kernel::panic_message;

/// The panic of a task or a job.
///
/// Its text is the message of the panic. It is `Sync`, as errors should be, although the payload of
/// a panic is not.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{JobError, ThreadPoolExecutor};
///
/// let future = ThreadPoolExecutor::default().submit(|| panic!("{} of {}", 1, 2));
/// let Err(JobError::Panicked(panic)) = future.result(None) else { unreachable!("it panicked") };
/// assert_eq!(panic.to_string(), "1 of 2");
/// ```
pub struct Panic {
    /// In a mutex so that the error can be shared; nothing ever waits for it.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    /// Wraps the payload that [`catch_unwind`](std::panic::catch_unwind) has returned. Meant for
    /// executors.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Panic;
    ///
    /// let payload = std::panic::catch_unwind(|| panic!("no luck")).unwrap_err();
    /// assert_eq!(Panic::new(payload).message(), "no luck");
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        Self { payload: Mutex::new(payload) }
    }

    /// The message of the panic; "a value that is no text" if the payload is not a string.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Panic;
    ///
    /// assert_eq!(Panic::new(Box::new("no luck")).message(), "no luck");
    /// assert_eq!(Panic::new(Box::new(7_u32)).message(), "a value that is no text");
    /// ```
    #[must_use]
    pub fn message(&self) -> String {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        panic_message(&**payload).to_owned()
    }

    /// The payload, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Panic;
    ///
    /// let panic = Panic::new(Box::new(7_u32));
    /// assert_eq!(panic.into_payload().downcast_ref::<u32>(), Some(&7));
    /// ```
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}
