//! smol: a `LocalExecutor` under async-io's `block_on`.

use std::time::Duration;

use smol::{LocalExecutor, Task};

use super::{Runtime, channel_of_futures};

thread_local! {
    /// The thread's executor. Leaked, so that tasks can reach it as smol programs do: by reference.
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::default());
}

/// smol, with a local executor.
#[derive(Debug)]
pub struct Smol;

impl Smol {
    /// Starts a task, as smol's own handle, which can be cancelled.
    pub fn spawn_task<T: 'static>(task: impl Future<Output = T> + 'static) -> Task<T> {
        EXECUTOR.with(|executor| executor.spawn(task))
    }
}

impl Runtime for Smol {
    const NAME: &'static str = "smol";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let executor = EXECUTOR.with(|executor| *executor);
        smol::block_on(executor.run(executor.spawn(main)))
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        Self::spawn_task(task)
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        smol::future::yield_now()
    }

    async fn sleep(duration: Duration) {
        smol::Timer::after(duration).await;
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        channel_of_futures()
    }
}
