//! asyncio: this project.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio::{Task, create_future, create_task, mixed};

use super::Runtime;

/// asyncio.
#[derive(Debug)]
pub struct Asyncio;

impl Runtime for Asyncio {
    const NAME: &'static str = "asyncio";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        asyncio::run(main)
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        Joined(create_task(task))
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        asyncio::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        asyncio::sleep(duration)
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        let promise = create_future();
        let setter = promise.clone();
        let send = move |value| drop(setter.set_result(value));
        (send, async { promise.await.expect("a value") })
    }

    fn gather<T: 'static, F>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<T>>
    where
        F: Future<Output = T> + 'static,
    {
        asyncio::gather(futures.collect::<Vec<_>>())
    }

    async fn from_thread(
        produce: impl FnOnce(&dyn Fn(u64)) + Send + 'static,
        mut consume: impl FnMut(u64) + 'static,
    ) {
        let queue = mixed::Queue::new();
        let items = queue.async_side();
        let thread = std::thread::spawn(move || {
            let side = queue.sync_side();
            produce(&|item| side.put(item).expect("an open queue"));
            side.shutdown();
        });
        while let Ok(item) = items.get().await {
            consume(item);
        }
        thread.join().expect("the producer");
    }
}

/// A task without the `Result`.
struct Joined<T>(Task<T>);

impl<T> Future for Joined<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.expect("a task that ends well"))
    }
}
