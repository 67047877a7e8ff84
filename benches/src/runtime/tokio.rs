//! tokio's current_thread scheduler, as a `LocalRuntime` and with a `LocalSet`, so that tasks need
//! not be `Send`.

use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::Runtime;

/// tokio, current_thread.
#[derive(Debug)]
pub struct Tokio;

impl Runtime for Tokio {
    const NAME: &'static str = "tokio";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("a tokio runtime");
        runtime.block_on(async { Self::spawn(main).await })
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        Joined(tokio::task::spawn_local(task))
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let send = move |value| drop(sender.send(value));
        (send, async { receiver.await.expect("a value") })
    }

    async fn from_thread(
        produce: impl FnOnce(&dyn Fn(u64)) + Send + 'static,
        mut consume: impl FnMut(u64) + 'static,
    ) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            produce(&|item| sender.send(item).expect("a receiver"));
        });
        while let Some(item) = receiver.recv().await {
            consume(item);
        }
        thread.join().expect("the producer");
    }
}

/// tokio, current_thread, with a `LocalSet`.
#[derive(Debug)]
pub struct TokioLocalSet;

impl Runtime for TokioLocalSet {
    const NAME: &'static str = "tokio LocalSet";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a tokio runtime");
        LocalSet::new().block_on(&runtime, async { Self::spawn(main).await })
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        Tokio::spawn(task)
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        Tokio::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Tokio::sleep(duration)
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        Tokio::oneshot()
    }
}

/// A join handle without its `Result`.
struct Joined<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Joined<T> {
    type Output = T;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        std::pin::Pin::new(&mut self.0)
            .poll(context)
            .map(|outcome| outcome.expect("a task that ends well"))
    }
}
