//! Tasks that wait for values and for each other.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::on_both_of_tokio;
use asyncio_benches::runtime::{Runtime, timed, timed_by_hand};
use futures_util::future::join_all;

const MANY: usize = 10_000;

fn main() {
    let contests = vec![
        on_both_of_tokio!(Contest::new("oneshot_same_task", 1), oneshot_same_task),
        on_both_of_tokio!(Contest::new("oneshot_round_trip", 1), oneshot_round_trip),
        on_both_of_tokio!(
            Contest::new("gather_10000", MANY as u64).with("floor", gather_by_hand),
            gather
        ),
        on_both_of_tokio!(
            Contest::new("join_all_10000", MANY as u64).with("floor", gather_by_hand),
            join_all_of_tasks
        ),
    ];
    run("tasks", contests);
}

/// Make a oneshot, set it, take the value, all in one task.
fn oneshot_same_task<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        for number in 0..times {
            let (send, receive) = R::oneshot();
            send(number);
            black_box(receive.await);
        }
    })
}

/// Two tasks: one sets a oneshot and awaits the answer, the other awaits the oneshot and answers.
/// Both oneshots are created anew for each round, as for a request and its reply.
fn oneshot_round_trip<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        let (mut ask, question) = R::oneshot();
        let (reply, mut answer) = R::oneshot();
        let next = Rc::new(Cell::new(None));
        let rounds = Rc::clone(&next);
        let other = R::spawn(async move {
            let (mut question, mut reply) = (question, reply);
            for _ in 0..times {
                let number = question.await;
                let (next_question, next_reply) = rounds.take().expect("the next round");
                question = next_question;
                std::mem::replace(&mut reply, next_reply)(number);
            }
        });
        for number in 0..times {
            let (next_ask, question) = R::oneshot();
            let (reply, next_answer) = R::oneshot();
            next.set(Some((question, reply)));
            std::mem::replace(&mut ask, next_ask)(number);
            black_box(std::mem::replace(&mut answer, next_answer).await);
        }
        other.await;
    })
}

/// Ten thousand coroutines run as tasks; their results are collected in order.
fn gather<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        for _ in 0..times {
            let results = R::gather((0..MANY).map(|number| async move { number })).await;
            assert_eq!(black_box(results).len(), MANY);
        }
    })
}

/// The same with the same code for all runtimes: tasks under the ecosystem's combinator.
fn join_all_of_tasks<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        for _ in 0..times {
            let results = join_all((0..MANY).map(|number| R::spawn(async move { number }))).await;
            assert_eq!(black_box(results).len(), MANY);
        }
    })
}

/// The same by hand: boxes, polls and collects each future.
fn gather_by_hand(times: u64) -> Duration {
    use std::task::{Context, Poll, Waker};

    timed_by_hand(|| {
        for _ in 0..times {
            let coroutines: Vec<_> =
                (0..MANY).map(|number| Box::pin(async move { number })).collect();
            let mut context = Context::from_waker(Waker::noop());
            let results: Vec<usize> = coroutines
                .into_iter()
                .map(|mut coroutine| match coroutine.as_mut().poll(&mut context) {
                    Poll::Ready(number) => number,
                    Poll::Pending => unreachable!("it awaits nothing"),
                })
                .collect();
            assert_eq!(black_box(results).len(), MANY);
        }
    })
}
