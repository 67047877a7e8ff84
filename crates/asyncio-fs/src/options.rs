//! How a file is opened.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::Location;
use std::path::Path;

use crate::{File, job};
use asyncio_loop::machinery::at_await;

/// How a file is opened: [`std::fs::OpenOptions`] with an async `open`.
///
/// # Examples
///
/// ```
/// use asyncio_fs::OpenOptions;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("log");
/// # asyncio_task::run(async {
/// let mut log = OpenOptions::new().append(true).create(true).open(&path).await?;
/// log.write_all(b"started\n").await?;
/// log.close().await?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

impl OpenOptions {
    /// No options are set.
    #[must_use]
    pub fn new() -> Self {
        Self(std::fs::OpenOptions::new())
    }

    /// Opens the file for reading.
    pub fn read(&mut self, yes: bool) -> &mut Self {
        self.0.read(yes);
        self
    }

    /// Opens the file for writing.
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.0.write(yes);
        self
    }

    /// Writes append to the end of the file.
    pub fn append(&mut self, yes: bool) -> &mut Self {
        self.0.append(yes);
        self
    }

    /// Empties a file that exists.
    pub fn truncate(&mut self, yes: bool) -> &mut Self {
        self.0.truncate(yes);
        self
    }

    /// Creates the file if it does not exist.
    pub fn create(&mut self, yes: bool) -> &mut Self {
        self.0.create(yes);
        self
    }

    /// Creates the file, and fails if it exists.
    pub fn create_new(&mut self, yes: bool) -> &mut Self {
        self.0.create_new(yes);
        self
    }

    /// The permissions of a file that is created, less the process's umask.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }

    /// More flags of open(2).
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.0.custom_flags(flags);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::OpenOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a file that was opened is closed again; a file that was created
    /// stays.
    #[track_caller]
    pub fn open(&self, path: impl AsRef<Path>) -> impl Future<Output = io::Result<File>> {
        let site = Location::caller();
        at_await(async move { self.open_at(path, site).await })
    }

    pub(crate) async fn open_at(
        &self,
        path: impl AsRef<Path>,
        site: &'static Location<'static>,
    ) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        job::run(move || options.open(path)).await.map(|file| File::made_at(file, site))
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        Self(options)
    }
}
