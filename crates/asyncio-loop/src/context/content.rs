//! The content of a context in one word, and the thread's current content.
//!
//! ```text
//!   Content ── None                  no values: the usual case, free to copy and to enter
//!           ├► Node::Bindings        a copy nobody has written to, shared with its original
//!           └► Node::Context         a context with an identity: one that was made by name,
//!                  │                 or a copy from its first write on
//!                  └► Content        its values: None or Bindings
//! ```
//!
//! So the copy made for each new task costs a read of a thread-local and at most a reference count.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::bindings::{Binding, Bindings, Value};

thread_local! {
    /// Every step of every task reads this, so it has no destructor: reading a thread-local that
    /// has one costs more than the rest of the step's switch.
    static CURRENT: Cell<ManuallyDrop<Content>> =
        const { Cell::new(ManuallyDrop::new(Content(None))) };

    /// Drops the current content when the thread ends, if a content was set.
    static LAST: DropCurrent = const { DropCurrent };
}

struct DropCurrent;

impl Drop for DropCurrent {
    fn drop(&mut self) {
        drop(replace_current(Content(None)));
    }
}

/// The values of a context, or a context with an identity.
#[derive(Default)]
pub(super) struct Content(Option<Rc<Node>>);

#[derive(Clone)]
enum Node {
    Bindings(Bindings),
    Context(Root),
}

/// A context with an identity.
struct Root {
    /// How many runs and steps are inside it.
    entered: Cell<usize>,
    values: Cell<Content>,
}

/// The content that was current before another one was entered.
#[must_use = "the previous context must become current again"]
pub(super) struct Previous(Content);

impl Content {
    /// Whether this is a context, or has any values.
    #[inline]
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// A context of its own with the values of a copy.
    pub(super) fn into_context(self) -> Self {
        Self::new_context(self, 0)
    }

    /// The same, with an identity if it has none yet.
    pub(super) fn identified(self, entered: usize) -> Self {
        if self.root().is_some() { self } else { Self::new_context(self, entered) }
    }

    fn new_context(values: Self, entered: usize) -> Self {
        let root = Root { entered: Cell::new(entered), values: Cell::new(values) };
        Self(Some(Rc::new(Node::Context(root))))
    }

    /// The values of the current context.
    #[inline]
    pub(super) fn copy_current() -> Self {
        peek(Self::copy)
    }

    /// The values, shared until either side changes.
    #[inline]
    pub(super) fn copy(&self) -> Self {
        let Some(node) = &self.0 else { return Self(None) };
        match &**node {
            Node::Bindings(_) => self.share(),
            Node::Context(root) => root.copy_values(),
        }
    }

    /// Another reference to the same context or to the same values.
    pub(super) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(this), Some(other)) => Rc::ptr_eq(this, other),
            _ => false,
        }
    }

    /// The bindings of a copy.
    pub(super) fn bindings(&self) -> &[Binding] {
        match self.0.as_deref() {
            Some(Node::Bindings(bindings)) => bindings.as_slice(),
            _ => &[],
        }
    }

    /// A variable's value in a copy.
    pub(super) fn get(&self, id: u32) -> Option<&Value> {
        match self.0.as_deref() {
            Some(Node::Bindings(bindings)) => bindings.get(id),
            _ => None,
        }
    }

    pub(super) fn is_entered(&self) -> bool {
        self.root().is_some_and(|root| root.entered.get() > 0)
    }

    /// Makes `self` current.
    #[inline]
    pub(super) fn enter(self) -> Previous {
        if self.0.is_none() && peek(|current| current.0.is_none()) {
            // Both contents are empty, as in the usual step.
            return Previous(self);
        }
        if let Some(root) = self.root() {
            root.entered.set(root.entered.get() + 1);
        }
        Previous(replace_current(self))
    }

    #[inline]
    fn root(&self) -> Option<&Root> {
        match self.0.as_deref()? {
            Node::Context(root) => Some(root),
            Node::Bindings(_) => None,
        }
    }

    /// The bindings of a copy, no longer shared.
    fn bindings_mut(&mut self) -> &mut Bindings {
        let node = self.0.get_or_insert_with(|| Rc::new(Node::Bindings(Bindings::default())));
        match Rc::make_mut(node) {
            Node::Bindings(bindings) => bindings,
            Node::Context(_) => unreachable!("the values of a context are bindings"),
        }
    }
}

impl From<Bindings> for Content {
    fn from(bindings: Bindings) -> Self {
        Self((!bindings.as_slice().is_empty()).then(|| Rc::new(Node::Bindings(bindings))))
    }
}

impl Previous {
    /// Whether there was no context before, and is none now: the end of the usual step.
    #[inline]
    pub(super) fn is_still_nothing(&self) -> bool {
        self.0.0.is_none() && peek(|current| current.0.is_none())
    }

    /// Makes the previous content current again and returns what was current.
    #[inline]
    pub(super) fn restore(self) -> Content {
        let left = replace_current(self.0);
        if let Some(root) = left.root() {
            root.entered.set(root.entered.get() - 1);
        }
        left
    }
}

impl Root {
    fn copy_values(&self) -> Content {
        let values = self.values.take();
        let copy = values.share();
        self.values.set(values);
        copy
    }
}

impl Clone for Root {
    fn clone(&self) -> Self {
        Self { entered: Cell::new(0), values: Cell::new(self.copy_values()) }
    }
}

/// Binds a variable in the current context. Returns its old value and the context.
pub(super) fn bind(binding: Binding) -> (Option<Value>, Content) {
    change(|bindings| bindings.insert(binding))
}

/// Unbinds a variable in the current context. Returns its old value and the context.
pub(super) fn unbind(id: u32) -> (Option<Value>, Content) {
    change(|bindings| bindings.remove(id))
}

/// The current context, given an identity if it has none yet.
pub(super) fn identify_current() -> Content {
    let current = replace_current(Content(None)).identified(1);
    let shared = current.share();
    replace_current(current);
    shared
}

/// Whether `context` is the current one.
pub(super) fn is_current(context: &Content) -> bool {
    peek(|current| current.is_same(context))
}

/// Changes the current context, which gets an identity if it was an untouched copy. No code of
/// others runs inside: values that are displaced are handed out.
fn change<R>(change: impl FnOnce(&mut Bindings) -> R) -> (R, Content) {
    let mut context = replace_current(Content(None));
    let mut stays = true;
    if context.root().is_none() {
        context = Content::new_context(context, 1);
        // While the thread drops its thread-locals, a content that is set now would never be
        // dropped.
        stays = LAST.try_with(|_| ()).is_ok();
    }
    let root = context.root().expect("the current content was made a context");
    let mut values = root.values.take();
    let result = change(values.bindings_mut());
    root.values.set(values);
    if stays {
        replace_current(context.share());
    }
    (result, context)
}

/// Shows the current content to `look`, which must not run code of others. Each step does this some
/// times, and the usual content is none: a test.
#[inline(always)]
fn peek<R>(look: impl FnOnce(&Content) -> R) -> R {
    let current = replace_current(Content(None));
    let result = look(&current);
    replace_current(current);
    result
}

#[inline]
fn replace_current(content: Content) -> Content {
    CURRENT.with(|current| ManuallyDrop::into_inner(current.replace(ManuallyDrop::new(content))))
}
