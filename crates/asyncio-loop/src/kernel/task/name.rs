//! The name of a task.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

/// The name of a task: text that is cheap to clone, and compares with other text.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, running_loop};
///
/// let main = async {
///     let task = running_loop().current_task().unwrap();
///     task.set_name("main");
///     assert_eq!(task.name(), "main");
///     assert!(task.name().starts_with("ma"));
/// };
/// EventLoop::new()?.run_until_complete(main)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName(Rc<str>);

impl TaskName {
    pub(super) fn new(text: impl Into<Rc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for TaskName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TaskName {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for TaskName {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<TaskName> for Rc<str> {
    fn from(name: TaskName) -> Self {
        name.0
    }
}

impl From<TaskName> for String {
    fn from(name: TaskName) -> Self {
        name.as_str().to_owned()
    }
}

impl PartialEq<str> for TaskName {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for TaskName {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for TaskName {
    fn eq(&self, other: &String) -> bool {
        **self == **other
    }
}

impl PartialEq<TaskName> for str {
    fn eq(&self, other: &TaskName) -> bool {
        *other == *self
    }
}

impl PartialEq<TaskName> for &str {
    fn eq(&self, other: &TaskName) -> bool {
        *other == **self
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
