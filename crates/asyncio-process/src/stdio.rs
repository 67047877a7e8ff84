//! The standard streams of a child.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process;

/// The source or destination of one of a child's standard streams.
///
/// # From asyncio
///
/// `PIPE` is [`piped`](Self::piped), `DEVNULL` is [`null`](Self::null), `STDOUT` is
/// [`merged`](Self::merged), `None` is [`inherit`](Self::inherit); files and descriptors convert.
///
/// # Examples
///
/// ```
/// use asyncio_process::{Command, Stdio};
///
/// asyncio_task::run(async {
///     let command = Command::shell("echo out; echo err >&2").stdout(Stdio::piped());
///     let output = command.stderr(Stdio::merged()).output().await?;
///     assert_eq!(output.stdout, b"out\nerr\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct Stdio(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Inherit,
    Null,
    Piped,
    Merged,
    Fd(OwnedFd),
}

impl Stdio {
    /// The stream of this program, which is the default.
    #[must_use]
    pub fn inherit() -> Self {
        Stdio(Kind::Inherit)
    }

    /// The null device: reading gets the end of the stream, and written bytes are discarded.
    #[doc(alias = "DEVNULL")]
    #[must_use]
    pub fn null() -> Self {
        Stdio(Kind::Null)
    }

    /// A pipe to this program.
    #[doc(alias = "PIPE")]
    #[must_use]
    pub fn piped() -> Self {
        Stdio(Kind::Piped)
    }

    /// For standard error: the destination of standard output. For the other two this means
    /// [`inherit`](Self::inherit).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::shell("echo one; echo two >&2").stderr(Stdio::merged());
    ///     assert_eq!(command.output().await?.stdout, b"one\ntwo\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "STDOUT")]
    #[must_use]
    pub fn merged() -> Self {
        Stdio(Kind::Merged)
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Stdio(Kind::Fd(fd))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl Kind {
    /// The standard library's `Stdio` for a stream that is not merged.
    pub(crate) fn into_std(self) -> process::Stdio {
        match self {
            Kind::Inherit | Kind::Merged => process::Stdio::inherit(),
            Kind::Null => process::Stdio::null(),
            Kind::Piped => process::Stdio::piped(),
            Kind::Fd(fd) => fd.into(),
        }
    }

    /// Makes standard output and a merged standard error: returns both streams, and this program's
    /// end if it is a pipe.
    pub(crate) fn merge(self) -> io::Result<(process::Stdio, process::Stdio, Option<OwnedFd>)> {
        match self {
            Kind::Null => Ok((process::Stdio::null(), process::Stdio::null(), None)),
            Kind::Inherit | Kind::Merged => {
                let ours = io::stdout().as_fd().try_clone_to_owned()?;
                Ok((process::Stdio::inherit(), ours.into(), None))
            }
            Kind::Fd(fd) => {
                let same = fd.try_clone()?;
                Ok((fd.into(), same.into(), None))
            }
            Kind::Piped => {
                let (reader, writer) = close_on_exec_pipe()?;
                let same = writer.try_clone()?;
                Ok((writer.into(), same.into(), Some(reader)))
            }
        }
    }
}

/// A pipe whose ends no child inherits.
#[cfg(all(not(target_vendor = "apple"), not(portable)))]
fn close_on_exec_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Apple's systems make the pipe and set the close-on-exec flags in separate steps. A child that
/// another thread starts in between inherits both ends.
#[cfg(any(target_vendor = "apple", portable))]
fn close_on_exec_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::io::{FdFlags, fcntl_setfd};
    let (reader, writer) = rustix::pipe::pipe()?;
    fcntl_setfd(&reader, FdFlags::CLOEXEC)?;
    fcntl_setfd(&writer, FdFlags::CLOEXEC)?;
    Ok((reader, writer))
}
