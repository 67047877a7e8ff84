//! [`LoopRuntime`]: a loop as the runtime of quinn.

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
/// Endpoints and connections are driven by tasks of this loop, which are hidden from `all_tasks`.
/// As with quinn's other runtimes, handles may travel: another thread may open streams, connect,
/// close and drop, while the loop carries the bytes. Sockets send and receive as quinn's do, in
/// batches and with segmentation offload where the system has it.
///
/// When the loop is closed, its endpoints are lost for those who still have a handle, and their
/// sockets are closed with the last handle.
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

/// The clock of a loop, for quinn, which counts in `Instant`s.
#[derive(Debug)]
struct VirtualClock {
    /// Stands for the zero of the loop's clock.
    zero: Instant,
    /// The nanoseconds at the last look on the loop's thread: other threads cannot look.
    seen: AtomicU64,
}

impl LoopRuntime {
    /// A runtime whose tasks, timers and sockets are those of this loop.
    ///
    /// Endpoints that are made before the loop runs begin when it does.
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
        // A closed loop drops the future, and with it the endpoint or connection ends.
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
