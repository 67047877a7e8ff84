//! The loop embedded in a hand-written loop around `poll(2)`.
//!
//! The hand-written loop is the host, and the asyncio loop is the guest. The host has a file
//! descriptor and draws frames, like a program with a window. It passes lines from the descriptor
//! to a task of the guest, and shows the guest's answers in its frames.
//!
//! ```text
//! cargo run -p asyncio-examples --example embed_poll
//! ```

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use asyncio::embedding::{Burst, Guest, shutdown_loop};
use asyncio::prelude::*;
use asyncio::{EventLoop, LoopRef, Queue, Task, create_task, sleep};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The host's flag that the guest has work.
#[derive(Default)]
struct Due(AtomicBool);

impl Wake for Due {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The state that host and guest share. They run on one thread, so it needs no lock.
#[derive(Clone, Default)]
struct Shared {
    requests: Rc<Queue<String>>,
    answers: Rc<RefCell<Vec<String>>>,
}

/// The guest's part: each request takes a while, and they overlap.
async fn serve(shared: Shared) {
    while let Ok(request) = shared.requests.get().await {
        let answers = Rc::clone(&shared.answers);
        create_task(async move {
            sleep(Duration::from_millis(10)).await;
            answers.borrow_mut().push(format!("{request}: {} bytes", request.len()));
        });
    }
}

struct Host {
    guest: Guest,
    poller: OwnedFd,
    due: Arc<Due>,
    waker: Waker,
    input: UnixStream,
    shared: Shared,
    /// The guest's cleanup, once the input has ended and everything is answered.
    ending: Option<Task<()>>,
}

impl Host {
    fn new(event_loop: &LoopRef, input: UnixStream, shared: Shared) -> io::Result<Self> {
        input.set_nonblocking(true)?;
        let due = Arc::<Due>::default();
        let guest = event_loop.guest();
        let (poller, waker) = (guest.poller()?, Waker::from(Arc::clone(&due)));
        Ok(Self { guest, poller, due, waker, input, shared, ending: None })
    }

    fn run(mut self) -> Result<(), Box<dyn Error>> {
        let mut readable = true;
        loop {
            self.due.0.store(false, Ordering::Relaxed);
            let timeout = match self.guest.burst(&self.waker, readable)? {
                Burst::Over => return Ok(()),
                Burst::Busy => Some(Duration::ZERO),
                Burst::Idle => self.guest.timeout(),
            };
            self = self.frame()?;
            let is_due = self.due.0.load(Ordering::Relaxed);
            readable = self.wait(if is_due { Some(Duration::ZERO) } else { timeout })?;
        }
    }

    /// The host's own work: passes on input, and shows the guest's answers.
    fn frame(mut self) -> Result<Self, Box<dyn Error>> {
        let mut buffer = [0; 256];
        let ended = match self.input.read(&mut buffer) {
            Ok(0) => true,
            Ok(read) => {
                let text = String::from_utf8_lossy(&buffer[..read]);
                for line in text.lines() {
                    // This wakes a task of the guest, which sets the host's flag.
                    self.shared.requests.put_nowait(line.to_owned())?;
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => return Err(error.into()),
        };
        for answer in self.shared.answers.take() {
            println!("{answer}");
        }
        if ended && self.ending.is_none() && self.guest.event_loop().all_tasks().len() == 1 {
            let event_loop = self.guest.event_loop().clone();
            let ending = event_loop.clone().create_task(async move {
                shutdown_loop(&event_loop).await;
            })?;
            self.guest = self.guest.until(ending.task_ref());
            self.ending = Some(ending);
        }
        Ok(self)
    }

    /// Waits for the host's descriptor and the guest's. Returns whether the guest's is readable.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        let input = if self.ending.is_some() { PollFlags::empty() } else { PollFlags::IN };
        let mut descriptors =
            [PollFd::new(&self.poller, PollFlags::IN), PollFd::new(&self.input, input)];
        poll(&mut descriptors, timeout.as_ref())?;
        Ok(descriptors[0].revents().contains(PollFlags::IN))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (input, mut output) = UnixStream::pair()?;
    let typist = thread::spawn(move || -> io::Result<()> {
        for line in ["a line", "another one", "the last"] {
            writeln!(output, "{line}")?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    });
    let event_loop = EventLoop::new()?;
    let shared = Shared::default();
    let _server = event_loop.create_task(serve(shared.clone()))?;
    Host::new(&event_loop, input, shared)?.run()?;
    typist.join().expect("the typist does not panic")?;
    Ok(())
}
