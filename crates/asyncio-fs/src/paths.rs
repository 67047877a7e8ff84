//! Functions on paths: the functions of [`std::fs`], each in one job.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::job;
use asyncio_loop::machinery::at_await;

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
pub fn read(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Vec<u8>>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::read(path)).await
    })
}

/// Reads a whole file of text.
///
/// # Errors
///
/// As [`std::fs::read_to_string`]; `InvalidData` if the file is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> impl Future<Output = io::Result<String>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::read_to_string(path)).await
    })
}

/// Writes a whole file. Creates the file, or replaces its content.
///
/// # Errors
///
/// As [`std::fs::write`].
///
/// # Cancel safety
///
/// A dropped future may leave the file unwritten, written or written in part.
pub fn write(
    path: impl AsRef<Path>,
    contents: impl AsRef<[u8]>,
) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
        job::run(move || fs::write(path, contents)).await
    })
}

/// Copies a file with its permissions. Returns the number of bytes.
///
/// # Errors
///
/// As [`std::fs::copy`].
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> impl Future<Output = io::Result<u64>> {
    at_await(async move {
        let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
        job::run(move || fs::copy(from, to)).await
    })
}

/// Renames a file or directory. Replaces a file that has the new name.
///
/// # Errors
///
/// As [`std::fs::rename`].
pub fn rename(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
        job::run(move || fs::rename(from, to)).await
    })
}

/// Gives a file a second name on the same file system.
///
/// # Errors
///
/// As [`std::fs::hard_link`].
pub fn hard_link(
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
        job::run(move || fs::hard_link(original, link)).await
    })
}

/// Creates a symbolic link to `original`, which need not exist.
///
/// # Errors
///
/// As [`std::os::unix::fs::symlink`].
pub fn symlink(
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
        job::run(move || std::os::unix::fs::symlink(original, link)).await
    })
}

/// Changes the permissions of a file or directory.
///
/// # Errors
///
/// As [`std::fs::set_permissions`].
pub fn set_permissions(
    path: impl AsRef<Path>,
    permissions: Permissions,
) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::set_permissions(path, permissions)).await
    })
}

/// Whether a path exists. For a symbolic link, whether its target exists.
///
/// # Errors
///
/// As [`std::fs::exists`], if the operating system cannot tell.
#[doc(alias = "exists")]
pub fn try_exists(path: impl AsRef<Path>) -> impl Future<Output = io::Result<bool>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::exists(path)).await
    })
}

/// The absolute path, with all symbolic links resolved.
///
/// # Errors
///
/// As [`std::fs::canonicalize`].
pub fn canonicalize(path: impl AsRef<Path>) -> impl Future<Output = io::Result<PathBuf>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::canonicalize(path)).await
    })
}

/// Creates an empty directory.
///
/// # Errors
///
/// As [`std::fs::create_dir`].
pub fn create_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::create_dir(path)).await
    })
}

/// Creates a directory and all its parents that are missing.
///
/// # Errors
///
/// As [`std::fs::create_dir_all`].
pub fn create_dir_all(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::create_dir_all(path)).await
    })
}

/// Size, times and permissions of a file, following symbolic links.
///
/// # Errors
///
/// As [`std::fs::metadata`].
pub fn metadata(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Metadata>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::metadata(path)).await
    })
}

/// Size, times and permissions of a file or of a symbolic link itself.
///
/// # Errors
///
/// As [`std::fs::symlink_metadata`].
pub fn symlink_metadata(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Metadata>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::symlink_metadata(path)).await
    })
}

/// The target of a symbolic link.
///
/// # Errors
///
/// As [`std::fs::read_link`].
pub fn read_link(path: impl AsRef<Path>) -> impl Future<Output = io::Result<PathBuf>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::read_link(path)).await
    })
}

/// Removes an empty directory.
///
/// # Errors
///
/// As [`std::fs::remove_dir`].
pub fn remove_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::remove_dir(path)).await
    })
}

/// Removes a directory with everything in it.
///
/// # Errors
///
/// As [`std::fs::remove_dir_all`].
pub fn remove_dir_all(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::remove_dir_all(path)).await
    })
}

/// Removes a file.
///
/// # Errors
///
/// As [`std::fs::remove_file`].
pub fn remove_file(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let path = path.as_ref().to_owned();
        job::run(move || fs::remove_file(path)).await
    })
}
