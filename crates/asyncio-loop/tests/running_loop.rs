//! Which loop is the current one.

mod common;

use std::rc::Rc;

use asyncio_loop::{EventLoop, running_loop, try_running_loop};
use common::{run_ready, virtual_loop};

// L-044
#[test]
fn tasks_and_callbacks_see_their_loop() {
    let event_loop = virtual_loop();
    let inside = event_loop.run_until_complete(async { running_loop() }).unwrap();
    assert_eq!(inside, *event_loop);
    let this = event_loop.loop_ref();
    event_loop.call_soon(move || assert_eq!(running_loop(), this));
    let (this, seen) = (event_loop.loop_ref(), Rc::new(std::cell::Cell::new(false)));
    event_loop.at_turn_end({
        let seen = seen.clone();
        Rc::new(move || seen.set(running_loop() == this))
    });
    run_ready(&event_loop);
    assert!(seen.get());
}

// L-044
#[test]
fn outside_of_a_run_there_is_none() {
    let event_loop = virtual_loop();
    assert_eq!(try_running_loop().unwrap_err().to_string(), "no running event loop");
    event_loop.run_until_complete(async {}).unwrap();
    assert!(try_running_loop().is_err());
}

// L-044
#[test]
#[should_panic(expected = "no running event loop")]
fn asking_for_one_outside_panics() {
    let _ = running_loop();
}

// L-045
#[test]
fn each_thread_has_its_own() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let other = std::thread::spawn(|| {
                assert!(try_running_loop().is_err());
                let event_loop = EventLoop::new().unwrap();
                let same = event_loop.run_until_complete(async { running_loop() == *event_loop });
                same.unwrap() && try_running_loop().is_err()
            });
            assert!(other.join().unwrap());
            assert_eq!(running_loop(), *event_loop);
        })
        .unwrap();
}
