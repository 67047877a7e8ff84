//! Directories and their entries.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{fmt, future, io};

use asyncio_loop::WrapFuture;
use asyncio_loop::machinery::at_await;

use crate::job;

/// How many entries one job reads.
const BATCH: usize = 128;

/// Lists a directory, in the order of the file system, without `.` and `..`.
///
/// # Errors
///
/// As [`std::fs::read_dir`].
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path();
/// # asyncio_task::run(async {
/// asyncio_fs::write(path.join("a"), "").await?;
/// let mut entries = asyncio_fs::read_dir(path).await?;
/// while let Some(entry) = entries.next_entry().await? {
///     assert_eq!(entry.file_name(), "a");
/// }
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[doc(alias = "listdir")]
#[doc(alias = "scandir")]
pub fn read_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<ReadDir>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        let entries = job::run(move || std::fs::read_dir(path)).await?;
        Ok(ReadDir { entries: Some(entries), read: VecDeque::new(), job: None })
    })
}

/// The entries of a directory, from [`read_dir`]. Each job reads about a hundred of them.
pub struct ReadDir {
    /// `None` at the end, and while a job reads.
    entries: Option<std::fs::ReadDir>,
    read: VecDeque<io::Result<std::fs::DirEntry>>,
    job: Option<WrapFuture<Batch>>,
}

/// The entries that a job has read. The directory is `None` if the job reached the end.
type Batch = (Option<std::fs::ReadDir>, VecDeque<io::Result<std::fs::DirEntry>>);

impl ReadDir {
    /// The next entry; `None` at the end.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no entry.
    pub fn next_entry(&mut self) -> impl Future<Output = io::Result<Option<DirEntry>>> {
        at_await(async move { future::poll_fn(|cx| self.poll_next_entry(cx)).await })
    }

    pub(crate) fn poll_next_entry(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                return Poll::Ready(entry.map(|entry| Some(DirEntry(Arc::new(entry)))));
            }
            if let Some(job) = &mut self.job {
                let batch = ready!(Pin::new(job).poll(cx));
                self.job = None;
                (self.entries, self.read) = batch?;
                continue;
            }
            let Some(entries) = self.entries.take() else { return Poll::Ready(Ok(None)) };
            self.job = Some(job::start(move || read_batch(entries)));
        }
    }
}

fn read_batch(mut entries: std::fs::ReadDir) -> Batch {
    let read: VecDeque<_> = entries.by_ref().take(BATCH).collect();
    let is_end = read.len() < BATCH;
    ((!is_end).then_some(entries), read)
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

#[cfg(feature = "futures-core")]
impl futures_core::Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_next_entry(cx).map(Result::transpose)
    }
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub struct DirEntry(Arc<std::fs::DirEntry>);

impl DirEntry {
    /// The name, without the directory.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }

    /// The path: the path of the directory, followed by the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// Size, times and permissions. For a symbolic link, those of the link itself.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::metadata`].
    pub fn metadata(&self) -> impl Future<Output = io::Result<Metadata>> {
        at_await(async move {
            let entry = Arc::clone(&self.0);
            job::run(move || entry.metadata()).await
        })
    }

    /// Whether the entry is a file, a directory or a symbolic link.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirEntry::file_type`].
    pub fn file_type(&self) -> impl Future<Output = io::Result<FileType>> {
        at_await(async move {
            let entry = Arc::clone(&self.0);
            job::run(move || entry.file_type()).await
        })
    }
}
