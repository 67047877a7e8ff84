//! The parts of programs, and strategies that generate them.

use proptest::prelude::*;

type Part = Box<Program>;

#[derive(Clone, Debug)]
pub(crate) enum Program {
    Sleep(u8),
    Yield,
    Sequence(Vec<Program>),
    /// A `catch_cancel`, and what follows it. If the flag is set, the caught request is resumed.
    Catch(Part, bool, Part),
    Finally(Part, Part),
    Timeout(u8, Part),
    /// A timeout that is rescheduled before its body begins.
    Moved(u8, u8, Part),
    Critical(Part),
    /// A body beside a value whose destructor polls scopes.
    Guarded(Part),
    /// A group: its body, and its children.
    Group(Part, Vec<Program>),
    /// A group whose body ends by awaiting each child.
    Children(Part, Vec<Program>),
    /// The same, but each child creates the next one and awaits it.
    Siblings(Part, Vec<Program>),
    /// A group whose body ends by cancelling the group.
    Ends(Part, Vec<Program>),
    /// A task that is awaited.
    Join(Part),
    /// A task that is awaited within a timeout, and awaited again if the timeout expires.
    JoinTwice(u8, Part),
    /// A task that is cancelled after some milliseconds, and awaited.
    Abort(u8, Part),
    /// A task whose handle is dropped.
    Detach(Part),
    Shield(Part),
    /// `select` of futures and of tokio: the branch that ends first drops the other one.
    Select(Part, Part),
    TokioSelect(Part, Part),
    /// A `FuturesUnordered`: awaits some of the parts, and drops the others.
    Unordered(usize, Vec<Program>),
    /// Drops the part if it is pending after a number of polls.
    DropAfter(u8, Part),
    /// Polls the first part once, and then only the second.
    Aside(Part, Part),
    /// `join` of futures.
    Both(Part, Part),
    Gather(Vec<Program>),
    Race(Vec<Program>),
    CancelSelf,
    Fail,
    Panic,
}

impl Program {
    /// Whether a part of it may panic, which drops the parts beside it.
    pub(crate) fn may_panic(&self) -> bool {
        format!("{self:?}").contains("Panic")
    }
}

pub(crate) fn programs() -> impl Strategy<Value = Program> {
    let leaf = prop_oneof![
        12 => (0..20u8).prop_map(Program::Sleep),
        4 => Just(Program::Yield),
        2 => Just(Program::CancelSelf),
        2 => Just(Program::Fail),
        1 => Just(Program::Panic),
    ];
    leaf.prop_recursive(5, size(), 3, |inner| {
        let part = || inner.clone().prop_map(Box::new);
        let parts = || prop::collection::vec(inner.clone(), 1..4);
        let waits = prop_oneof![
            2 => parts().prop_map(Program::Sequence),
            2 => (part(), any::<bool>(), part()).prop_map(|(b, p, c)| Program::Catch(b, p, c)),
            3 => (part(), part()).prop_map(|(b, c)| Program::Finally(b, c)),
            2 => (0..20u8, part()).prop_map(|(t, b)| Program::Timeout(t, b)),
            1 => (0..20u8, 0..20u8, part()).prop_map(|(t, u, b)| Program::Moved(t, u, b)),
            1 => part().prop_map(Program::Critical),
            1 => part().prop_map(Program::Guarded),
        ];
        let groups = prop_oneof![
            2 => (part(), parts()).prop_map(|(b, c)| Program::Group(b, c)),
            2 => (part(), parts()).prop_map(|(b, c)| Program::Children(b, c)),
            1 => (part(), parts()).prop_map(|(b, c)| Program::Siblings(b, c)),
            1 => (part(), parts()).prop_map(|(b, c)| Program::Ends(b, c)),
            1 => parts().prop_map(Program::Gather),
            1 => parts().prop_map(Program::Race),
        ];
        let tasks = prop_oneof![
            2 => part().prop_map(Program::Join),
            1 => (0..20u8, part()).prop_map(|(t, b)| Program::JoinTwice(t, b)),
            1 => (0..20u8, part()).prop_map(|(t, b)| Program::Abort(t, b)),
            1 => part().prop_map(Program::Detach),
            1 => part().prop_map(Program::Shield),
        ];
        let foreign = prop_oneof![
            1 => (part(), part()).prop_map(|(a, b)| Program::Select(a, b)),
            1 => (part(), part()).prop_map(|(a, b)| Program::TokioSelect(a, b)),
            1 => (0..3usize, parts()).prop_map(|(n, p)| Program::Unordered(n, p)),
            1 => (0..6u8, part()).prop_map(|(n, p)| Program::DropAfter(n, p)),
            1 => (part(), part()).prop_map(|(a, b)| Program::Aside(a, b)),
            1 => (part(), part()).prop_map(|(a, b)| Program::Both(a, b)),
        ];
        prop_oneof![4 => waits, 3 => groups, 2 => tasks, 2 => foreign]
    })
}

/// The size of the programs. `PROGRAM_SIZE` sets another size.
fn size() -> u32 {
    std::env::var("PROGRAM_SIZE").ok().and_then(|size| size.parse().ok()).unwrap_or(24)
}

/// An injected event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    Cancel,
    CancelTwice,
    CancelAll,
    /// Cancels the same tasks, by one call of `cancel_all`.
    CancelTogether,
    /// Cancels any task or child.
    CancelOne(u8),
    Uncancel,
}

/// Blows, each after a number of milliseconds and turns.
pub(crate) fn blows() -> impl Strategy<Value = Vec<(u8, u8, Blow)>> {
    let blow = prop_oneof![
        4 => Just(Blow::Cancel),
        1 => Just(Blow::CancelTwice),
        1 => Just(Blow::CancelAll),
        1 => Just(Blow::CancelTogether),
        2 => any::<u8>().prop_map(Blow::CancelOne),
        1 => Just(Blow::Uncancel),
    ];
    prop::collection::vec((0..40u8, 0..4u8, blow), 0..4)
}
