//! `as_completed` as a stream, with the combinators of the `futures` crate.

mod scopes;

use asyncio_loop::{Signal, Signals, raise_signal};
use asyncio_task::*;
use futures::stream::FusedStream;
use futures::{Stream, StreamExt, TryStreamExt};
use scopes::{ms, now, run};

fn task<T: 'static>(delay: u64, value: T) -> Task<T> {
    create_task(async move {
        sleep(ms(delay)).await;
        value
    })
}

// G-029
#[test]
fn tasks_come_in_the_order_in_which_they_end() {
    run(async {
        let values: Vec<u32> = as_completed([task(30, 3), task(10, 1), task(20, 2)])
            .map(|task| task.expect("there is no limit"))
            .then(async |task| task.await.unwrap())
            .collect()
            .await;
        assert_eq!((values, now()), (vec![1, 2, 3], 30));
    });
}

// G-031, G-032
#[test]
fn a_limit_is_an_error_and_then_the_end() {
    run(async {
        let mut ended = as_completed([task(10, 1), task(50, 5)]).timeout(ms(40));
        let mut values = Vec::new();
        let error = loop {
            match ended.try_next().await {
                Ok(task) => values.push(task.expect("more to come").await.unwrap()),
                Err(error) => break error,
            }
        };
        assert_eq!((error, values, now()), (TimeoutError, vec![1], 40));
        // The stream has ended, also if the caller ignores the error, and if another task has ended
        // since.
        sleep(ms(20)).await;
        assert!(ended.is_terminated());
        assert_eq!(ended.size_hint(), (0, Some(0)));
        assert!(StreamExt::next(&mut ended).await.is_none());
        assert!(AsCompleted::next(&ended).await.is_none());
    });
}

#[test]
fn it_says_how_many_are_left() {
    run(async {
        let mut ended = as_completed([task(10, ()), task(20, ())]);
        assert_eq!(ended.size_hint(), (2, Some(2)));
        assert!(StreamExt::next(&mut ended).await.is_some());
        assert_eq!(ended.size_hint(), (1, Some(1)));
        let ended = ended.timeout(ms(100));
        assert_eq!(ended.size_hint(), (0, Some(1)));
        sleep(ms(20)).await;
        assert_eq!(ended.size_hint(), (1, Some(1)));
        assert_eq!(ended.collect::<Vec<_>>().await.len(), 1);
    });
}

#[test]
fn nothing_to_wait_for_is_an_empty_stream() {
    run(async {
        let ended = as_completed(Vec::<Task<()>>::new());
        assert!(ended.is_terminated());
        assert_eq!(ended.count().await, 0);
    });
}

#[test]
fn two_streams_in_a_select() {
    run(async {
        let left = as_completed([task(10, 1), task(30, 3)]);
        let right = as_completed([task(20, 2), task(40, 4)]);
        let both = futures::stream::select(left, right);
        let values: Vec<_> = both.then(async |task| task.unwrap().await.unwrap()).collect().await;
        assert_eq!(values, [1, 2, 3, 4]);
    });
}

#[test]
fn an_interval_is_a_stream_of_its_moments() {
    run(async {
        let start = running_loop().time();
        let mut ticks = interval(ms(10)).missed_ticks(MissedTicks::Skip);
        let moments: Vec<_> = (&mut ticks).take(3).map(|tick| tick - start).collect().await;
        assert_eq!(moments, [ms(0), ms(10), ms(20)]);
        sleep(ms(25)).await;
        assert_eq!(ticks.next().await, Some(start + ms(30)));
        assert_eq!((ticks.tick().await, now()), (start + ms(50), 50));
    });
}

#[test]
fn a_wait_for_a_tick_that_is_dropped_has_taken_none() {
    run(async {
        let start = running_loop().time();
        let mut ticks = interval(ms(10));
        ticks.next().await;
        assert!(timeout(ms(4), ticks.next()).await.is_err());
        assert_eq!(ticks.next().await, Some(start + ms(10)));
    });
}

#[test]
fn signals_are_a_stream() {
    asyncio_task::run(async {
        let mut signals = Signals::new([Signal::USR1, Signal::USR2]).unwrap();
        raise_signal(Signal::USR2).unwrap();
        assert_eq!(StreamExt::next(&mut signals).await, Some(Signal::USR2));
        raise_signal(Signal::USR1).unwrap();
        let seen: Vec<_> = signals.by_ref().take(1).collect().await;
        assert_eq!(seen, [Signal::USR1]);
        assert_eq!(signals.next_nowait(), None);
    });
}
