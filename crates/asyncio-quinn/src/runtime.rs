//! [`LoopRuntime`]: a loop as quinn's runtime.

use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use asyncio_loop::{LoopHandle, LoopRef, TaskOptions, try_running_loop};
use asyncio_task::create_task_with;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};

use crate::socket::Socket;
use crate::timer::Timer;

/// A loop as the runtime of [`quinn::Endpoint::new`].
///
/// Tasks of this loop drive the endpoints and connections. The tasks are hidden from `all_tasks`.
/// As with quinn's other runtimes, handles may be moved to other threads: another thread may open
/// streams, connect, close and drop, while the loop sends and receives the bytes. Like quinn's own
/// sockets, these send and receive in batches, with segmentation offload if the system supports it.
///
/// When the loop is closed, handles to its endpoints report that the endpoint is lost. An
/// endpoint's socket is closed when the last handle is dropped.
///
/// With virtual time, quinn's clock is the loop's.
///
/// # Examples
///
/// ```
/// use std::net::UdpSocket;
/// use std::sync::Arc;
/// use asyncio_quinn::LoopRuntime;
/// use asyncio_task::{run, running_loop};
/// use quinn::{Endpoint, EndpointConfig};
///
/// run(async {
///     let runtime = Arc::new(LoopRuntime::new(&running_loop()));
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     let client = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
///     client.wait_idle().await;
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoopRuntime {
    home: LoopHandle,
    virtual_clock: Option<Arc<VirtualClock>>,
}

/// The clock of a loop for quinn, which uses `Instant`s.
#[derive(Debug)]
struct VirtualClock {
    /// The `Instant` that corresponds to zero of the loop's clock.
    zero: Instant,
    /// The loop's time in nanoseconds when its thread last read it: other threads cannot read the
    /// clock.
    seen: AtomicU64,
}

impl LoopRuntime {
    /// A runtime with the tasks, timers and sockets of this loop.
    ///
    /// Endpoints that are created before the loop runs start working when it runs.
    #[must_use]
    pub fn new(event_loop: &LoopRef) -> Self {
        let clock = || {
            let time = event_loop.time().as_nanos();
            let now = Instant::now();
            let zero = now.checked_sub(Duration::from_nanos(time)).unwrap_or(now);
            Arc::new(VirtualClock { zero, seen: AtomicU64::new(time) })
        };
        let virtual_clock = event_loop.is_virtual_time().then(clock);
        Self { home: event_loop.handle(), virtual_clock }
    }
}

impl VirtualClock {
    fn now(&self, home: &LoopHandle) -> Instant {
        let running = try_running_loop().ok().filter(|_| home.is_loop_thread());
        if let Some(running) = running.filter(LoopRef::is_virtual_time) {
            self.seen.store(running.time().as_nanos(), Ordering::Relaxed);
        }
        self.zero + Duration::from_nanos(self.seen.load(Ordering::Relaxed))
    }
}

impl Runtime for LoopRuntime {
    fn new_timer(&self, when: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer::new(self.clone(), when))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let start = || drop(create_task_with(future, TaskOptions::new().hidden()));
        // A closed loop drops the future, which ends the endpoint or connection.
        let _ = self.home.call_soon_threadsafe(start);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(self.home.clone(), socket)?))
    }

    fn now(&self) -> Instant {
        match &self.virtual_clock {
            None => Instant::now(),
            Some(clock) => clock.now(&self.home),
        }
    }
}
