//! The linearizability checker.

use asyncio_testing::{History, Rng};

#[derive(Clone, Copy, Debug)]
enum Op {
    Read,
    Write(u32),
}

fn register(state: &mut u32, operation: &Op) -> u32 {
    match operation {
        Op::Read => *state,
        Op::Write(value) => {
            *state = *value;
            0
        }
    }
}

#[test]
fn an_empty_history_is_linearizable() {
    History::<Op, u32>::new().check(0, register).unwrap();
}

#[test]
fn overlapping_operations_may_come_in_any_order() {
    for seen in [1, 2] {
        let history = History::new();
        let (one, two) = (history.begin(Op::Write(1)), history.begin(Op::Write(2)));
        one.end(0);
        two.end(0);
        history.begin(Op::Read).end(seen);
        history.check(0, register).unwrap();
    }
}

#[test]
fn a_read_that_goes_back_is_found() {
    let history = History::new();
    let write = history.begin(Op::Write(1));
    history.begin(Op::Read).end(1);
    history.begin(Op::Read).end(0);
    write.end(0);
    let error = history.check(0, register).unwrap_err().to_string();
    assert!(error.contains("not linearizable") && error.contains("Read -> 1"), "{error}");
}

#[test]
fn an_operation_without_an_end_may_have_happened_or_not() {
    for seen in [0, 1] {
        let history = History::new();
        drop(history.begin(Op::Write(1)));
        history.begin(Op::Read).end(seen);
        history.check(0, register).unwrap();
    }
    let history = History::new();
    drop(history.begin(Op::Write(1)));
    history.begin(Op::Read).end(1);
    history.begin(Op::Read).end(0);
    history.check(0, register).unwrap_err();
}

/// Histories of a real register are linearizable; with one wrong result they are not.
#[test]
fn random_histories_are_judged_right() {
    for seed in 0..200 {
        let (mut rng, history, mut value) = (Rng::new(seed), History::new(), 0);
        let mut open = Vec::new();
        for number in 1..40 {
            if open.len() < 4 && rng.chance(0.6) {
                let operation = if rng.chance(0.5) { Op::Read } else { Op::Write(number) };
                open.push((history.begin(operation), operation));
            } else if !open.is_empty() {
                // The model performs each operation at the moment at which it ends.
                let (call, operation) = open.swap_remove(rng.below(open.len()));
                call.end(register(&mut value, &operation));
            }
        }
        history.check(0, register).unwrap();
        drop(open);
        history.begin(Op::Read).end(1000);
        history.check(0, register).unwrap_err();
    }
}
