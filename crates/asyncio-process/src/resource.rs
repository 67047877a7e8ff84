//! Resources that can be limited.

use rustix::process as sys;

/// A resource of which a process may use a limited amount (`setrlimit(2)`): see
/// [`resource_limit`](crate::Command::resource_limit).
///
/// # From asyncio
///
/// The `RLIMIT_…` constants of Python's module `resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// The address space, in bytes: all mapped memory, used or not. Beyond the limit, allocations
    /// fail.
    #[doc(alias = "RLIMIT_AS")]
    AddressSpace,
    /// The size of a core dump, in bytes; with 0 there is none.
    #[doc(alias = "RLIMIT_CORE")]
    CoreDump,
    /// Processor time, in seconds. Beyond the limit the process gets `SIGXCPU`, which ends it by
    /// default; at the hard limit it is killed.
    #[doc(alias = "RLIMIT_CPU")]
    CpuTime,
    /// Heap and data, in bytes. Beyond the limit, allocations fail.
    #[doc(alias = "RLIMIT_DATA")]
    Data,
    /// The size of a file that is written, in bytes. Beyond the limit the process gets `SIGXFSZ`,
    /// which ends it by default.
    #[doc(alias = "RLIMIT_FSIZE")]
    FileSize,
    /// Memory that is locked against being paged out, in bytes.
    #[doc(alias = "RLIMIT_MEMLOCK")]
    LockedMemory,
    /// Open descriptors: one more than the highest number.
    #[doc(alias = "RLIMIT_NOFILE")]
    OpenFiles,
    /// Processes and threads of the *user*, including other programs. Beyond the limit, starting
    /// another one fails. The superuser is not limited.
    #[doc(alias = "RLIMIT_NPROC")]
    Processes,
    /// The stack of the main thread, in bytes. Beyond the limit the process gets `SIGSEGV`.
    #[doc(alias = "RLIMIT_STACK")]
    Stack,
}

impl Resource {
    pub(crate) fn as_sys(self) -> sys::Resource {
        match self {
            Resource::AddressSpace => sys::Resource::As,
            Resource::CoreDump => sys::Resource::Core,
            Resource::CpuTime => sys::Resource::Cpu,
            Resource::Data => sys::Resource::Data,
            Resource::FileSize => sys::Resource::Fsize,
            Resource::LockedMemory => sys::Resource::Memlock,
            Resource::OpenFiles => sys::Resource::Nofile,
            Resource::Processes => sys::Resource::Nproc,
            Resource::Stack => sys::Resource::Stack,
        }
    }
}
