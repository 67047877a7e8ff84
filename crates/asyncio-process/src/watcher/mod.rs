//! How the loop learns that a child has ended: by a descriptor where the system has one for
//! processes, else by a thread that waits.

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
    /// By a descriptor of the process where there is one, otherwise by a thread.
    #[default]
    Auto,
    /// By a thread that waits for it.
    Thread,
}

/// Watches one child; made while that is surely there, not reaped yet.
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

    /// Waits until the child has probably ended; to be called again if it has not.
    pub(crate) async fn ended(&self) {
        match self {
            #[cfg(all(target_os = "linux", not(portable)))]
            Watch::Pidfd(pidfd) => pidfd.ended().await,
            Watch::Thread(ended) => {
                // An error means that the thread is gone: then so is the child.
                let _ = ended.clone().await;
            }
        }
    }

    /// Sends a signal if the process is known by a descriptor, which stays right after its end.
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

    /// Sends a signal to the child, never to another process that has got its number since.
    pub(crate) fn send_signal(&self, pid: Pid, signal: Signal) -> io::Result<()> {
        match self {
            #[cfg(all(target_os = "linux", not(portable)))]
            Watch::Pidfd(pidfd) => pidfd.send_signal(signal),
            Watch::Thread(_) => Ok(rustix::process::kill_process(pid, signal)?),
        }
    }
}
