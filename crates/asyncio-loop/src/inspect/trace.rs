//! The full stack of a suspended task, on demand.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::async_calls;
use super::stuck::StackFrame;
use super::task_info::TaskInfo;
use super::wait_info::WaitInfo;
use crate::kernel::{LookAtWait, LoopWaker, Place, TaskRef, WaitsFor};

/// The places where a task waits, with the calls of async functions that lead there, as addresses:
/// see [`TaskRef::trace`]. It holds no reference to the task, and can be sent to another thread.
#[derive(Clone, Debug)]
pub struct Trace {
    info: TaskInfo,
    places: Vec<(Vec<usize>, Option<WaitInfo>)>,
}

/// The full stack of a task: see [`Trace::resolve`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FullStack {
    /// The task, as it was when the trace was done.
    pub task: TaskInfo,
    /// The places at which it waits, in the order in which they were polled: several if the task
    /// waits for several futures at once, none if it has ended.
    pub branches: Vec<Branch>,
}

/// One of the places at which a task waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Branch {
    /// The calls that lead there, outermost first: the async functions of the program, and futures
    /// of other crates. Those of this project and of the standard library are left out. Empty if
    /// they cannot be found; see [`TaskRef::trace`].
    pub calls: Vec<StackFrame>,
    /// The object that the innermost future waits for, as it has noted. `None` for a future of
    /// another crate.
    pub wait: Option<WaitInfo>,
}

impl Trace {
    /// The task, as it was when the trace was done.
    #[must_use]
    pub fn task(&self) -> &TaskInfo {
        &self.info
    }

    /// Looks up the names, files and lines of the calls. That takes milliseconds, and the first
    /// time in a process much longer, since it reads the program's debug information. So call it on
    /// another thread, for example by `to_thread`.
    #[must_use]
    pub fn resolve(&self) -> FullStack {
        let mut branches: Vec<Branch> = Vec::new();
        for (calls, wait) in &self.places {
            let next = Branch { calls: async_calls::calls(calls), wait: wait.clone() };
            match branches.last_mut().filter(|last| last.is_also(&next)) {
                Some(last) => last.wait = next.wait.or(last.wait.take()),
                None => branches.push(next),
            }
        }
        FullStack { task: self.info.clone(), branches }
    }
}

impl Branch {
    /// Whether `other` is the same wait, which a future has noted twice.
    fn is_also(&self, other: &Self) -> bool {
        let at = |branch: &Self| branch.wait.as_ref().map(|wait| (wait.to_string(), wait.at));
        let is_one_silent = self.wait.is_none() || other.wait.is_none();
        self.calls == other.calls && (is_one_silent || at(self) == at(other))
    }
}

/// Shows one line for the task, and for each place the calls that lead there and the wait. Calls
/// that a place has in common with the previous one are not repeated, and the rest is indented.
impl fmt::Display for FullStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TaskInfo { id, name, state, created_at, .. } = &self.task;
        write!(f, "{name:?} ({id}) {state}, created at {created_at}")?;
        let mut before: &[StackFrame] = &[];
        for Branch { calls, wait } in &self.branches {
            let common = before.iter().zip(calls).take_while(|(one, other)| one == other).count();
            for (depth, call) in calls.iter().enumerate().skip(common) {
                write!(f, "\n{:1$}{call}", "", 2 * depth + 2)?;
            }
            let depth = 2 * calls.len() + 2;
            match wait {
                Some(wait) => write!(f, "\n{:depth$}waits for {wait}", "")?,
                None => write!(f, "\n{:depth$}waits (not noted for what)", "")?,
            }
            if let Some(at) = wait.as_ref().and_then(|wait| wait.at) {
                write!(f, " at {at}")?;
            }
            before = calls;
        }
        if let Some(hint) = async_calls::MISSING {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

/// The future of [`TaskRef::trace`].
#[derive(Debug)]
#[must_use = "the task is polled by `.await`"]
pub struct TraceTask {
    task: TaskRef,
    asked: Option<Asked>,
}

/// A requested poll. Dropping this withdraws the request.
struct Asked {
    answer: Rc<Answer>,
    /// The function that the kernel calls while it exists.
    _tell: Rc<dyn Fn(Vec<Place>)>,
}

/// The result of the poll.
#[derive(Default)]
struct Answer {
    places: Cell<Option<Vec<Place>>>,
    waker: RefCell<Option<LoopWaker>>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

impl TaskRef {
    /// Finds the places where the task waits, with all async functions in between, by polling it
    /// once.
    ///
    /// The task is polled in its turn, as if it had been woken, which every future must allow. The
    /// futures of this project record the active calls before they wait again; futures of other
    /// crates are shown if they keep the waker. So no future is skipped, gets a wrong result, or
    /// loses a wake: ready futures make progress as in any other poll, and then the next place at
    /// which the task waits is shown. A task that was asked to end is polled without a trace, and
    /// shows no places until it has answered.
    ///
    /// Names need Linux on x86-64 or AArch64, the feature `stacks`, which is off by default, and a
    /// program that was not stripped. Files and lines need debug information (`debug =
    /// "line-tables-only"` does). So do async functions that an optimizing compiler has inlined,
    /// which are most.
    ///
    /// The inner futures of a combinator that polls them only when their own wakers are woken, such
    /// as `FuturesUnordered`, are not seen, but the combinator's own place is. For a task that is
    /// never polled, such as a child of a group that is not polled, the future never completes.
    ///
    /// If the task still waits for the same thing after the poll, the poll does not change
    /// [`TaskInfo::waited`]. [`TaskInfo::polls`] counts it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the task.
    ///
    /// # From asyncio
    ///
    /// `Task.get_stack`, which in asyncio has the whole stack at no cost. A compiled Rust program
    /// does not keep that data.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions, WaitsFor};
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    ///
    /// async fn outer() {
    ///     inner().await;
    /// }
    ///
    /// async fn inner() {
    ///     poll_fn(|cx| {
    ///         WaitsFor::Resource.note(cx);
    ///         Poll::<()>::Pending
    ///     })
    ///     .await
    /// }
    ///
    /// let event_loop = EventLoop::new()?;
    /// let stuck = event_loop.spawn(outer(), TaskOptions::new())?;
    /// let trace = event_loop.run_until_complete(stuck.task().trace())?;
    /// let stack = std::thread::spawn(move || trace.resolve()).join().unwrap();
    /// assert_eq!(stack.branches[0].wait.as_ref().unwrap().what, WaitsFor::Resource);
    /// println!("{stack}");
    /// # event_loop.set_exception_handler(Some(std::rc::Rc::new(|_, _| ())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_stack")]
    pub fn trace(&self) -> TraceTask {
        TraceTask { task: self.clone(), asked: None }
    }
}

impl TraceTask {
    /// Requests the poll.
    fn ask(&self) -> Asked {
        let answer = Rc::<Answer>::default();
        let told = Rc::clone(&answer);
        let tell: Rc<dyn Fn(Vec<Place>)> = Rc::new(move |places| {
            told.places.set(Some(places));
            let waker = told.waker.take();
            waker.into_iter().for_each(LoopWaker::wake);
        });
        self.task.trace_next_poll(Rc::downgrade(&tell));
        Asked { answer, _tell: tell }
    }
}

impl Future for TraceTask {
    type Output = Trace;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Trace> {
        if self.asked.is_none() {
            if self.task.is_done() {
                return Poll::Ready(Trace::new(&self.task, Vec::new()));
            }
            self.asked = Some(self.ask());
        }
        let answer = &self.asked.as_ref().expect("asked above").answer;
        if let Some(places) = answer.places.take() {
            return Poll::Ready(Trace::new(&self.task, places));
        }
        let waker = LoopWaker::for_wait(cx, WaitsFor::Resource);
        let before = answer.waker.replace(Some(waker));
        drop(before);
        Poll::Pending
    }
}

impl Trace {
    fn new(task: &TaskRef, places: Vec<Place>) -> Self {
        let (info, event_loop) = (task.info(), task.event_loop());
        let place = |Place { calls, wait }| {
            let wait = wait.map(|(wait, site)| {
                let look = LookAtWait { wait, site: Some(site), awaited: None };
                WaitInfo::new(look, info.now, event_loop.as_ref())
            });
            (calls, wait)
        };
        let places = places.into_iter().map(place).collect();
        Self { info, places }
    }
}
