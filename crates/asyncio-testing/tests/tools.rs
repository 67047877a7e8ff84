//! The tools that need no simulation.

use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::{Runner, create_future, create_task, run, sleep, yield_now};
use asyncio_testing::{
    Sequencer, Simulation, assert_trace, event, expect_no_reports, take_events,
    wait_all_tasks_blocked,
};

#[test]
fn all_tasks_are_blocked_after_long_chains_of_steps() {
    let body = async || {
        let promise = create_future::<()>();
        let (waiter, worker) = (
            promise.clone(),
            create_task(async {
                for _ in 0..500 {
                    yield_now().await;
                }
                event("worked");
            }),
        );
        let blocked = create_task(waiter);
        wait_all_tasks_blocked().await;
        assert_trace!["worked"];
        assert!(worker.is_done() && !blocked.is_done());
        promise.set_result(()).unwrap();
        blocked.await.unwrap().unwrap();
    };
    run(body());
    Simulation::new().seeds(50).run(body);
}

#[test]
fn several_may_wait_for_it_and_the_clock_stands_still() {
    let body = async || {
        let sleeper = create_task(sleep(Duration::from_secs(1)));
        let waiters = [1, 2, 3].map(|_| create_task(wait_all_tasks_blocked()));
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(running_loop().time().as_nanos(), 0);
        assert!(!sleeper.is_done());
    };
    Runner::builder().virtual_time(true).run(body());
    Simulation::new().seeds(50).run(body);
}

#[test]
fn a_wait_for_it_that_is_cancelled_does_not_count() {
    run(async {
        let waiter = create_task(wait_all_tasks_blocked());
        let worker = create_task(yield_now());
        yield_now().await;
        waiter.cancel();
        wait_all_tasks_blocked().await;
        assert!(waiter.is_done() && worker.is_done());
    });
}

#[test]
fn steps_come_in_their_order_under_every_schedule() {
    Simulation::new().seeds(100).run(async || {
        let sequencer = Rc::new(Sequencer::new());
        let tasks = [3, 1, 2, 0].map(|number| {
            let sequencer = Rc::clone(&sequencer);
            create_task(async move {
                let _step = sequencer.step(number).await;
                event(number.to_string());
                yield_now().await;
                event(number.to_string());
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_trace![0, 0, 1, 1, 2, 2, 3, 3];
    });
}

#[test]
#[should_panic(expected = "taken twice")]
fn a_step_has_one_task() {
    run(async {
        let sequencer = Sequencer::new();
        drop(sequencer.step(0).await);
        let _again = sequencer.step(0).await;
    });
}

#[test]
#[should_panic(expected = "a step before 2 of a sequencer was given up")]
fn a_step_that_is_given_up_breaks_the_sequencer() {
    run(async {
        let sequencer = Rc::new(Sequencer::new());
        let other = Rc::clone(&sequencer);
        let waiter = create_task(async move { drop(other.step(1).await) });
        yield_now().await;
        waiter.cancel();
        let _ = waiter.await;
        let _step = sequencer.step(2).await;
    });
}

#[test]
fn events_belong_to_their_loop() {
    run(async { event("one") });
    run(async { assert!(take_events().is_empty()) });
}

#[test]
#[should_panic(expected = "the events differ")]
fn other_events_are_a_failure() {
    run(async {
        event("two");
        assert_trace!["one"];
    });
}

#[test]
#[should_panic(expected = "no luck")]
fn a_report_is_a_failure() {
    run(async {
        let _reports = expect_no_reports();
        drop(create_task(async { panic!("no luck") }));
        yield_now().await;
    });
}

#[test]
fn reports_may_be_expected_and_the_handler_comes_back() {
    run(async {
        let handler: asyncio_loop::ExceptionHandler = Rc::new(|_, _| ());
        running_loop().set_exception_handler(Some(Rc::clone(&handler)));
        {
            let reports = expect_no_reports();
            drop(create_task(async { panic!("no luck") }));
            yield_now().await;
            assert!(reports.take()[0].contains("no luck"));
        }
        assert!(Rc::ptr_eq(&running_loop().exception_handler().unwrap(), &handler));
    });
}
