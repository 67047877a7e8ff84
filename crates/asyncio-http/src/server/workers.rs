//! The other loops of a server.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{ThreadFuture, ThreadPromise};
use asyncio_net::{Intake, ServerAddress};
use asyncio_task::{LoopThread, gather, to_thread};

use super::builder::{MakeService, SiteOptions};

/// Loops on threads of their own.
pub(crate) struct Workers(Vec<Worker>);

struct Worker {
    thread: LoopThread,
    intake: Intake,
    stop: ThreadPromise<Duration>,
    work: ThreadFuture<io::Result<()>>,
}

impl Workers {
    pub(crate) async fn start(
        services: Vec<MakeService>,
        options: &SiteOptions,
    ) -> io::Result<Self> {
        let mut workers = Vec::new();
        for (service, number) in services.into_iter().zip(2..) {
            let thread = LoopThread::builder().name(format!("http {number}")).start()?;
            let (ready, is_ready) = ThreadPromise::new();
            let (stop, stopped) = ThreadPromise::new();
            let options = options.clone();
            let work = thread.submit(move || work(service, options, ready, stopped));
            let intake = is_ready.await.map_err(io::Error::other)?;
            workers.push(Worker { thread, intake, stop, work });
        }
        Ok(Self(workers))
    }

    pub(crate) fn intakes(&self) -> impl Iterator<Item = Intake> {
        self.0.iter().map(|worker| worker.intake.clone())
    }

    /// Finishes the requests of all loops within `grace`, and stops the threads.
    pub(crate) async fn shutdown(self, grace: Duration) {
        let (mut threads, mut works) = (Vec::new(), Vec::new());
        for worker in self.0 {
            worker.stop.set_result(grace);
            threads.push(worker.thread);
            works.push(worker.work);
        }
        gather(works).await;
        // Joining blocks.
        let _ = to_thread(move || drop(threads)).await;
    }
}

/// The main function of a worker's loop: serves the connections that it receives until it is told
/// to stop.
async fn work(
    service: MakeService,
    options: SiteOptions,
    ready: ThreadPromise<Intake>,
    stop: ThreadFuture<Duration>,
) -> io::Result<()> {
    let site = Rc::new(options.site(service()));
    let server = options.start(ServerAddress::nothing(), &site).await?;
    ready.set_result(server.intake());
    let grace = stop.await.unwrap_or_default();
    site.close();
    server.shutdown(grace).await;
    site.requests().wait_idle().await;
    Ok(())
}
