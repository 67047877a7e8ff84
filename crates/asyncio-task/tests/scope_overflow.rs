//! Case scope_overflow: destructors poll scopes while a group is being dropped. The group then
//! steps or drops its children, and is not polled itself.

mod scopes;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use asyncio_task::*;
use scopes::{Log, ms, run, turns};

/// Makes an eager child when it is dropped.
struct SpawnOnDrop<'scope, 'env>(&'scope Scope<'scope, 'env>, Log);

impl Drop for SpawnOnDrop<'_, '_> {
    fn drop(&mut self) {
        let log = self.1.clone();
        let child = async move {
            log.add("began");
            let _ = catch_cancel(yield_now()).await;
        };
        let child = self.0.create_task_with(child, TaskOptions::new().eager_start(true));
        self.1.add(if child.task_ref().is_some() { "made" } else { "refused" });
    }
}

/// A group whose body makes a child while the group is dropped.
async fn spawns_late(log: Log) {
    scope(async |scope| {
        let _guard = SpawnOnDrop(scope, log);
        pending::<()>().await;
    })
    .await;
}

/// Polls a scope of each kind once when it is dropped.
struct PollOnDrop(Log);

fn poll_once(name: &str, log: &Log, future: impl Future) {
    let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    log.add(format!("{name}: {}", polled.is_ready()));
}

impl Drop for PollOnDrop {
    fn drop(&mut self) {
        let log = &self.0;
        poll_once("catch_cancel", log, catch_cancel(pending::<()>()));
        poll_once("finally", log, finally(pending::<()>(), async |_| ()));
        poll_once("critical", log, critical(pending::<()>()));
        poll_once("timeout", log, timeout(ms(1), catch_cancel(pending::<()>())));
        poll_once(
            "scope",
            log,
            scope(async |s| s.create_task(catch_cancel(pending::<()>())).await),
        );
        if try_running_loop().is_ok() {
            poll_once("task", log, create_task(async {}));
        }
    }
}

/// A group whose child polls scopes while the group is dropped.
async fn polls_late(log: Log) {
    scope(async |scope| {
        drop(scope.create_task(async move {
            let _guard = PollOnDrop(log);
            pending::<()>().await;
        }));
    })
    .await;
}

const SCOPES: [&str; 6] = [
    "catch_cancel: false",
    "finally: false",
    "critical: false",
    "timeout: false",
    "scope: false",
    "task: false",
];

/// The ways in which a group is dropped.
#[derive(Clone, Copy, Debug)]
enum How {
    Cancel,
    Timeout,
    Drop,
    Close,
    Nested,
}

const ALL: [How; 5] = [How::Cancel, How::Timeout, How::Drop, How::Close, How::Nested];

fn drop_group<F: Future<Output = ()> + 'static>(how: How, group: F) {
    run(async move {
        match how {
            How::Cancel => {
                let task = create_task(group);
                turns(2).await;
                task.cancel();
                assert!(task.await.unwrap_err().is_cancelled());
            }
            How::Timeout => assert!(timeout(ms(1), group).await.is_err()),
            How::Drop => {
                let mut group = Box::pin(group);
                poll_fn(|cx| {
                    assert!(group.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                drop(group);
            }
            How::Close => {
                drop(create_task(group));
                turns(2).await;
            }
            How::Nested => {
                let task = create_task(scope(async |s| s.create_task(group).await));
                turns(3).await;
                task.cancel();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        }
    });
}

#[test]
fn a_group_that_is_dropped_refuses_children() {
    for how in ALL {
        let log = Log::default();
        drop_group(how, spawns_late(log.clone()));
        assert_eq!(log.take(), ["refused"], "{how:?}");
    }
}

#[test]
fn a_childs_destructor_may_poll_scopes() {
    for how in ALL {
        let log = Log::default();
        drop_group(how, polls_late(log.clone()));
        assert_eq!(log.take(), SCOPES, "{how:?}");
    }
}

#[test]
fn an_eager_childs_destructor_may_poll_scopes() {
    run(async {
        let log = Log::default();
        let group = scope(async |scope| {
            let guard = PollOnDrop(log.clone());
            let child = async move {
                let _guard = guard;
                pending::<()>().await;
            };
            drop(scope.create_task_with(child, TaskOptions::new().eager_start(true)));
        });
        assert!(timeout(ms(1), group).await.is_err());
        assert_eq!(log.take(), SCOPES);
    });
}
