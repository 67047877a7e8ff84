//! The future of a group: polls the body, then the children that were woken.

use std::cell::Ref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::while_cancelling;
use pin_project_lite::pin_project;

use super::child::ChildOutput;
use super::{ExceptionGroup, Frames, State, TaskGroup};
use crate::cancel::{Answer, Kind, Node, Progress, cancel_all, run, wait_to_be_dropped};

pin_project! {
    pub(super) struct Drive<'scope, 'env, B, T, E> {
        // Before `body`, so that it is dropped first.
        _refuse: RefuseChildren<'scope, 'env, E>,
        group: &'scope TaskGroup<'scope, 'env, E>,
        #[pin]
        body: Option<B>,
        value: Option<T>,
        // The body's error, which comes after the children's errors.
        error: Option<E>,
        stage: Stage,
    }
}

/// The progress of a group's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// Body and children have been asked to end.
    Aborting,
    /// The group was asked to end from outside, and all its children have ended.
    Passed,
}

impl<'scope, 'env, B, T, E> Drive<'scope, 'env, B, T, E> {
    pub(super) fn new(group: &'scope TaskGroup<'scope, 'env, E>, body: B) -> Self {
        Self {
            _refuse: RefuseChildren(group),
            group,
            body: Some(body),
            value: None,
            error: None,
            stage: Stage::Running,
        }
    }
}

/// Makes the group refuse children once this is dropped, which is before the destructors in the
/// body run.
struct RefuseChildren<'scope, 'env, E>(&'scope TaskGroup<'scope, 'env, E>);

impl<E> Drop for RefuseChildren<'_, '_, E> {
    fn drop(&mut self) {
        if let Some(state) = self.0.state() {
            state.frames.aborting.set(true);
        }
    }
}

impl<B: Future<Output: ChildOutput<E, Value = T>>, T, E> Future for Drive<'_, '_, B, T, E> {
    type Output = Result<T, ExceptionGroup<E>>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let group = self.group;
        let Some(state) = group.state() else { return Poll::Pending };
        state.frames.group.refresh(cx);
        state.children.set_waker(cx);
        if self.stage == Stage::Passed {
            state.frames.pass(cx);
            return Poll::Pending;
        }
        self.as_mut().listen(&state);
        self.as_mut().poll_body(&state, cx);
        state.step_children();
        self.as_mut().listen(&state);
        if let Some(node) = state.frames.group.node() {
            node.note(cx);
        }
        if state.children.ready() > 0 {
            cx.waker().wake_by_ref();
        }
        if self.body.is_some() {
            return Poll::Pending;
        }
        if state.children.live() > 0 {
            WaitsFor::Group.note(cx);
            return Poll::Pending;
        }
        self.finish(&state, cx)
    }
}

impl<B: Future<Output: ChildOutput<E, Value = T>>, T, E> Drive<'_, '_, B, T, E> {
    /// Checks whether the group is asked to end, from inside or outside, and acts on it.
    fn listen(mut self: Pin<&mut Self>, state: &State<'_, E>) {
        if state.frames.is_to_abort(self.body.is_some()) {
            state.frames.aborting.set(true);
        }
        if state.frames.aborting.get() && self.stage == Stage::Running {
            *self.as_mut().project().stage = Stage::Aborting;
            state.cancel_all(self.body.is_some());
        }
        if self.stage == Stage::Aborting && self.body.is_some() && state.frames.is_body_to_end() {
            self.drop_body(state);
        }
    }

    fn drop_body(self: Pin<&mut Self>, state: &State<'_, E>) {
        let mut this = self.project();
        let drop_body = || {
            state.frames.in_body(|| while_cancelling(|| this.body.set(None)));
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_body)) {
            this.group.panicked(payload);
        }
        state.frames.body.leave();
    }

    fn poll_body(self: Pin<&mut Self>, state: &State<'_, E>, cx: &mut Context<'_>) {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return };
        let poll = || body.poll(cx).map(ChildOutput::into_result);
        let polled = catch_unwind(AssertUnwindSafe(|| state.frames.in_body(poll)));
        match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(Ok(value))) => *this.value = Some(value),
            Ok(Poll::Ready(Err(error))) => {
                *this.error = Some(error);
                state.abort();
            }
            Err(payload) => this.group.panicked(payload),
        }
        let drop_body = || state.frames.in_body(|| this.body.set(None));
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_body)) {
            this.group.panicked(payload);
        }
        state.frames.body.leave();
    }

    /// The result of the group, when body and children have ended.
    fn finish(
        self: Pin<&mut Self>,
        state: &Ref<'_, State<'_, E>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, ExceptionGroup<E>>> {
        let this = self.project();
        if let Some(payload) = state.panic.take() {
            resume_unwind(payload);
        }
        let mut errors = state.errors.take();
        errors.extend(this.error.take());
        if !errors.is_empty() {
            return Poll::Ready(Err(ExceptionGroup::new(errors)));
        }
        if state.frames.is_asked() {
            *this.stage = Stage::Passed;
            *this.value = None;
            state.frames.pass(cx);
            return Poll::Pending;
        }
        Poll::Ready(this.value.take().ok_or_else(|| ExceptionGroup::new(Vec::new())))
    }
}

impl<E> State<'_, E> {
    /// Polls the children that are ready now. Children that they wake wait for the next poll.
    fn step_children(&self) {
        let ready = self.children.ready();
        if ready == 0 {
            return;
        }
        let group = &self.frames.group;
        group.run(|| {
            group.run_children(|| {
                for _ in 0..ready {
                    self.children.step();
                }
            });
        });
    }

    /// Asks all children, and the body, to end.
    fn cancel_all(&self, has_body: bool) {
        let asked = self.frames.group.node().filter(|group| group.answer.get() != Answer::Idle);
        let reason = asked.map(|group| group.reason()).unwrap_or_default();
        cancel_all(self.children.tasks(), &reason);
        if has_body {
            if let Some(body) = self.frames.body.node().filter(|body| !body.is_asking()) {
                body.begin(reason);
            }
        }
    }
}

impl Frames {
    fn in_body<R>(&self, f: impl FnOnce() -> R) -> R {
        self.group.run(|| self.body.run(f))
    }

    /// Whether a request from outside has passed the body and reached the group.
    fn is_to_abort(&self, has_body: bool) -> bool {
        let Some(group) = self.group.node() else { return false };
        match group.answer.get() {
            Answer::Asked => {}
            Answer::Idle => {
                self.forgive_body();
                return false;
            }
            Answer::Busy | Answer::Passed => return false,
        }
        if has_body && !self.has_body_passed(group) {
            return false;
        }
        group.answer.set(Answer::Busy);
        true
    }

    /// Takes back the body's request, which was the group's and is over.
    fn forgive_body(&self) {
        let body = self.body.node().filter(|body| body.is_asking() && !self.aborting.get());
        if let Some(body) = body {
            run(|work| body.end_request(work));
        }
    }

    fn has_body_passed(&self, group: &Rc<Node>) -> bool {
        let Some(body) = self.body.node() else { return true };
        if !body.is_asking() {
            // The body was registered after the group was asked.
            body.begin(group.reason());
        }
        run(|work| match body.evaluate(work) {
            Progress::Act => true,
            Progress::Wait => false,
            Progress::Absorbed => {
                body.end_request(work);
                group.absorb(work);
                false
            }
        })
    }

    /// Whether every handler in the body has answered.
    fn is_body_to_end(&self) -> bool {
        self.body.node().is_none_or(|body| body.must_end())
    }

    /// Whether the group has been asked to end from outside, and has not answered.
    fn is_asked(&self) -> bool {
        self.group.node().is_some_and(|group| group.answer.get() != Answer::Idle)
    }

    /// Passes the request from outside on.
    fn pass(&self, cx: &Context<'_>) {
        let Some(group) = self.group.node() else { return };
        group.note(cx);
        if group.answer.get() != Answer::Passed && group.ending_target().is_some() {
            run(|work| group.pass(work));
        }
        wait_to_be_dropped(group, &group.reason());
    }

    /// The place in the tree of an await of a child that is inside other scopes.
    pub(super) fn kind_of_await(&self) -> Kind {
        if self.body.is_around() { Kind::OwnChild } else { Kind::Link }
    }

    /// The body, if the caller is in it and the group is ending.
    pub(super) fn ending_body(&self) -> Option<Rc<Node>> {
        (self.aborting.get() && self.body.is_around()).then(|| Rc::clone(self.body.register()))
    }
}
