//! Watching a child for its end: by a descriptor if the system has descriptors for processes
//! (pidfd), else by a thread that waits.

#[cfg(all(target_os = "linux", not(portable)))]
mod pidfd;
mod thread;

use std::io;

use asyncio_loop::{LoopRef, ThreadFuture};
use rustix::process::{Pid, Signal};

#[cfg(all(target_os = "linux", not(portable)))]
use self::pidfd::Pidfd;

/// The ways to watch a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watcher {
    /// By a descriptor of the process if the system has them, otherwise by a thread.
    #[default]
    Auto,
    /// By a thread that waits for the process.
    Thread,
}

/// Watches one child. Make it while the child exists and is not reaped.
pub(crate) enum Watch {
    #[cfg(all(target_os = "linux", not(portable)))]
    Pidfd(Pidfd),
    Thread(ThreadFuture<()>),
}

impl Watch {
    pub(crate) fn new(event_loop: &LoopRef, pid: Pid, how: Watcher) -> io::Result<Self> {
        #[cfg(all(target_os = "linux", not(portable)))]
        if how == Watcher::Auto {
            if let Ok(pidfd) = Pidfd::new(event_loop, pid) {
                return Ok(Watch::Pidfd(pidfd));
            }
        }
        let _ = (event_loop, how);
        thread::wait(pid).map(Watch::Thread)
    }

    /// Waits until the child has probably ended. Call it again if it has not.
    pub(crate) async fn ended(&self) {
        match self {
            #[cfg(all(target_os = "linux", not(portable)))]
            Watch::Pidfd(pidfd) => pidfd.ended().await,
            Watch::Thread(ended) => {
                // An error means that the thread is gone, and so is the child.
                let _ = ended.clone().await;
            }
        }
    }

    /// Sends a signal by the descriptor, if there is one, which stays valid after the end of the
    /// process.
    pub(crate) fn send_signal_by_descriptor(&self, signal: Signal) -> io::Result<()> {
        match self {
            #[cfg(all(target_os = "linux", not(portable)))]
            Watch::Pidfd(pidfd) => pidfd.send_signal(signal),
            Watch::Thread(_) => {
                let _ = signal;
                Err(rustix::io::Errno::SRCH.into())
            }
        }
    }

    /// Sends a signal to the child, never to another process that has got its ID since.
    pub(crate) fn send_signal(&self, pid: Pid, signal: Signal) -> io::Result<()> {
        match self {
            #[cfg(all(target_os = "linux", not(portable)))]
            Watch::Pidfd(pidfd) => pidfd.send_signal(signal),
            Watch::Thread(_) => Ok(rustix::process::kill_process(pid, signal)?),
        }
    }
}
