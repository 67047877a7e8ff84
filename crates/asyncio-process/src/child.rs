//! A child process from its start until it is reaped: the one place that waits for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::panic::Location;
use std::process::ExitStatus;
use std::rc::Rc;

use asyncio_loop::machinery::Wait;
use asyncio_loop::{LoopRef, Signal, TaskOptions};
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpid,
};

use crate::sys;
use crate::waiters::Waiters;
use crate::watcher::{Watch, Watcher};

/// A child, shared by its [`Process`](crate::Process) and the task that reaps it.
pub(crate) struct Child {
    pid: Pid,
    process: RefCell<std::process::Child>,
    watch: OnceCell<Watch>,
    status: Cell<Option<ExitStatus>>,
    waiters: Waiters,
    end: Cell<EndOptions>,
    /// The loop is closed, and a thread reaps the process.
    is_orphaned: Cell<bool>,
    event_loop: LoopRef,
    /// In debug mode: the data for a report that the process was not ended by the program. `None`
    /// once reported.
    made: Cell<Option<Origin>>,
}

/// The contents of a report about a process.
struct Origin {
    program: OsString,
    site: &'static Location<'static>,
}

/// The options for the end of a process and of its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndOptions {
    /// The process may outlive its owner.
    pub(crate) orphan: bool,
    /// The process leads a group, which is signalled as a whole and killed with it.
    pub(crate) group: bool,
}

impl Child {
    /// Takes ownership of a process. It is reaped as soon as it has ended, whether or not a future
    /// waits for it. If the process cannot be watched, it is killed and reaped at once.
    pub(crate) fn adopt(
        event_loop: &LoopRef,
        process: std::process::Child,
        watcher: Watcher,
        end: EndOptions,
    ) -> io::Result<Rc<Self>> {
        let child = Rc::new(Child {
            pid: Pid::from_child(&process),
            process: RefCell::new(process),
            watch: OnceCell::new(),
            status: Cell::new(None),
            waiters: Waiters::default(),
            // Kills the process unless the setup below is completed.
            end: Cell::new(EndOptions { orphan: false, ..end }),
            is_orphaned: Cell::new(false),
            event_loop: event_loop.clone(),
            made: Cell::new(None),
        });
        let reaper = Reaper(Rc::clone(&child));
        let _ = child.watch.set(Watch::new(event_loop, child.pid, watcher)?);
        let options = TaskOptions::new().name(format!("reaper of {}", child.pid)).hidden();
        event_loop.spawn(reaper.work(), options).map_err(io::Error::other)?;
        child.end.set(end);
        Ok(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Notes, in debug mode, the program and the place of the call that described it.
    pub(crate) fn made_at(&self, program: &OsStr, site: &'static Location<'static>) {
        self.made.set(Some(Origin { program: program.to_owned(), site }));
    }

    /// Reports, in debug mode, a process that runs and is about to be killed.
    fn report_killed(&self, message: &'static str) {
        let Some(Origin { program, site }) = self.made.take() else { return };
        self.event_loop.report_unclosed(message, Some(site), |context| {
            context.field("pid", self.pid()).field("program", format_args!("{program:?}"))
        });
    }

    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status.get()
    }

    /// Waits for the end. Any number of callers may wait.
    pub(crate) fn wait(&self) -> impl Future<Output = ExitStatus> {
        self.waiters.until(Wait::process(self.pid()), || self.status())
    }

    /// Signals the process. In the short time between its death and its reaping this does nothing;
    /// afterwards it is the error "no such process".
    pub(crate) fn send_signal(&self, signal: Signal) -> io::Result<()> {
        let gone = rustix::io::Errno::SRCH;
        if self.status.get().is_some() {
            return Err(gone.into());
        }
        let Some(watch) = self.watch.get() else { return Err(gone.into()) };
        if signal == Signal::KILL {
            // The program ends the process on purpose, so nothing is reported.
            self.made.set(None);
        }
        let signal = sendable(signal)?;
        let sent = if self.is_orphaned.get() {
            // Its process ID may belong to another process by now. Only a descriptor is safe.
            watch.send_signal_by_descriptor(signal)
        } else if self.end.get().group {
            // The group's ID is not reused before its leader is reaped.
            kill_process_group(self.pid, signal).map_err(io::Error::from)
        } else {
            watch.send_signal(self.pid, signal)
        };
        match sent {
            Err(error) if error.raw_os_error() == Some(gone.raw_os_error()) => Ok(()),
            result => result,
        }
    }

    /// Called when the owner was dropped. Kills the process unless it may go on; it is reaped in
    /// either case.
    pub(crate) fn release(&self) {
        if !self.end.get().orphan && !self.reap() {
            if !self.event_loop.is_closed() {
                self.report_killed("a process was dropped while it ran, and is killed");
            }
            self.kill();
        }
    }

    /// Kills the process, unless it has ended.
    pub(crate) fn kill(&self) {
        if !self.reap() {
            // The call fails only for a process that has ended.
            let _ = self.send_signal(Signal::KILL);
        }
    }

    /// Reaps the process if it has ended, and wakes the futures that wait for that.
    fn reap(&self) -> bool {
        if self.status.get().is_some() {
            return true;
        }
        if self.is_orphaned.get() {
            return false;
        }
        if self.end.get().group && self.is_zombie() {
            // Kills the rest of the group, while the ID still belongs to it.
            let _ = kill_process_group(self.pid, rustix::process::Signal::KILL);
        }
        match self.process.borrow_mut().try_wait() {
            Ok(None) => return false,
            Ok(status) => self.status.set(status),
            Err(error) => self.status.set(Some(lost_status(self.pid(), &error))),
        }
        self.waiters.wake_all();
        true
    }

    fn is_zombie(&self) -> bool {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.pid), how), Ok(Some(_)))
    }

    /// Starts a thread that reaps the process, which outlives its loop; otherwise it would be a
    /// zombie after its end.
    fn leave_to_a_thread(&self) {
        self.is_orphaned.set(true);
        let pid = self.pid;
        let reap = move || {
            // The call fails only if other code of the program has reaped the process.
            while waitpid(Some(pid), WaitOptions::empty()).is_err_and(|error| error == Errno::INTR)
            {
            }
        };
        let thread = std::thread::Builder::new().name(format!("asyncio_reap_{pid}"));
        if let Err(error) = thread.stack_size(64 * 1024).spawn(reap) {
            log::warn!(target: "asyncio", "process {pid} will be a zombie after its end: {error}");
        }
    }

    /// Kills the process and blocks until it has ended, which takes microseconds.
    fn end(&self) {
        if self.end.get().group {
            let _ = kill_process_group(self.pid, rustix::process::Signal::KILL);
        }
        let mut process = self.process.borrow_mut();
        // Both calls fail only if other code of the program has reaped the process.
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// The status of a process that other code of the program has reaped.
pub(crate) fn lost_status(pid: u32, error: &io::Error) -> ExitStatus {
    log::warn!(target: "asyncio", "exit status of process {pid} is lost, taken to be 255: {error}");
    ExitStatus::from_raw(255 << 8)
}

/// The signal for a system call: named and real-time signals only.
pub(crate) fn sendable(signal: Signal) -> io::Result<rustix::process::Signal> {
    sys::signal(signal.as_raw())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("cannot send {signal}")))
}

/// A child that is released when this is dropped.
#[derive(Debug)]
pub(crate) struct Owned(pub(crate) Rc<Child>);

impl Deref for Owned {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Reaps a child when it has ended. If the loop is closed before that, the child is killed, or, if
/// it may go on, a thread waits for it.
struct Reaper(Rc<Child>);

impl Reaper {
    async fn work(self) {
        let Some(watch) = self.0.watch.get() else { return };
        loop {
            watch.ended().await;
            if self.0.reap() {
                return;
            }
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let child = &self.0;
        if child.reap() {
            return;
        }
        if child.end.get().orphan {
            return child.leave_to_a_thread();
        }
        child.report_killed("a process ran when its loop was closed, and is killed");
        child.end();
        child.reap();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid).field("status", &self.status()).finish()
    }
}
