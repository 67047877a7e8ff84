//! glommio on io_uring.

use std::time::Duration;

use glommio::{LocalExecutorBuilder, Task};

use super::{Runtime, channel_of_futures};

/// glommio.
#[derive(Debug)]
pub struct Glommio;

impl Runtime for Glommio {
    const NAME: &'static str = "glommio";

    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let executor = LocalExecutorBuilder::default().make().expect("a glommio executor");
        executor.run(async { Self::spawn(main).await })
    }

    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static {
        let task: Task<T> = glommio::spawn_local(task);
        task
    }

    async fn yield_now() {
        glommio::executor().yield_now().await;
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        glommio::timer::sleep(duration)
    }

    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static,
    {
        channel_of_futures()
    }
}
