//! `as_completed` as a stream, with the combinators of the `futures` crate.

mod scopes;

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
        // Also for a loop that looks at the good ones only, or when another has ended since.
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
