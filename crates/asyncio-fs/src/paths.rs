//! Functions on paths: those of [`std::fs`], each one job.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::job;

/// Reads a whole file.
///
/// # Errors
///
/// As [`std::fs::read`].
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("greeting");
/// # asyncio_task::run(async {
/// asyncio_fs::write(&path, "hello").await?;
/// assert_eq!(asyncio_fs::read(&path).await?, b"hello");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::read(path)).await
}

/// Reads a whole file of text.
///
/// # Errors
///
/// As [`std::fs::read_to_string`]; `InvalidData` if it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::read_to_string(path)).await
}

/// Writes a whole file: creates it, or replaces what it held.
///
/// # Errors
///
/// As [`std::fs::write`].
///
/// # Cancel safety
///
/// A future that is dropped may leave the file unwritten, written or written in part.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    job::run(move || fs::write(path, contents)).await
}

/// Copies a file with its permissions. Returns the number of bytes.
///
/// # Errors
///
/// As [`std::fs::copy`].
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    job::run(move || fs::copy(from, to)).await
}

/// Renames a file or directory; a file that has the new name is replaced.
///
/// # Errors
///
/// As [`std::fs::rename`].
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    job::run(move || fs::rename(from, to)).await
}

/// Gives a file a second name on the same file system.
///
/// # Errors
///
/// As [`std::fs::hard_link`].
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    job::run(move || fs::hard_link(original, link)).await
}

/// Creates a symbolic link to `original`, which need not exist.
///
/// # Errors
///
/// As [`std::os::unix::fs::symlink`].
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    job::run(move || std::os::unix::fs::symlink(original, link)).await
}

/// Changes the permissions of a file or directory.
///
/// # Errors
///
/// As [`std::fs::set_permissions`].
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::set_permissions(path, permissions)).await
}

/// Whether there is something at a path; a symbolic link to nothing is nothing.
///
/// # Errors
///
/// As [`std::fs::exists`], when that cannot be found out.
#[doc(alias = "exists")]
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::exists(path)).await
}

/// The absolute path, with all symbolic links resolved.
///
/// # Errors
///
/// As [`std::fs::canonicalize`].
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::canonicalize(path)).await
}

/// Creates an empty directory.
///
/// # Errors
///
/// As [`std::fs::create_dir`].
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::create_dir(path)).await
}

/// Creates a directory and all its parents that are missing.
///
/// # Errors
///
/// As [`std::fs::create_dir_all`].
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::create_dir_all(path)).await
}

/// Size, times and permissions of a file, following symbolic links.
///
/// # Errors
///
/// As [`std::fs::metadata`].
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::metadata(path)).await
}

/// Size, times and permissions of a file or of a symbolic link itself.
///
/// # Errors
///
/// As [`std::fs::symlink_metadata`].
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::symlink_metadata(path)).await
}

/// Where a symbolic link points.
///
/// # Errors
///
/// As [`std::fs::read_link`].
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::read_link(path)).await
}

/// Removes an empty directory.
///
/// # Errors
///
/// As [`std::fs::remove_dir`].
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::remove_dir(path)).await
}

/// Removes a directory with everything in it.
///
/// # Errors
///
/// As [`std::fs::remove_dir_all`].
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::remove_dir_all(path)).await
}

/// Removes a file.
///
/// # Errors
///
/// As [`std::fs::remove_file`].
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    job::run(move || fs::remove_file(path)).await
}
