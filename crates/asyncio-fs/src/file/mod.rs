//! [`File`]: a buffered file.

mod core;
#[cfg(feature = "futures-io")]
mod futures_io;
mod lines;
mod lock;
mod read;
#[cfg(feature = "tokio")]
mod tokio_io;
mod write;

use std::fmt;
use std::fs::{Metadata, Permissions};
use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use self::core::Core;
pub use self::lines::Lines;
use crate::{OpenOptions, job};
use asyncio_loop::machinery::at_await;

/// An open file. The loop's executor reads and writes it in pieces of up to 256 KiB.
///
/// Reads read ahead, and writes are buffered: [`flush`](Self::flush) hands them to the operating
/// system, and [`sync_all`](Self::sync_all) waits until they are on the disk.
/// [`close`](Self::close) flushes as well, and returns the error if that fails. When a file is
/// dropped, its remaining output is written in the background; an error is then reported to the
/// loop's exception handler. Debug mode reports such a drop, with the place where the file was
/// opened.
///
/// A file has one position for both reading and writing, as in the operating system.
///
/// # Cancel safety
///
/// An operation that is dropped while it waits leaves its job under way. The next operation waits
/// for that job and takes over what it has read, so neither bytes nor the position are lost. An
/// error that has not been returned yet is the result of the next operation.
///
/// # Examples
///
/// ```
/// use std::io::SeekFrom;
/// use asyncio_fs::File;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("data");
/// # asyncio_task::run(async {
/// let mut file = File::options().read(true).write(true).create(true).open(&path).await?;
/// file.write_all(b"hello world").await?;
/// file.seek(SeekFrom::Start(6)).await?;
/// let mut word = String::new();
/// file.read_to_string(&mut word).await?;
/// assert_eq!(word, "world");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct File {
    core: Core,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`].
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let site = Location::caller();
        at_await(async move { OpenOptions::new().read(true).open_at(path, site).await })
    }

    /// Opens a file for writing. Creates the file, or empties one that exists.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`].
    #[track_caller]
    pub fn create(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let site = Location::caller();
        at_await(async move {
            OpenOptions::new().write(true).create(true).truncate(true).open_at(path, site).await
        })
    }

    /// Creates a file for reading and writing. Fails if the file exists.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`].
    #[track_caller]
    pub fn create_new(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let site = Location::caller();
        at_await(async move {
            OpenOptions::new().read(true).write(true).create_new(true).open_at(path, site).await
        })
    }

    /// Options for opening a file.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of the standard library.
    #[must_use]
    #[track_caller]
    pub fn from_std(file: std::fs::File) -> Self {
        Self::made_at(file, Location::caller())
    }

    pub(crate) fn made_at(file: std::fs::File, site: &'static Location<'static>) -> Self {
        Self { core: Core::new(file, Some(site)) }
    }

    /// A file that is removed when it is closed, so that losing its output is no fault.
    #[cfg(feature = "tempfile")]
    pub(crate) fn temporary(file: std::fs::File) -> Self {
        Self { core: Core::new(file, None) }
    }

    /// Makes a temporary file a file like others.
    #[cfg(feature = "tempfile")]
    pub(crate) fn persist(&mut self, site: &'static Location<'static>) {
        self.core.set_site(site);
    }

    /// Writes the remaining output, and returns the file of the standard library at this file's
    /// position.
    ///
    /// # Errors
    ///
    /// The operating system's errors from writing the remaining output. The file is closed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    /// use asyncio_fs::File;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("data");
    /// # asyncio_task::run(async {
    /// asyncio_fs::write(&path, "abc").await?;
    /// let mut file = File::open(&path).await?;
    /// file.read_exact(&mut [0]).await?;
    /// let mut rest = String::new();
    /// file.into_std().await?.read_to_string(&mut rest)?;
    /// assert_eq!(rest, "bc");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_std(mut self) -> impl Future<Output = io::Result<std::fs::File>> {
        at_await(async move {
            poll_fn(|cx| self.core.poll_settle(cx)).await?;
            let file = Arc::clone(self.core.std());
            drop(self);
            match Arc::try_unwrap(file) {
                Ok(file) => Ok(file),
                Err(shared) => shared.try_clone(),
            }
        })
    }

    /// Flushes the file, and closes it.
    ///
    /// # Errors
    ///
    /// The operating system's errors, including those of earlier writes. The file is closed even
    /// then.
    pub fn close(mut self) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            let flushed = self.flush().await;
            let file = Arc::clone(self.core.std());
            drop(self);
            job::start(move || drop(file)).await?;
            flushed
        })
    }

    /// Moves to another position. Returns the new position, counted from the start.
    ///
    /// # Errors
    ///
    /// As [`std::io::Seek::seek`], and errors of earlier writes.
    pub fn seek(&mut self, to: SeekFrom) -> impl Future<Output = io::Result<u64>> {
        at_await(async move {
            self.flush().await?;
            self.core.start_seek(to);
            poll_fn(|cx| self.core.poll_seek(cx)).await
        })
    }

    /// Moves to the start.
    ///
    /// # Errors
    ///
    /// As for [`seek`](Self::seek).
    pub fn rewind(&mut self) -> impl Future<Output = io::Result<()>> {
        at_await(async move { self.seek(SeekFrom::Start(0)).await.map(drop) })
    }

    /// The position, counted from the start.
    ///
    /// # Errors
    ///
    /// As for [`seek`](Self::seek).
    #[doc(alias = "tell")]
    pub fn stream_position(&mut self) -> impl Future<Output = io::Result<u64>> {
        at_await(async move { self.seek(SeekFrom::Current(0)).await })
    }

    /// Sets the length of the file: cuts it, or extends it with zeros. The position stays the same.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_len`], and errors of earlier writes.
    #[doc(alias = "truncate")]
    pub fn set_len(&mut self, len: u64) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            // The input that was read ahead may be beyond the new end.
            poll_fn(|cx| self.core.poll_settle(cx)).await?;
            self.run(move |file| file.set_len(len)).await
        })
    }

    /// Waits until content and metadata are on the disk.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::sync_all`], and errors of earlier writes.
    #[doc(alias = "fsync")]
    pub fn sync_all(&mut self) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            self.flush().await?;
            self.run(|file| file.sync_all()).await
        })
    }

    /// Waits until the content is on the disk, and the metadata that reading it needs.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::sync_data`], and errors of earlier writes.
    #[doc(alias = "fdatasync")]
    pub fn sync_data(&mut self) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            self.flush().await?;
            self.run(|file| file.sync_data()).await
        })
    }

    /// Size, times and permissions. They do not include output that was not flushed.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::metadata`].
    pub fn metadata(&self) -> impl Future<Output = io::Result<Metadata>> {
        at_await(async move { self.run(|file| file.metadata()).await })
    }

    /// Changes the permissions.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_permissions`].
    pub fn set_permissions(
        &self,
        permissions: Permissions,
    ) -> impl Future<Output = io::Result<()>> {
        at_await(async move { self.run(move |file| file.set_permissions(permissions)).await })
    }

    /// A second handle to the same open file, with buffers of its own. The two share one position
    /// in the operating system: flush this handle before the other one writes.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::try_clone`].
    #[track_caller]
    pub fn try_clone(&self) -> impl Future<Output = io::Result<Self>> {
        let site = Location::caller();
        at_await(async move {
            self.run(|file| file.try_clone()).await.map(|file| Self::made_at(file, site))
        })
    }

    /// The lines of the file, from the current position on.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("data");
    /// # asyncio_task::run(async {
    /// asyncio_fs::write(&path, "one\r\ntwo").await?;
    /// let mut lines = asyncio_fs::File::open(&path).await?.lines();
    /// assert_eq!(lines.next_line().await?.as_deref(), Some("one"));
    /// assert_eq!(lines.next_line().await?.as_deref(), Some("two"));
    /// assert_eq!(lines.next_line().await?, None);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn lines(self) -> Lines {
        Lines::new(self)
    }

    async fn run<T, F>(&self, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    {
        let file = Arc::clone(self.core.std());
        job::run(move || {
            let result = work(&file);
            drop(file);
            result
        })
        .await
    }
}

impl From<std::fs::File> for File {
    #[track_caller]
    fn from(file: std::fs::File) -> Self {
        Self::from_std(file)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.std().as_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(self.core.std()).finish()
    }
}
