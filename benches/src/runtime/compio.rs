//! compio on io_uring where the kernel has it, else on epoll.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use compio::runtime::JoinHandle;

use super::{Runtime, channel_of_futures, yield_by_hand};

/// compio.
#[derive(Debug)]
pub struct Compio;

impl Runtime for Compio {
    const NAME: &'static str = "compio";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let runtime = compio::runtime::Runtime::new().expect("a compio runtime");
        runtime.block_on(async { Self::spawn(main).await })
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        Joined(compio::runtime::spawn(task))
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        yield_by_hand()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        compio::time::sleep(duration)
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        channel_of_futures()
    }
}

/// A join handle without its `Result`.
struct Joined<T>(JoinHandle<T>);

impl<T> Future for Joined<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let joined = Pin::new(&mut self.0).poll(context);
        joined.map(|outcome| outcome.unwrap_or_else(|_| panic!("a task that ends well")))
    }
}
