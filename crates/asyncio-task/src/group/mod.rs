//! Task groups: children may borrow, and all have ended when the group ends.
//!
//! * this file: [`TaskGroup`] and [`task_group`],
//! * `scope`: the variant without errors,
//! * `child`: handles,
//! * `drive`: the future that polls body and children,
//! * `error`: the error of a group.

mod child;
mod drive;
mod error;
mod scope;

use std::any::Any;
use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use asyncio_loop::machinery::{Children, around_user};
use asyncio_loop::{TaskOptions, TaskRef, running_loop};

pub use child::{Child, ChildError, ChildOutput};
pub use error::ExceptionGroup;
pub use scope::{Scope, scope};

use crate::cancel::{Kind, Slot};
use child::ChildFuture;
use drive::Drive;

/// Runs `body` with a group in which it can start children, and waits for all of them.
///
/// A child may borrow everything that lives longer than this call (not the body's own variables),
/// and needs neither `'static` nor `Send`. Its future is polled by the task that awaits the group,
/// and only when the child was woken. In all other respects the child is a task of its own.
///
/// Body and children are futures of `Result<T, E>` or of `()`. When one fails, the others are
/// cancelled; the group waits until all have ended, and returns every error. Without errors the
/// body's value is returned, once all children have ended.
///
/// # Errors
///
/// [`ExceptionGroup`] with the errors of children and body.
///
/// # Panics
///
/// With the first panic of the body or a child, after the others were cancelled and have ended. If
/// no loop runs on this thread.
///
/// # Cancel safety
///
/// Cancelling it cancels the body, then all children, and waits for their cleanup. If the cleanup
/// fails, its errors are returned, and the request takes effect at the next await. If the body
/// catches the request ([`catch_cancel`](crate::catch_cancel())), the children go on. Dropping it
/// drops the body and all children at once, without cleanup.
///
/// # From asyncio
///
/// `async with asyncio.TaskGroup()`. Awaiting a child gives its value and not a `Result`: a child
/// that fails ends the group. If no child can fail, use [`scope`](fn@scope), which needs no `Ok`.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use asyncio_task::{run, task_group};
///
/// async fn fetch(url: &str, seen: &Cell<u32>) -> Result<usize, String> {
///     seen.set(seen.get() + 1);
///     if url.is_empty() { Err("no url".to_owned()) } else { Ok(url.len()) }
/// }
///
/// let urls = [String::from("a"), String::from("bc")];
/// let seen = Cell::new(0);
/// let total = run(task_group(async |group| {
///     let pages: Vec<_> = urls.iter().map(|url| group.create_task(fetch(url, &seen))).collect();
///     let mut total = 0;
///     for page in pages {
///         total += page.await;
///     }
///     Ok(total)
/// }));
/// assert_eq!((total, seen.get()), (Ok(3), 2));
/// ```
///
/// A body without a value needs no `Ok`:
///
/// ```
/// use asyncio_task::{run, task_group};
///
/// let result = run(task_group(async |group| {
///     group.create_task(async { "7".parse::<i32>() });
///     group.create_task(async { "x".parse::<i32>() });
/// }));
/// assert_eq!(result.unwrap_err().errors().len(), 1);
/// ```
///
/// If neither body nor children can fail, there is no error type, and the compiler "cannot infer
/// the type of the type parameter `E`". Use a [`scope`](fn@scope) then.
///
/// ```compile_fail,E0282
/// # asyncio_task::run(async {
/// asyncio_task::task_group(async |group| {
///     group.create_task(async {});
/// }).await;
/// # });
/// ```
///
/// For a body that returns a value and cannot fail use a [`scope`](fn@scope), as the compiler's
/// message says:
///
/// ```compile_fail,E0277
/// # asyncio_task::run(async {
/// let pages = asyncio_task::task_group(async |group| {
///     let page = group.create_task(async { Ok::<_, String>(1) });
///     page.await
/// });
/// # pages.await.unwrap() });
/// ```
///
/// A child cannot borrow a variable of the body, nor outlive a value that it borrows:
///
/// ```compile_fail
/// use asyncio_task::task_group;
///
/// # async fn f() -> Result<(), asyncio_task::ExceptionGroup<()>> {
/// task_group(async |group| {
///     let local = String::new();
///     group.create_task(async { println!("{local}"); Ok::<_, ()>(()) });
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// ```compile_fail
/// use asyncio_task::task_group;
///
/// # async fn f() {
/// let group = {
///     let name = String::from("short");
///     task_group(async |group| {
///         group.create_task(async { println!("{name}"); Ok::<_, ()>(()) });
///         Ok(())
///     })
/// };
/// group.await.unwrap();
/// # }
/// ```
#[doc(alias = "JoinSet")]
pub fn task_group<'env, R, E, F>(
    body: F,
) -> impl Future<Output = Result<R::Value, ExceptionGroup<E>>>
where
    F: for<'scope> AsyncFnOnce(&'scope TaskGroup<'scope, 'env, E>) -> R,
    R: ChildOutput<E>,
{
    around_user(run_group(body), &file!())
}

async fn run_group<'env, R, E, F>(body: F) -> Result<R::Value, ExceptionGroup<E>>
where
    F: for<'scope> AsyncFnOnce(&'scope TaskGroup<'scope, 'env, E>) -> R,
    R: ChildOutput<E>,
{
    let group = TaskGroup::new();
    let end = End(&group);
    let result = Drive::new(&group, body(&group)).await;
    drop(end);
    result
}

/// The group of tasks that the body of [`task_group`] gets.
///
/// `'scope` is the lifetime of the group, which children may refer to in order to add more
/// children. `'env` is the lifetime of borrowed values, which outlive the group.
///
/// # Examples
///
/// ```
/// use asyncio_task::{TaskGroup, run, task_group};
///
/// run(async {
///     type Group<'scope, 'env> = TaskGroup<'scope, 'env, String>;
///
///     fn start<'scope>(group: &'scope Group<'scope, '_>, url: &'scope str) {
///         group.create_task(async move { Err::<(), _>(format!("{url} does not answer")) });
///     }
///
///     let url = String::from("here");
///     let result = task_group(async |group| {
///         start(group, &url);
///         Ok(())
///     });
///     assert_eq!(result.await.unwrap_err().errors(), ["here does not answer"]);
/// });
/// ```
#[doc(alias = "Nursery")]
pub struct TaskGroup<'scope, 'env, E> {
    /// This has no destructor, so that children may refer to the group that owns them; `End`
    /// empties it. If the future of the group is leaked, body and children leak.
    state: ManuallyDrop<RefCell<Option<State<'scope, E>>>>,
    _env: std::marker::PhantomData<Cell<&'env ()>>,
}

pub(crate) struct State<'scope, E> {
    children: Children<'scope>,
    frames: Rc<Frames>,
    errors: RefCell<Vec<E>>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
}

/// The places of a group and of its body in the cancel tree, which handles of children know.
#[derive(Debug)]
pub(crate) struct Frames {
    group: Slot,
    body: Slot,
    /// Body and children have to end, because one of them failed or the group was asked to end.
    aborting: Cell<bool>,
}

/// Empties a group, however its future ends.
struct End<'scope, 'env, E>(&'scope TaskGroup<'scope, 'env, E>);

impl<E> Drop for End<'_, '_, E> {
    fn drop(&mut self) {
        let state = self.0.state.borrow_mut().take();
        if let Some(state) = state {
            let frames = Rc::clone(&state.frames);
            // Destructors run at the children's place in the cancel tree.
            frames.group.run_children(|| drop(state));
            frames.body.leave();
            frames.group.leave();
        }
    }
}

impl<'scope, 'env, E> TaskGroup<'scope, 'env, E> {
    #[track_caller]
    fn new() -> Self {
        let state = State {
            children: Children::new(&running_loop()),
            frames: Rc::new(Frames {
                group: Slot::new(Kind::Group),
                body: Slot::new(Kind::Body),
                aborting: Cell::new(false),
            }),
            errors: RefCell::default(),
            panic: RefCell::default(),
        };
        let state = ManuallyDrop::new(RefCell::new(Some(state)));
        Self { state, _env: std::marker::PhantomData }
    }

    /// The state, until the group ends.
    fn state(&self) -> Option<Ref<'_, State<'scope, E>>> {
        Ref::filter_map(self.state.borrow(), Option::as_ref).ok()
    }

    /// Starts a child: the group runs `future` beside its body, from the body's next wait on.
    ///
    /// Children may call this too, as long as the group has not ended. A group that is ending drops
    /// the future unpolled, and returns a child that counts as cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, task_group};
    ///
    /// let sum = run(task_group(async |group| {
    ///     let one = group.create_task(async { Ok(1) });
    ///     let two = group.create_task(async { Ok(2) });
    ///     Ok::<_, String>(one.await + two.await)
    /// }));
    /// assert_eq!(sum, Ok(3));
    /// ```
    #[track_caller]
    pub fn create_task<F>(
        &'scope self,
        future: F,
    ) -> Child<'scope, <F::Output as ChildOutput<E>>::Value>
    where
        F: IntoFuture<Output: ChildOutput<E>, IntoFuture: 'scope>,
    {
        self.create_task_with(future, TaskOptions::new())
    }

    /// [`create_task`](Self::create_task) with a name, a context or an eager start.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{TaskOptions, current_task, run, task_group};
    ///
    /// run(async {
    ///     let name = task_group(async |group| {
    ///         let options = TaskOptions::new().name("helper");
    ///         let name = async { Ok(current_task().unwrap().name()) };
    ///         Ok::<_, ()>(group.create_task_with(name, options).await)
    ///     });
    ///     assert_eq!(&*name.await.unwrap(), "helper");
    /// });
    /// ```
    pub fn create_task_with<F>(
        &'scope self,
        future: F,
        options: TaskOptions,
    ) -> Child<'scope, <F::Output as ChildOutput<E>>::Value>
    where
        F: IntoFuture<Output: ChildOutput<E>, IntoFuture: 'scope>,
    {
        let Some(state) = self.state().filter(|state| !state.frames.aborting.get()) else {
            return Child::refused();
        };
        let future = ChildFuture::new(future.into_future(), self);
        let spawn = || state.children.spawn(future, options);
        let raw = state.frames.group.run_children(spawn);
        Child::new(raw, Rc::clone(&state.frames))
    }

    /// Ends the group: cancels the body and every child. If the body has returned its value
    /// already, the group returns that; otherwise it returns an [`ExceptionGroup`] without errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, task_group};
    ///
    /// run(async {
    ///     let found = task_group(async |group| {
    ///         group.create_task(std::future::pending::<()>());
    ///         group.cancel();
    ///         Ok::<_, ()>("found")
    ///     });
    ///     assert_eq!(found.await, Ok("found"));
    /// });
    /// ```
    pub fn cancel(&self) {
        if let Some(state) = self.state() {
            state.abort();
        }
    }

    /// Whether the group is ending, because the body or a child has failed or the group was
    /// cancelled. A group that is ending refuses children.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, task_group};
    ///
    /// run(async {
    ///     let result = task_group(async |group| {
    ///         assert!(!group.is_ending());
    ///         group.cancel();
    ///         assert!(group.is_ending());
    ///         Ok::<_, ()>(())
    ///     });
    ///     assert!(result.await.is_ok());
    /// });
    /// ```
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.state().is_none_or(|state| state.frames.aborting.get())
    }

    /// The children that have not ended, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, task_group};
    ///
    /// run(async {
    ///     let result = task_group(async |group| {
    ///         group.create_task(async {});
    ///         Ok::<_, ()>(group.tasks().len())
    ///     });
    ///     assert_eq!(result.await, Ok(1));
    /// });
    /// ```
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks = self.state().map(|state| state.children.tasks()).unwrap_or_default();
        tasks.sort_unstable_by_key(TaskRef::id);
        tasks
    }

    fn fail(&self, error: E) {
        if let Some(state) = self.state() {
            state.errors.borrow_mut().push(error);
            state.abort();
        }
    }

    fn panicked(&self, payload: Box<dyn Any + Send>) {
        if let Some(state) = self.state() {
            state.panic.borrow_mut().get_or_insert(payload);
            state.abort();
        }
    }
}

impl<E> State<'_, E> {
    /// Marks the group as ending; its future acts on that at the end of this poll, or in the next.
    fn abort(&self) {
        if !self.frames.aborting.replace(true) {
            self.children.wake();
        }
    }
}

impl<E> fmt::Debug for TaskGroup<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("tasks", &self.tasks())
            .field("ending", &self.is_ending())
            .finish()
    }
}
