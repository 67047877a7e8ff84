//! Functions accept every awaitable value, including builders that become a future at `.await`.

mod common;

use std::future::{Ready, ready};
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::{
    Runner, TaskLoopExt, TaskOptions, Timeout, catch_cancel, create_task, create_task_with,
    critical, finally, gather, race, scope, task_group, timeout, timeout_at, try_gather, wait_for,
};
use common::run;

/// A future-to-be with a keyword argument.
#[derive(Clone, Copy)]
struct Number(u8);

impl Number {
    fn plus(self, more: u8) -> Self {
        Self(self.0 + more)
    }
}

impl IntoFuture for Number {
    type Output = Result<u8, ()>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(Ok(self.0))
    }
}

const TWO: Result<u8, ()> = Ok(2);
const SECOND: Duration = Duration::from_secs(1);

fn two() -> Number {
    Number(1).plus(1)
}

#[test]
fn a_builder_runs_as_it_is() {
    assert_eq!(run(two()), TWO);
    assert_eq!(Runner::builder().build().run(two()).unwrap(), TWO);
    assert_eq!(asyncio_task::run(two()), TWO);
}

#[test]
fn a_builder_goes_wherever_a_future_goes() {
    run(async {
        assert_eq!(create_task(two()).await.unwrap(), TWO);
        assert_eq!(create_task_with(two(), TaskOptions::new()).await.unwrap(), TWO);
        assert_eq!(running_loop().create_task(two()).unwrap().await.unwrap(), TWO);
        assert_eq!(gather((two(), two())).await, (TWO, TWO));
        assert_eq!(gather([two()]).await, [TWO]);
        assert_eq!(gather(vec![two()]).await, [TWO]);
        assert_eq!(gather((0..2).map(|_| two())).await, [TWO, TWO]);
        assert_eq!(try_gather((two(), two())).await, Ok((2, 2)));
        assert_eq!(try_gather([two()]).await, Ok([2]));
        assert_eq!(race((two(), std::future::pending())).await, TWO);
        assert_eq!(race([two()]).await, TWO);
        assert_eq!(timeout(SECOND, two()).await.unwrap(), TWO);
        assert_eq!(timeout_at(running_loop().time() + SECOND, two()).await.unwrap(), TWO);
        assert_eq!(wait_for(two(), None).await.unwrap(), TWO);
        assert_eq!(Timeout::new(SECOND).run(two()).await.unwrap(), TWO);
        assert_eq!(catch_cancel(two()).await.unwrap(), TWO);
        assert_eq!(critical(two()).await, TWO);
        assert_eq!(finally(two(), async |_| ()).await, TWO);
        assert_eq!(scope(async |scope| scope.create_task(two()).await).await, TWO);
        let grouped = task_group(async |group| Ok::<_, ()>(group.create_task(two()).await));
        assert_eq!(grouped.await.unwrap(), 2);
    });
}
