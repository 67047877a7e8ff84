//! A thread that waits for a child, and leaves it to the loop to reap.

use std::io;
use std::thread;

use asyncio_loop::{ThreadFuture, ThreadPromise};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

pub(super) fn wait(pid: Pid) -> io::Result<ThreadFuture<()>> {
    let (promise, ended) = ThreadPromise::new();
    thread::Builder::new().name(format!("asyncio_wait_{pid}")).spawn(move || {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), how).is_err_and(|error| error == Errno::INTR) {}
        promise.set_result(());
    })?;
    Ok(ended)
}
