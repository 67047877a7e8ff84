//! Context variables, contexts and tokens, through the public API.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;

use asyncio_loop::{Context, ContextVar, SendContext, context_var, copy_context};

context_var! {
    static PLAIN: &'static str;
    static NUMBER: u32 = 3;
    static OTHER: u32;
    local static SHARED: Rc<RefCell<Vec<u32>>>;
    local static ON_DROP: Rc<OnDrop>;
}

/// Every test has a fresh context: test threads are reused.
fn in_fresh_context(test: impl FnOnce()) {
    Context::new().run(test);
}

// A-001
#[test]
fn get_needs_a_value_or_a_default() {
    in_fresh_context(|| {
        assert_eq!(PLAIN.try_get(), None);
        assert_eq!(PLAIN.get_or("fallback"), "fallback");
        assert_eq!(NUMBER.get(), 3);
        assert_eq!(NUMBER.get_or(4), 4);
        assert_eq!(NUMBER.with(|number| number + 1), 4);
        assert_eq!(PLAIN.try_with(|name| name.len()), None);
        NUMBER.set(5);
        assert_eq!(NUMBER.get_or(4), 5);
    });
}

// A-001
#[test]
#[should_panic(expected = "context variable `PLAIN` has no value here and no default")]
fn get_without_value_and_default_panics() {
    let _ = Context::new().run(|| PLAIN.get());
}

// A-004
#[test]
fn a_token_of_another_variable_is_refused() {
    in_fresh_context(|| {
        let token = NUMBER.set(1);
        let error = OTHER.reset(token).unwrap_err();
        assert_eq!(error.to_string(), "the token was made by `NUMBER`");
        assert_eq!((NUMBER.get(), OTHER.try_get()), (1, None));
        NUMBER.reset(error.into_token()).unwrap();
        assert_eq!(NUMBER.get(), 3);
    });
}

// A-004
#[test]
fn a_token_of_another_context_is_refused() {
    in_fresh_context(|| {
        let token = NUMBER.set(1);
        let error = copy_context().run(|| NUMBER.reset(token)).unwrap_err();
        assert_eq!(error.to_string(), "the token of `NUMBER` was made in a different context");
        let untouched = Context::new();
        let error = untouched.run(|| NUMBER.reset(error.into_token())).unwrap_err();
        assert_eq!(NUMBER.get(), 1);
        NUMBER.reset(error.into_token()).unwrap();
    });
}

// A-004: also after both copies have been written to.
#[test]
fn a_token_stays_with_its_context() {
    in_fresh_context(|| {
        let token = NUMBER.set(1);
        let copy = copy_context();
        let refused = copy.run(|| {
            OTHER.set(7);
            NUMBER.reset(token).unwrap_err()
        });
        OTHER.set(8);
        NUMBER.reset(refused.into_token()).unwrap();
        assert_eq!((NUMBER.get(), copy.get(&NUMBER)), (3, Some(1)));
    });
}

// A-005
#[test]
fn tokens_may_be_reset_out_of_order() {
    in_fresh_context(|| {
        let first = NUMBER.set(10);
        let second = NUMBER.set(20);
        assert_eq!((first.old_value(), second.old_value()), (None, Some(10)));
        NUMBER.reset(first).unwrap();
        assert_eq!(NUMBER.get(), 3);
        NUMBER.reset(second).unwrap();
        assert_eq!(NUMBER.get(), 10);
    });
}

// A-006
#[test]
fn a_guard_restores_the_old_value_at_its_end() {
    in_fresh_context(|| {
        NUMBER.set(1);
        {
            let _outer = NUMBER.set(2).scope();
            let _inner = NUMBER.set(3).scope();
            assert_eq!(NUMBER.get(), 3);
        }
        assert_eq!(NUMBER.get(), 1);
        let guard = NUMBER.set(4).scope();
        Context::new().run(|| drop(guard));
        assert_eq!(NUMBER.get(), 4, "in another context the guard does nothing");
    });
}

#[test]
fn a_token_knows_its_variable() {
    in_fresh_context(|| {
        let token = NUMBER.set(1);
        assert_eq!(token.var().name(), "NUMBER");
        assert_eq!(format!("{token:?}"), r#"Token { var: "NUMBER", .. }"#);
    });
}

// A-008
#[test]
fn a_new_context_is_empty() {
    in_fresh_context(|| {
        NUMBER.set(1);
        let empty = Context::new();
        assert!(empty.is_empty());
        assert_eq!(empty.run(|| (NUMBER.get(), PLAIN.try_get())), (3, None));
    });
}

// A-009
#[test]
fn what_run_sets_stays_in_the_context() {
    in_fresh_context(|| {
        let context = Context::new();
        context.run(|| NUMBER.set(1));
        assert_eq!(NUMBER.get(), 3);
        assert_eq!(context.run(|| NUMBER.get()), 1);
        assert_eq!((context.get(&NUMBER), context.get(&OTHER)), (Some(1), None));
        assert!(context.contains(&NUMBER) && !context.contains(&OTHER));
        assert_eq!(context.len(), 1);
        assert_eq!(format!("{context:?}"), r#"Context {"NUMBER"}"#);
    });
}

// A-010
#[test]
fn a_panic_inside_run_keeps_the_changes_and_leaves_the_context() {
    in_fresh_context(|| {
        NUMBER.set(1);
        let context = copy_context();
        let run = || {
            context.run(|| {
                NUMBER.set(2);
                panic!("on purpose");
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        assert_eq!((NUMBER.get(), context.get(&NUMBER)), (1, Some(2)));
        assert_eq!(context.run(|| NUMBER.get()), 2, "the context can be entered again");
    });
}

// A-011
#[test]
fn an_entered_context_cannot_be_entered_again() {
    let context = Context::new();
    let called = Cell::new(false);
    let nested = || Context::new().run(|| context.try_run(|| called.set(true)));
    let error = context.run(nested).unwrap_err();
    assert_eq!(error.to_string(), "cannot enter the context: it is already entered");
    assert!(!called.get());
    assert_eq!(context.try_run(|| 1), Ok(1));
}

// A-011
#[test]
#[should_panic(expected = "already entered")]
fn run_panics_in_its_own_context() {
    let context = Context::new();
    context.run(|| context.run(|| ()));
}

// A-012
#[test]
fn copies_are_independent() {
    in_fresh_context(|| {
        NUMBER.set(1);
        let copy = copy_context();
        let second = copy.copy();
        NUMBER.set(2);
        copy.run(|| NUMBER.set(3));
        assert_eq!((NUMBER.get(), copy.get(&NUMBER), second.get(&NUMBER)), (2, Some(3), Some(1)));
    });
}

#[test]
fn a_clone_is_the_same_context() {
    let context = Context::new();
    let clone = context.clone();
    clone.run(|| NUMBER.set(1));
    assert_eq!(context.get(&NUMBER), Some(1));
    assert!(context.run(|| clone.try_run(|| ())).is_err());
}

// A-013
#[test]
fn values_are_shared_between_copies() {
    in_fresh_context(|| {
        SHARED.set(Rc::default());
        let copy = copy_context();
        copy.run(|| SHARED.with(|list| list.borrow_mut().push(1)));
        assert_eq!(*SHARED.get().borrow(), [1]);
        copy.run(|| SHARED.set(Rc::default()));
        assert_eq!(*SHARED.get().borrow(), [1]);
    });
}

#[test]
fn iter_shows_what_is_bound_at_the_moment() {
    in_fresh_context(|| {
        NUMBER.set(1);
        SHARED.set(Rc::default());
        let context = copy_context();
        let bindings = context.iter();
        context.run(|| OTHER.set(2));
        let mut seen: Vec<_> = bindings.map(|b| (b.name(), b.is_local())).collect();
        seen.sort_unstable();
        assert_eq!(seen, [("NUMBER", false), ("SHARED", true)]);
        assert_eq!(context.len(), 3);
    });
}

#[test]
fn sendable_values_travel_and_local_ones_stay() {
    in_fresh_context(|| {
        NUMBER.set(1);
        SHARED.set(Rc::default());
        let travelling = SendContext::current();
        let thread = std::thread::spawn(move || {
            assert_eq!(travelling.run(|| (NUMBER.get(), SHARED.try_get().is_some())), (1, false));
            travelling.run(|| NUMBER.set(2));
            assert_eq!(travelling.run(|| NUMBER.get()), 1, "a snapshot does not change");
            assert_eq!(NUMBER.get(), 3, "the thread's own context is untouched");
            let context = travelling.to_context();
            context.run(|| NUMBER.set(5));
            context.get(&NUMBER)
        });
        assert_eq!(thread.join().unwrap(), Some(5));
        assert_eq!(NUMBER.get(), 1);
    });
}

#[test]
fn a_variable_may_be_declared_by_hand() {
    static BY_HAND: ContextVar<u8> = ContextVar::new("by hand").with_default(|| 1);
    in_fresh_context(|| {
        assert_eq!((BY_HAND.name(), BY_HAND.get()), ("by hand", 1));
        let token = BY_HAND.set(2);
        assert_eq!(BY_HAND.get(), 2);
        BY_HAND.reset(token).unwrap();
        assert_eq!(BY_HAND.get(), 1);
    });
}

/// A value whose destructor reads context variables.
struct OnDrop {
    number_at_drop: mpsc::Sender<u32>,
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.number_at_drop.send(NUMBER.get()).unwrap();
        NUMBER.set(NUMBER.get() + 1);
    }
}

#[test]
fn values_are_dropped_once_and_may_use_variables_meanwhile() {
    let (number_at_drop, drops) = mpsc::channel();
    let drops = || drops.try_iter().collect::<Vec<_>>();
    let value = || Rc::new(OnDrop { number_at_drop: number_at_drop.clone() });
    in_fresh_context(|| {
        drop(ON_DROP.set(value()));
        let token = ON_DROP.set(value());
        assert_eq!(drops(), []);
        drop(token);
        assert_eq!(drops(), [3], "dropping the second token drops the first value");
        let token = ON_DROP.set(value());
        ON_DROP.reset(token).unwrap();
        assert_eq!(drops(), [4], "the displaced value is dropped by the reset");
        let context = copy_context();
        Context::new().run(|| drop(context));
        assert_eq!(drops(), [], "the original context keeps the value");
        assert_eq!(NUMBER.get(), 5);
    });
    assert_eq!(drops(), [3], "dropping the context drops the value");
}

#[test]
fn a_thread_that_ends_drops_its_values() {
    let (number_at_drop, drops) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        ON_DROP.set(Rc::new(OnDrop { number_at_drop }));
        NUMBER.set(8);
    });
    thread.join().unwrap();
    // The thread's context is gone by then, so the destructor reads the default.
    assert_eq!(drops.iter().collect::<Vec<_>>(), [3]);
}
