//! Pinning threads to processors.

use std::io;

/// The number of a processor.
pub(super) type Cpu = usize;

/// The processors that this thread may run on.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn allowed() -> io::Result<Vec<Cpu>> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Pins this thread to one processor.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn stay_on(cpu: Cpu) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};

    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn allowed() -> io::Result<Vec<Cpu>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system cannot pin threads"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn stay_on(_: Cpu) -> io::Result<()> {
    allowed().map(drop)
}
