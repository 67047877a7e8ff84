//! Files and directories that are removed when they are closed or dropped.

use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir, TempPath};

use crate::{File, job};
use asyncio_loop::machinery::at_await;

/// A file without a name, for reading and writing. No other program can open it, and the operating
/// system removes it when it is closed.
///
/// # Errors
///
/// The operating system's errors.
///
/// # Examples
///
/// ```
/// # asyncio_task::run(async {
/// let mut file = asyncio_fs::temporary_file().await?;
/// file.write_all(b"scratch").await?;
/// file.rewind().await?;
/// let mut text = String::new();
/// file.read_to_string(&mut text).await?;
/// assert_eq!(text, "scratch");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[doc(alias = "TemporaryFile")]
pub fn temporary_file() -> impl Future<Output = io::Result<File>> {
    at_await(async move { job::run(tempfile::tempfile).await.map(File::temporary) })
}

/// A file with an unguessable name, which is removed when this is dropped.
///
/// It derefs to its [`File`]. Dropping it removes the file with a single system call on this
/// thread; [`close`](Self::close) removes it on the executor and returns the error if that fails.
///
/// # Examples
///
/// A file that other programs see complete or not at all:
///
/// ```
/// use asyncio_fs::NamedTemporaryFile;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # asyncio_task::run(async {
/// let mut file = NamedTemporaryFile::new_in(folder.path()).await?;
/// file.write_all(b"all of it").await?;
/// file.sync_all().await?;
/// file.persist(folder.path().join("result")).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct NamedTemporaryFile {
    file: File,
    path: TempPath,
}

impl NamedTemporaryFile {
    /// Creates a file in the directory for temporary files.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    pub fn new() -> impl Future<Output = io::Result<Self>> {
        at_await(async move { job::run(NamedTempFile::new).await.map(Self::from_tempfile) })
    }

    /// Creates a file in a directory.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    pub fn new_in(directory: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        at_await(async move {
            let directory = directory.as_ref().to_owned();
            job::run(move || NamedTempFile::new_in(directory)).await.map(Self::from_tempfile)
        })
    }

    fn from_tempfile(file: NamedTempFile) -> Self {
        let (file, path) = file.into_parts();
        Self { file: File::temporary(file), path }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the file, and renames it to a permanent path. Replaces a file at that path.
    ///
    /// # Errors
    ///
    /// The operating system's errors, for instance if `path` is on another file system. The file is
    /// removed then.
    #[track_caller]
    pub fn persist(self, path: impl AsRef<Path>) -> impl Future<Output = io::Result<File>> {
        let site = Location::caller();
        at_await(async move {
            let Self { mut file, path: temporary } = self;
            file.flush().await?;
            let path = path.as_ref().to_owned();
            job::run(move || temporary.persist(path).map_err(io::Error::from)).await?;
            file.persist(site);
            Ok(file)
        })
    }

    /// Closes and removes the file.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    pub fn close(self) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            let Self { file, path } = self;
            let closed = file.close().await;
            job::run(move || path.close()).await?;
            closed
        })
    }
}

impl Deref for NamedTemporaryFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl DerefMut for NamedTemporaryFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.file
    }
}

/// A directory that is removed, with everything in it, when this is dropped.
///
/// Dropping it removes the directory on the executor, or on this thread if no loop runs on it.
/// [`close`](Self::close) waits until the directory is removed, and returns the error if that
/// fails.
///
/// # Examples
///
/// ```
/// use asyncio_fs::TemporaryDirectory;
///
/// # asyncio_task::run(async {
/// let folder = TemporaryDirectory::new().await?;
/// asyncio_fs::write(folder.path().join("a"), "1").await?;
/// let path = folder.path().to_owned();
/// folder.close().await?;
/// assert!(!asyncio_fs::try_exists(path).await?);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct TemporaryDirectory {
    /// `None` once it is being removed.
    directory: Option<TempDir>,
    path: PathBuf,
}

impl TemporaryDirectory {
    /// Creates a directory in the directory for temporary files.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    pub fn new() -> impl Future<Output = io::Result<Self>> {
        at_await(async move { job::run(TempDir::new).await.map(Self::from_tempfile) })
    }

    /// Creates a directory in another directory.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    pub fn new_in(directory: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        at_await(async move {
            let directory = directory.as_ref().to_owned();
            job::run(move || TempDir::new_in(directory)).await.map(Self::from_tempfile)
        })
    }

    fn from_tempfile(directory: TempDir) -> Self {
        let path = directory.path().to_owned();
        Self { directory: Some(directory), path }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the directory, and returns its path.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        if let Some(directory) = self.directory.take() {
            // `keep` returns the path, which is known already.
            let _ = directory.keep();
        }
        std::mem::take(&mut self.path)
    }

    /// Removes the directory with everything in it.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    pub fn close(mut self) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            match self.directory.take() {
                Some(directory) => job::run(move || directory.close()).await,
                None => Ok(()),
            }
        })
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take() {
            job::start_detached(move || drop(directory));
        }
    }
}
