//! Tasks: the cost to start, wake and end one.

use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::on_both_of_tokio;
use asyncio_benches::runtime::{Runtime, timed, timed_by_hand};

const MANY: usize = 1000;

fn main() {
    let contests = vec![
        on_both_of_tokio!(Contest::new("spawn_one", 1).with("floor", floor::spawn_one), spawn_one),
        on_both_of_tokio!(
            Contest::new("spawn_1000_join", MANY as u64).with("floor", floor::spawn_many),
            spawn_many
        ),
        on_both_of_tokio!(
            Contest::new("yield_among_1000", MANY as u64).with("floor", floor::yield_among),
            yield_among
        ),
    ];
    run("kernel", contests);
}

/// Start a task, wait for it.
fn spawn_one<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        for number in 0..times {
            black_box(R::spawn(async move { number }).await);
        }
    })
}

/// Start a thousand tasks, then wait for each.
fn spawn_many<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        let mut tasks = Vec::with_capacity(MANY);
        for _ in 0..times {
            tasks.extend((0..MANY).map(|number| R::spawn(async move { number })));
            for task in tasks.drain(..) {
                black_box(task.await);
            }
        }
    })
}

/// A thousand tasks that each yield a number of times.
fn yield_among<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        let yields = move || async move {
            for _ in 0..times {
                R::yield_now().await;
            }
        };
        let tasks: Vec<_> = (0..MANY).map(|_| R::spawn(yields())).collect();
        for task in tasks {
            task.await;
        }
    })
}

/// The same work by hand: boxed futures in a ring buffer, polled in turn with a waker that does
/// nothing.
mod floor {
    use super::*;

    type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

    pub(super) fn spawn_one(times: u64) -> Duration {
        let mut ready: VecDeque<Boxed<u64>> = VecDeque::with_capacity(1);
        timed_by_hand(|| {
            for number in 0..times {
                ready.push_back(Box::pin(async move { number }));
                run_all(&mut ready);
            }
        })
    }

    pub(super) fn spawn_many(times: u64) -> Duration {
        let mut ready: VecDeque<Boxed<usize>> = VecDeque::with_capacity(MANY);
        timed_by_hand(|| {
            for _ in 0..times {
                ready.extend(
                    (0..MANY).map(|number| Box::pin(async move { number }) as Boxed<usize>),
                );
                run_all(&mut ready);
            }
        })
    }

    pub(super) fn yield_among(times: u64) -> Duration {
        let mut ready: VecDeque<Boxed<()>> = VecDeque::with_capacity(MANY);
        ready.extend((0..MANY).map(|_| Box::pin(Pending(times)) as Boxed<()>));
        timed_by_hand(|| run_all(&mut ready))
    }

    fn run_all<T>(ready: &mut VecDeque<Boxed<T>>) {
        let mut context = Context::from_waker(Waker::noop());
        while let Some(mut future) = ready.pop_front() {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => drop(black_box(output)),
                Poll::Pending => ready.push_back(future),
            }
        }
    }

    /// A future that is pending a number of times.
    struct Pending(u64);

    impl Future for Pending {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
            if self.0 == 0 {
                return Poll::Ready(());
            }
            self.0 -= 1;
            Poll::Pending
        }
    }
}
