//! The operations that a workload needs of a runtime, and a module for each runtime.

mod asyncio;
#[cfg(feature = "peers")]
mod compio;
#[cfg(feature = "peers")]
mod glommio;
mod monoio;
mod smol;
mod tokio;

pub use self::asyncio::Asyncio;
pub use self::monoio::Monoio;
pub use self::smol::Smol;
pub use self::tokio::{Tokio, TokioLocalSet};
#[cfg(feature = "peers")]
pub use self::{compio::Compio, glommio::Glommio};

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::time::{ClockId, clock_gettime};

/// A single-threaded runtime under test. Each function uses the runtime's own way.
pub trait Runtime: 'static {
    /// The name in tables.
    const NAME: &'static str;

    /// Makes a runtime, runs `main` in it as a task, and takes the runtime down.
    fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T;

    /// Starts a task at once. The returned future waits for the task.
    fn spawn<T: 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = T> + Unpin + 'static;

    /// Yields once.
    fn yield_now() -> impl Future<Output = ()> + 'static;

    /// Sleeps for this duration.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;

    /// A oneshot: the first half sets a value, and the second half is awaited.
    fn oneshot<T>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
    where
        T: Clone + 'static;

    /// Receives the items that `produce` sends from a thread of its own, calls `consume` for each,
    /// and ends when `produce` does.
    ///
    /// Where a runtime has no channel of its own: through async-channel, which works on all of
    /// them.
    fn from_thread(
        produce: impl FnOnce(&dyn Fn(u64)) + Send + 'static,
        mut consume: impl FnMut(u64) + 'static,
    ) -> impl Future<Output = ()> + 'static {
        let (sender, receiver) = ::smol::channel::unbounded();
        let thread = std::thread::spawn(move || {
            produce(&|item| sender.try_send(item).expect("a receiver"));
        });
        async move {
            while let Ok(item) = receiver.recv().await {
                consume(item);
            }
            thread.join().expect("the producer");
        }
    }

    /// Runs all futures as tasks, and collects the results in order.
    fn gather<T: 'static, F>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<T>>
    where
        F: Future<Output = T> + 'static,
    {
        join_all(futures.map(Self::spawn))
    }
}

/// Runs `work` in a task of the runtime and says how much CPU time the thread used for it, without
/// the runtime's own coming and going.
///
/// On a quiet machine that is the time it takes; on another one it is much less disturbed.
pub fn timed<R: Runtime>(work: impl Future<Output = ()> + 'static) -> Duration {
    R::block_on(async {
        let start = thread_time();
        work.await;
        thread_time() - start
    })
}

/// Like [`timed`], for work by hand.
pub fn timed_by_hand(work: impl FnOnce()) -> Duration {
    let start = thread_time();
    work();
    thread_time() - start
}

/// Like [`timed`], for work in which other threads and processes take part: returns the elapsed
/// time.
pub fn timed_with_others<R: Runtime>(work: impl Future<Output = ()> + 'static) -> Duration {
    R::block_on(async {
        let start = Instant::now();
        work.await;
        start.elapsed()
    })
}

/// The CPU time that the calling thread has used.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of the thread");
    time.into()
}

/// A oneshot channel for runtimes that have none of their own.
fn channel_of_futures<T: 'static>() -> (impl FnOnce(T) + 'static, impl Future<Output = T> + 'static)
{
    let (sender, receiver) = futures_channel::oneshot::channel();
    let send = move |value| drop(sender.send(value));
    (send, async { receiver.await.expect("a value") })
}

/// Yields once, for runtimes without a function for it, in the way their users write it.
async fn yield_by_hand() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// As [`on_every_runtime!`](crate::on_every_runtime), and on the other scheduler that tokio has for
/// tasks of one thread.
#[macro_export]
macro_rules! on_both_of_tokio {
    ($contest:expr, $workload:ident) => {
        $crate::on_every_runtime!($contest, $workload)
            .with("tokio LocalSet", $workload::<$crate::runtime::TokioLocalSet>)
    };
}

/// Adds the same workload, a function generic over [`Runtime`], on every runtime.
#[macro_export]
macro_rules! on_every_runtime {
    ($contest:expr, $workload:ident) => {
        $crate::on_more_peers!(
            $contest
                .with("asyncio", $workload::<$crate::runtime::Asyncio>)
                .with("tokio", $workload::<$crate::runtime::Tokio>)
                .with("smol", $workload::<$crate::runtime::Smol>)
                .with("monoio", $workload::<$crate::runtime::Monoio>),
            $workload
        )
    };
}

/// The peers that only `benches/peers` builds.
#[cfg(feature = "peers")]
#[macro_export]
macro_rules! on_more_peers {
    ($contest:expr, $workload:ident) => {
        $contest
            .with("compio", $workload::<$crate::runtime::Compio>)
            .with("glommio", $workload::<$crate::runtime::Glommio>)
    };
}

/// The peers that only `benches/peers` builds: none here.
#[cfg(not(feature = "peers"))]
#[macro_export]
macro_rules! on_more_peers {
    ($contest:expr, $workload:ident) => {
        $contest
    };
}
