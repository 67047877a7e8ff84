//! Files and directories that are removed in the end.

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir, TempPath};

use crate::{File, job};
use asyncio_loop::machinery::at_await;

/// A file without a name, for reading and writing. Nobody else can open it, and it is gone when it
/// is closed.
///
/// # Errors
///
/// Those of the operating system.
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
    at_await(async move { job::run(tempfile::tempfile).await.map(File::from_std) })
}

/// A file with a name that nobody can guess, which is removed when this is dropped.
///
/// It derefs to its [`File`]. Removing is a single system call, which dropping makes here;
/// [`close`](Self::close) leaves it to the executor and tells whether it went well.
///
/// # Examples
///
/// A file that others see complete or not at all:
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
    /// Those of the operating system.
    pub fn new() -> impl Future<Output = io::Result<Self>> {
        at_await(async move { job::run(NamedTempFile::new).await.map(Self::from_tempfile) })
    }

    /// Creates a file in a directory.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn new_in(directory: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        at_await(async move {
            let directory = directory.as_ref().to_owned();
            job::run(move || NamedTempFile::new_in(directory)).await.map(Self::from_tempfile)
        })
    }

    fn from_tempfile(file: NamedTempFile) -> Self {
        let (file, path) = file.into_parts();
        Self { file: File::from_std(file), path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the file, and gives it a name for good; a file that has the name is replaced.
    ///
    /// # Errors
    ///
    /// Those of the operating system, for instance if the name is on another file system. The file
    /// is removed then.
    pub fn persist(self, path: impl AsRef<Path>) -> impl Future<Output = io::Result<File>> {
        at_await(async move {
            let Self { mut file, path: temporary } = self;
            file.flush().await?;
            let path = path.as_ref().to_owned();
            job::run(move || temporary.persist(path).map_err(io::Error::from)).await?;
            Ok(file)
        })
    }

    /// Closes and removes the file.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
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
/// Dropping hands the work to the executor, or does it in place if no loop runs on this thread;
/// [`close`](Self::close) waits for it and tells whether it went well.
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
    /// Creates a directory in the one for temporary files.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn new() -> impl Future<Output = io::Result<Self>> {
        at_await(async move { job::run(TempDir::new).await.map(Self::from_tempfile) })
    }

    /// Creates a directory in another one.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
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

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the directory, and returns where it is.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        if let Some(directory) = self.directory.take() {
            // The path, which is known.
            let _ = directory.keep();
        }
        std::mem::take(&mut self.path)
    }

    /// Removes the directory with everything in it.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
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
