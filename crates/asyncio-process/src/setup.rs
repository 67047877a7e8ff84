//! The setup of a new process between `fork` and `exec`.

use std::io;

use rustix::fs::{Mode, RawMode};
#[cfg(target_os = "linux")]
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::process::{Rlimit, geteuid, getrlimit, setrlimit, setsid, umask};

use crate::resource::Resource;
use crate::sys;

/// The value that stands for no limit.
const UNLIMITED: u64 = u64::MAX;

/// All options that [`std::process::Command`] lacks, and the user, which has to be set after the
/// limits, because the privilege to raise them ends there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) session: bool,
    pub(crate) limits: Vec<Limit>,
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) gid: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) umask: Option<u32>,
    #[cfg(target_os = "linux")]
    pub(crate) on_parent_death: Option<OnParentDeath>,
}

/// A limit on a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) resource: Resource,
    pub(crate) soft: u64,
    /// `None` leaves it as it is.
    pub(crate) hard: Option<u64>,
}

impl Setup {
    /// Whether there is nothing to set up. Then the process can be started in a cheaper way.
    pub(crate) fn is_empty(&self) -> bool {
        #[cfg(target_os = "linux")]
        if self.on_parent_death.is_some() {
            return false;
        }
        let users = [self.gid, self.uid, self.umask];
        !self.session
            && self.limits.is_empty()
            && self.groups.is_none()
            && users.iter().all(Option::is_none)
    }

    /// Whether the process may run out of memory before the machine does.
    #[cfg(feature = "pool")]
    pub(crate) fn limits_memory(&self) -> bool {
        let memory = [Resource::AddressSpace, Resource::Data];
        self.limits.iter().any(|limit| memory.contains(&limit.resource))
    }

    /// Applies the options, in the new process. It must not allocate or lock: see [`sys::prepare`].
    pub(crate) fn apply(&self) -> io::Result<()> {
        if self.session {
            setsid()?;
        }
        for limit in &self.limits {
            limit.apply()?;
        }
        self.change_user()?;
        if let Some(mask) = self.umask {
            umask(Mode::from_raw_mode(mask as RawMode));
        }
        // This comes last, because the system resets it when the user changes.
        #[cfg(target_os = "linux")]
        if let Some(on_parent_death) = &self.on_parent_death {
            on_parent_death.apply()?;
        }
        Ok(())
    }

    /// Sets the groups first, because another user may not change them any more.
    fn change_user(&self) -> io::Result<()> {
        match &self.groups {
            Some(groups) => sys::set_groups(groups)?,
            // Another user must not keep the superuser's groups.
            None if self.uid.is_some() && geteuid().is_root() => {
                sys::set_groups(&[])?;
            }
            None => {}
        }
        self.gid.map_or(Ok(()), sys::set_gid)?;
        self.uid.map_or(Ok(()), sys::set_uid)
    }
}

impl Limit {
    fn apply(self) -> io::Result<()> {
        let resource = self.resource.as_sys();
        let finite = |limit| (limit != UNLIMITED).then_some(limit);
        let maximum = self.hard.map_or_else(|| getrlimit(resource).maximum, finite);
        setrlimit(resource, Rlimit { current: finite(self.soft), maximum })?;
        Ok(())
    }
}

/// The signal that the process gets when the parent dies.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnParentDeath {
    signal: Signal,
    parent: Pid,
}

#[cfg(target_os = "linux")]
impl OnParentDeath {
    /// Makes the option. Call this in the parent.
    pub(crate) fn new(signal: Signal) -> Self {
        OnParentDeath { signal, parent: getpid() }
    }

    fn apply(self) -> io::Result<()> {
        set_parent_process_death_signal(Some(self.signal))?;
        // The parent may have died before the call.
        if getppid() == Some(self.parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    }
}
