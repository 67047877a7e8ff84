//! Requests that are cancelled or dropped at any await: answers are not mixed up, and no connection
//! leaks.

mod common;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_http::testing::TestClient;
use asyncio_http::{App, ClientError, Path, Request, StatusCode};
use asyncio_task::{create_task, sleep, yield_now};
use common::run_in_virtual_time;
use proptest::prelude::*;

/// Each route responds with the id of its path, each in a different way.
fn app() -> App {
    App::new()
        .get("/plain/{id}", async |Path(id): Path<String>| id)
        .get("/slow/{id}", async |Path(id): Path<String>| {
            sleep(Duration::from_millis(3)).await;
            id
        })
        .get("/pieces/{id}", async |Path(id): Path<String>| {
            let pieces: Vec<_> = id.split_inclusive('-').map(str::to_owned).collect();
            asyncio_http::local_stream(futures::stream::unfold(
                pieces.into_iter(),
                async |mut pieces| {
                    sleep(Duration::from_millis(1)).await;
                    Some((Ok::<_, std::io::Error>(pieces.next()?), pieces))
                },
            ))
        })
        .get("/moved/{id}", async |Path(id): Path<String>| {
            (StatusCode::FOUND, [("location", format!("/pieces/{id}"))], "elsewhere")
        })
        .post("/echo/{id}", async |request: Request| {
            sleep(Duration::from_millis(1)).await;
            request.into_body()
        })
}

/// A request whose answer is its id.
async fn ask(client: &TestClient, kind: u8, id: &str) -> Result<(), ClientError> {
    let answer = match kind % 5 {
        0 => client.get(format!("/plain/{id}")).await?,
        1 => client.get(format!("/slow/{id}")).await?,
        2 => client.get(format!("/pieces/{id}")).await?,
        3 => client.get(format!("/moved/{id}")).await?,
        _ => client.post(format!("/echo/{id}")).body(id.to_owned()).await?,
    };
    assert_eq!(answer.text().await?, id);
    Ok(())
}

/// Drops its future after a number of polls.
struct Stopped<F> {
    future: Option<Pin<Box<F>>>,
    polls: usize,
}

impl<F: Future> Future for Stopped<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Ready(None) };
        if this.polls == 0 {
            this.future = None;
            return Poll::Ready(None);
        }
        this.polls -= 1;
        future.as_mut().poll(cx).map(Some)
    }
}

fn stop_after<F: Future>(polls: usize, future: F) -> Stopped<F> {
    Stopped { future: Some(Box::pin(future)), polls }
}

/// Asserts that the pool kept its limit, still works, and leaks no connection.
async fn check(client: &TestClient, limit: usize) {
    assert!(client.connection_count() <= limit);
    ask(client, 2, "after-all-of-that").await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(client.connection_count(), 0, "a connection is neither used nor idle");
}

#[test]
fn a_request_that_is_dropped_at_any_poll_leaves_the_pool_sound() {
    run_in_virtual_time(async || {
        let client = TestClient::with_session(app(), |session| session.limit(1));
        for kind in 0..5 {
            for polls in 0.. {
                let id = format!("{kind}-{polls}-x");
                let ended = stop_after(polls, ask(&client, kind, &id)).await;
                ask(&client, kind + 1, &format!("{id}-next")).await?;
                if let Some(result) = ended {
                    result?;
                    assert!(polls > 1, "the request waits");
                    break;
                }
            }
        }
        check(&client, 1).await;
        Ok(())
    });
}

/// The number of requests to cancel or drop. `ASYNCIO_CANCELS=100000` covers every await.
fn cancels() -> usize {
    let told = std::env::var("ASYNCIO_CANCELS").ok();
    told.map_or(1000, |text| text.parse().expect("a number"))
}

/// Ends a request at each of its awaits in turn, for each kind of request, while another request
/// completes.
#[test]
fn requests_that_end_at_every_await_beside_others_mix_up_no_answer() {
    run_in_virtual_time(async || {
        let client = TestClient::with_session(app(), |session| session.limit(2));
        let (mut kind, mut polls, mut ended) = (0, 0, 0);
        while ended < cancels() {
            let id = format!("{kind}-{polls}-{ended}");
            let other = create_task({
                let (client, id) = (client.clone(), format!("{id}-other"));
                async move { ask(&client, kind + 1, &id).await }
            });
            match stop_after(polls, ask(&client, kind, &id)).await {
                None => (ended, polls) = (ended + 1, polls + 1),
                Some(answered) => {
                    answered?;
                    (kind, polls) = ((kind + 1) % 5, 0);
                }
            }
            other.await??;
        }
        check(&client, 2).await;
        Ok(())
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Many at once, some of them cancelled and some dropped, over few connections.
    #[test]
    fn requests_that_are_cancelled_anywhere_leave_the_pool_sound(
        limit in 1_usize..4,
        requests in prop::collection::vec((0_u8..5, 0_usize..12, any::<bool>(), 0_u64..4), 1..40),
    ) {
        run_in_virtual_time(async || {
            let client = TestClient::with_session(app(), |session| session.limit(limit));
            let mut tasks = Vec::new();
            for (number, (kind, polls, drops, delay)) in requests.into_iter().enumerate() {
                let client = client.clone();
                let id = format!("{number}-{kind}-{polls}");
                let task = create_task(async move {
                    sleep(Duration::from_millis(delay)).await;
                    if drops {
                        stop_after(polls, ask(&client, kind, &id)).await.unwrap_or(Ok(()))
                    } else {
                        ask(&client, kind, &id).await
                    }
                });
                tasks.push((task, (!drops && polls < 8).then_some(polls)));
            }
            for (task, polls) in &tasks {
                if let Some(polls) = polls {
                    for _ in 0..*polls {
                        yield_now().await;
                    }
                    task.cancel();
                }
            }
            for (task, _) in tasks {
                match task.await {
                    Ok(result) => result?,
                    Err(error) => assert!(error.is_cancelled(), "{error}"),
                }
            }
            check(&client, limit).await;
            Ok(())
        });
    }
}
