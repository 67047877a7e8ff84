//! What programs are made of, and how they come about.

use proptest::prelude::*;

type Part = Box<Program>;

#[derive(Clone, Debug)]
pub(crate) enum Program {
    Sleep(u8),
    Yield,
    Sequence(Vec<Program>),
    /// `true`: the body's cancel is passed on.
    Catch(Part, bool, Part),
    Finally(Part, Part),
    Timeout(u8, Part),
    /// The limit is moved before the body begins.
    Moved(u8, u8, Part),
    Critical(Part),
    /// The body beside a value whose destructor polls scopes.
    Guarded(Part),
    /// The body, and children.
    Group(Part, Vec<Program>),
    /// The body, which then awaits each of the children.
    Children(Part, Vec<Program>),
    /// As above, but the children make the next one each, and await it.
    Siblings(Part, Vec<Program>),
    /// The body, which then cancels the group, and children.
    Ends(Part, Vec<Program>),
    /// A task that is awaited.
    Join(Part),
    /// A task that is awaited in a limit, and if that passes once more.
    JoinTwice(u8, Part),
    /// A task that is cancelled after so long, and awaited.
    Abort(u8, Part),
    /// A task whose handle is dropped.
    Detach(Part),
    Shield(Part),
    /// Foreign combinators, of which the first drops the second, or the other way round.
    Select(Part, Part),
    TokioSelect(Part, Part),
    /// Foreign as well: a number of the parts are awaited, and the others are dropped.
    Unordered(usize, Vec<Program>),
    /// The part is dropped if it is pending after a number of polls.
    DropAfter(u8, Part),
    /// The first is polled once and kept aside, while the second runs.
    Aside(Part, Part),
    /// Another foreign one: both.
    Both(Part, Part),
    Gather(Vec<Program>),
    Race(Vec<Program>),
    CancelSelf,
    Fail,
    Panic,
}

impl Program {
    /// Whether something in it may unwind, which drops what is beside it.
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

/// How large the programs are. `PROGRAM_SIZE` asks for another size.
fn size() -> u32 {
    std::env::var("PROGRAM_SIZE").ok().and_then(|size| size.parse().ok()).unwrap_or(24)
}

/// What is done to a program while it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    Cancel,
    CancelTwice,
    CancelAll,
    /// As above, at once.
    CancelTogether,
    /// Any task or child.
    CancelOne(u8),
    Uncancel,
}

/// Blows, each after some milliseconds and so many turns.
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
