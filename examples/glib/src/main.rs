//! The loop as the guest of glib's main loop, which is that of GTK and GStreamer.
//!
//! ```text
//! cd examples/glib
//! cargo run
//! ```
//!
//! glib has a timer of its own, as a window has frames. It hands lines to a task of the guest,
//! whose clients talk to a server of the guest; a label, which is glib's, shows the answers. When
//! all are there, the guest ends, and with it glib's loop.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio::embedding::{Burst, Guest, shutdown_loop};
use asyncio::prelude::*;
use asyncio::{
    EventLoop, LoopRef, Queue, RunError, TaskRef, gather, open_connection, sleep, start_server,
};
use glib::{ControlFlow, IOCondition, MainContext, SourceId};

const FRAME: Duration = Duration::from_millis(5);
const LINES: u32 = 5;

/// Makes the turns of a guest, as a future of glib.
struct Host {
    guest: Guest,
    /// glib waits for it; it has to stay open until the source is gone.
    _poller: OwnedFd,
    source: Option<SourceId>,
    readable: Rc<Cell<bool>>,
    /// This future's waker, for the source.
    waker: Rc<RefCell<Waker>>,
}

impl Host {
    fn new(event_loop: &LoopRef, main: &TaskRef) -> io::Result<Self> {
        let guest = event_loop.guest().until(main);
        let poller = guest.poller()?;
        let readable = Rc::new(Cell::new(true));
        let waker = Rc::new(RefCell::new(Waker::noop().clone()));
        let (noted, woken) = (Rc::clone(&readable), Rc::clone(&waker));
        let source = glib::unix_fd_add_local(poller.as_raw_fd(), IOCondition::IN, move |_, _| {
            noted.set(true);
            woken.borrow().wake_by_ref();
            ControlFlow::Continue
        });
        Ok(Self { guest, _poller: poller, source: Some(source), readable, waker })
    }

    /// Has glib come back when it has nothing more important to do: a window is drawn first.
    fn come_back(&self) {
        let waker = self.waker.borrow().clone();
        glib::idle_add_local_once(move || waker.wake());
    }

    /// Where the poller tells of descriptors alone.
    fn come_back_for_timers(&self) {
        if cfg!(target_os = "linux") {
            return;
        }
        if let Some(timeout) = self.guest.timeout() {
            let waker = self.waker.borrow().clone();
            glib::timeout_add_local_once(timeout, move || waker.wake());
        }
    }
}

impl Future for Host {
    type Output = Result<(), RunError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let host = self.get_mut();
        host.waker.borrow_mut().clone_from(cx.waker());
        let readable = host.readable.take();
        match host.guest.burst(cx.waker(), readable)? {
            Burst::Over => return Poll::Ready(Ok(())),
            Burst::Busy => host.come_back(),
            Burst::Idle => host.come_back_for_timers(),
        }
        Poll::Pending
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(source) = self.source.take() {
            source.remove();
        }
    }
}

/// Runs a future on the loop inside of glib's, and then the loop's own end.
async fn embed<F>(event_loop: &LoopRef, main: F) -> Result<F::Output, Box<dyn Error>>
where
    F: Future<Output: 'static> + 'static,
{
    let main = event_loop.create_task(main)?;
    Host::new(event_loop, main.task_ref())?.await?;
    let output = main.await?;
    let ending = event_loop.create_task(shutdown_loop(event_loop).into_future())?;
    Host::new(event_loop, ending.task_ref())?.await?;
    Ok(output)
}

/// The guest's part: asks a server of its own for each line, all at once.
async fn ask(lines: Rc<Queue<String>>, label: Rc<RefCell<String>>) -> io::Result<()> {
    let server = start_server("127.0.0.1:0", async |mut reader, writer| {
        let line = reader.read_line().await?;
        sleep(Duration::from_millis(10)).await;
        writer.write(line.to_ascii_uppercase());
        writer.close().await
    })
    .await?;
    let address = server.local_addr()?;
    let mut asking = Vec::new();
    while let Ok(line) = lines.get().await {
        let label = Rc::clone(&label);
        asking.push(asyncio::create_task(async move {
            let (mut reader, writer) = open_connection(address).await?;
            writeln!(writer, "{line}");
            let answer = reader.read_line().await?;
            label.borrow_mut().push_str(&String::from_utf8_lossy(&answer));
            io::Result::Ok(())
        }));
    }
    for answer in gather(asking).await {
        answer.map_err(io::Error::other)??;
    }
    server.shutdown(Duration::ZERO).await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let event_loop = EventLoop::new()?;
    let (lines, label) = (Rc::new(Queue::new()), Rc::new(RefCell::new(String::new())));

    // glib's part: each frame gives the guest a line, which wakes a task of it.
    let (given, typed) = (Rc::clone(&lines), Cell::new(0));
    glib::timeout_add_local(FRAME, move || {
        let number = typed.replace(typed.get() + 1);
        if number == LINES {
            given.shutdown();
            return ControlFlow::Break;
        }
        // Refused by a queue that is full or shut down.
        let _ = given.put_nowait(format!("line {number}"));
        ControlFlow::Continue
    });

    let embedded = embed(&event_loop, ask(lines, Rc::clone(&label)));
    MainContext::default().block_on(embedded)??;
    print!("{}", label.borrow());
    assert_eq!(label.borrow().lines().count(), LINES as usize);
    Ok(())
}
