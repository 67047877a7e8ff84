//! Shared values: conflicting borrows, and the message of the panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use asyncio_sync::Shared;

/// The message of the panic of `f`.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it collides");
    payload.downcast_ref::<String>().expect("a formatted message").clone()
}

#[test]
fn a_collision_names_both_places() {
    let shared = Shared::new(0);
    let (guard, held) = (shared.borrow_mut(), line!());
    let mut wanted = 0;
    let message = panic_of(|| {
        wanted = line!() + 1;
        drop(shared.borrow());
    });
    let file = file!();
    assert_eq!(
        message,
        format!(
            "a shared value is borrowed at {file}:{wanted} while it is borrowed mutably at \
             {file}:{held}"
        )
    );
    drop(guard);
    assert_eq!(*shared.borrow(), 0);
}

#[test]
fn the_place_named_is_that_of_a_borrow_that_is_alive() {
    let shared = Shared::new(0);
    let (first, held) = (shared.borrow(), line!());
    drop(shared.borrow());
    let second = shared.borrow();
    drop(second);
    let message = panic_of(|| shared.set(1));
    assert!(message.ends_with(&format!("while it is borrowed at {}:{held}", file!())), "{message}");
    drop(first);
    shared.set(1);
    assert_eq!(shared.get(), 1);
}

#[test]
fn closures_and_values_are_borrowed_for_a_moment() {
    let shared = Shared::new(vec![1]);
    shared.with_mut(|list| list.push(2));
    assert_eq!(shared.with(Vec::len), 2);
    assert_eq!(shared.replace(vec![]), [1, 2]);
    shared.set(vec![3]);
    assert_eq!(shared.take(), [3]);
    assert!(shared.borrow().is_empty());
    assert!(shared.try_borrow_mut().is_some());
}

#[test]
fn debug_shows_the_value_or_that_it_is_borrowed() {
    let shared = Shared::new(7);
    assert_eq!(format!("{shared:?}"), "Shared(7)");
    let _guard = shared.borrow_mut();
    assert_eq!(format!("{shared:?}"), "Shared(<borrowed>)");
}
