//! monoio on io_uring where the kernel has it, else on epoll.

use std::time::Duration;

use monoio::{FusionDriver, RuntimeBuilder};

use super::{Runtime, yield_by_hand};

/// monoio.
#[derive(Debug)]
pub struct Monoio;

impl Runtime for Monoio {
    const NAME: &'static str = "monoio";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let mut runtime =
            RuntimeBuilder::<FusionDriver>::new().enable_timer().build().expect("a monoio runtime");
        runtime.block_on(async { Self::spawn(main).await })
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        monoio::spawn(task)
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        yield_by_hand()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(duration)
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        let (sender, receiver) = local_sync::oneshot::channel();
        let send = move |value| drop(sender.send(value));
        (send, async { receiver.await.expect("a value") })
    }
}
