//! Scopes and the tree: how a scope becomes a node, at the place where it is polled.
//!
//! A scope is a frame on the thread's stack while its body is polled, and nothing else, until
//! something inside it registers or its body suspends: then it gets a node. So code that is never
//! cancelled pays only for pushing and popping frames.

use std::any::Any;
use std::cell::OnceCell;
use std::fmt;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Context;

use asyncio_loop::TaskRef;
use asyncio_loop::machinery::{visit_frames, with_boundary, with_frame, with_running};

use super::scope::{Kind, Scope};
use super::tasks::{Node, new_root, root_of};

/// The place of a scope in the tree, and the frame that it pushes.
pub(crate) struct Slot {
    kind: Kind,
    node: OnceCell<Rc<Node>>,
}

impl Slot {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, node: OnceCell::new() }
    }

    /// Runs `f` inside this scope.
    #[inline]
    pub(crate) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        with_frame(self, f)
    }

    /// Runs `f`, which polls or drops children of this group.
    pub(crate) fn run_children<R>(&self, f: impl FnOnce() -> R) -> R {
        with_boundary(self, f)
    }

    /// Whether it is the innermost scope that is being polled.
    #[inline]
    pub(crate) fn is_on_top(&self) -> bool {
        visit_frames(|frame, boundary| ControlFlow::Break(!boundary && self.is_frame(frame)))
            .unwrap_or(false)
    }

    /// Whether the code that runs is inside this scope, in the same task.
    pub(crate) fn is_around(&self) -> bool {
        visit_frames(|frame, boundary| match boundary {
            true => ControlFlow::Break(false),
            false if self.is_frame(frame) => ControlFlow::Break(true),
            false => ControlFlow::Continue(()),
        })
        .unwrap_or(false)
    }

    #[inline]
    fn is_frame(&self, frame: &dyn Any) -> bool {
        frame.downcast_ref::<Self>().is_some_and(|slot| std::ptr::eq(slot, self))
    }

    #[inline]
    pub(crate) fn node(&self) -> Option<&Rc<Node>> {
        self.node.get()
    }

    /// The node, made if there is none.
    pub(crate) fn register(&self) -> &Rc<Node> {
        if let Some(node) = self.node.get() {
            return node;
        }
        let parent = enclosing(Some(self));
        let node = self.node.get_or_init(|| Node::new(Scope::new(self.kind, None)));
        node.enter(parent);
        node
    }

    /// Call this at the start of a poll: it puts the node where the scope is being polled. `None`
    /// without a node.
    #[inline]
    pub(crate) fn refresh(&self, cx: &Context<'_>) -> Option<&Rc<Node>> {
        let node = self.node.get()?;
        follow_frames(node);
        node.note(cx);
        Some(node)
    }

    /// Call this when the body has suspended: it registers the scope.
    pub(crate) fn suspended(&self, cx: &Context<'_>) -> &Rc<Node> {
        let node = self.register();
        node.note(cx);
        node
    }

    /// Ends the scope.
    #[inline]
    pub(crate) fn leave(&self) {
        if let Some(node) = self.node.get() {
            node.leave();
        }
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Puts a node into the scope that is being polled, unless it is there already.
pub(super) fn follow_frames(node: &Rc<Node>) {
    if !stands_right(node) {
        node.move_to(enclosing(None));
    }
}

/// Whether `node` is directly inside the scope that is being polled.
pub(super) fn stands_right(node: &Node) -> bool {
    node.parent().is_some_and(|parent| is_polled(&parent))
}

/// Whether this is the innermost scope that is being polled, or the task outside of every scope.
pub(super) fn is_polled(node: &Rc<Node>) -> bool {
    let top = visit_frames(|frame, boundary| {
        let slot = frame.downcast_ref::<Slot>().filter(|_| !boundary);
        let scope = slot.and_then(Slot::node);
        ControlFlow::Break((boundary, scope.is_some_and(|scope| Rc::ptr_eq(scope, node))))
    });
    match top {
        Some((false, found)) => found,
        _ => node.kind == Kind::Root && stepped_task().is_some_and(|task| node.is_of(&task)),
    }
}

fn stepped_task() -> Option<TaskRef> {
    with_running(|event_loop| event_loop.stepped_task()).ok().flatten()
}

/// The node of the innermost scope that is being polled, or of the scope around `of` if `of` is
/// being polled.
pub(super) fn enclosing(of: Option<&Slot>) -> Option<Rc<Node>> {
    let mut inner = of.and_then(depth_of).map_or(0, |depth| depth + 1);
    // The number of boundaries between the running task and the frames that come next.
    let mut outwards = 0;
    let found = visit_frames(|frame, boundary| {
        if inner > 0 {
            inner -= 1;
            outwards += usize::from(boundary);
            return ControlFlow::Continue(());
        }
        match frame.downcast_ref::<Slot>() {
            Some(group) if boundary => ControlFlow::Break(root_outwards(outwards, Some(group))),
            Some(slot) => ControlFlow::Break(Some(Rc::clone(slot.register()))),
            None => ControlFlow::Continue(()),
        }
    });
    found.unwrap_or_else(|| root_outwards(outwards, None))
}

/// The number of frames inside the one of `slot`. A group that only polls or drops its children,
/// without being polled itself, has boundaries on the stack but no frame. Then its outermost
/// boundary counts, because it was pushed at the group's place.
fn depth_of(slot: &Slot) -> Option<usize> {
    let (mut depth, mut outermost) = (0, None);
    let own_frame = visit_frames(|frame, boundary| {
        if slot.is_frame(frame) {
            if !boundary {
                return ControlFlow::Break(depth);
            }
            outermost = Some(depth);
        }
        depth += 1;
        ControlFlow::Continue(())
    });
    own_frame.or(outermost)
}

/// Makes a node for the group that polls the running child, if that child has no scope of its own.
#[inline]
pub(super) fn register_group() {
    visit_frames(|frame, boundary| {
        let group = frame.downcast_ref::<Slot>().filter(|_| boundary);
        if let Some(group) = group {
            group.register();
        }
        ControlFlow::Break(())
    });
}

/// The node of the task that is being polled.
pub(super) fn current_root() -> Option<Rc<Node>> {
    root_outwards(0, None)
}

/// The node of the task that is being polled, or of the task that many groups further out. The task
/// is a child of `group` if that is given.
fn root_outwards(outwards: usize, group: Option<&Slot>) -> Option<Rc<Node>> {
    let mut task = stepped_task()?;
    for _ in 0..outwards {
        task = task.stepper()?;
    }
    if let Some(root) = root_of(&task) {
        return Some(root);
    }
    let root = new_root(task);
    root.hang(group.map(|group| Rc::clone(group.register())));
    Some(root)
}

/// How many scopes around the caller have a request, if `task` is the running task.
pub(crate) fn ending_scopes_of(task: &TaskRef) -> usize {
    if stepped_task().as_ref() != Some(task) {
        return 0;
    }
    let mut count = 0;
    visit_frames(|frame, boundary| {
        if boundary {
            return ControlFlow::Break(());
        }
        let node = frame.downcast_ref::<Slot>().and_then(Slot::node);
        count += usize::from(node.is_some_and(|node| match node.kind {
            Kind::Timeout => node.is_asking(),
            // If the group was asked, the request is counted at its origin.
            Kind::Body => node.is_asking() && node.parent().is_none_or(|group| !group.is_asking()),
            _ => false,
        }));
        ControlFlow::Continue(())
    });
    count
}

/// Whether a target around the caller has a request. The search ends at the task, the region, or
/// the group's body that the caller is in.
pub(crate) fn is_ending_here() -> bool {
    let ending = visit_frames(|frame, boundary| {
        let slot = frame.downcast_ref::<Slot>().filter(|_| !boundary);
        let Some(slot) = slot else { return ControlFlow::Break(None) };
        match (slot.node(), slot.kind) {
            (Some(node), Kind::Timeout) if node.is_asking() => ControlFlow::Break(Some(true)),
            (node, Kind::Body | Kind::Region) => {
                ControlFlow::Break(Some(node.is_some_and(|node| node.is_asking())))
            }
            _ => ControlFlow::Continue(()),
        }
    });
    ending.flatten().unwrap_or_else(|| stepped_task().is_some_and(|task| task.is_ending()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Case scope_overflow: the group is polling or dropping children, and is not polled itself.
    #[test]
    fn a_group_that_is_a_boundary_only_stands_where_that_was_pushed() {
        crate::run(async {
            let (outer, group, inner) =
                (Slot::new(Kind::Finally), Slot::new(Kind::Group), Slot::new(Kind::Body));
            outer.run(|| {
                group.run_children(|| {
                    inner.run(|| {
                        group.run_children(|| {
                            group.register();
                        })
                    })
                })
            });
            assert!(group.node().is_some_and(|node| node.is_in(outer.node())));
        });
    }

    #[test]
    fn a_group_that_is_polled_stands_outside_of_its_frame() {
        crate::run(async {
            let (outer, group) = (Slot::new(Kind::Finally), Slot::new(Kind::Group));
            outer.run(|| {
                group.run(|| {
                    group.run_children(|| {
                        group.register();
                    })
                })
            });
            assert!(group.node().is_some_and(|node| node.is_in(outer.node())));
        });
    }
}
