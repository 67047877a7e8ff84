//! Files for asyncio: the functions of `std::fs` and aiofiles, run by the loop's executor.
//!
//! Operating systems report no readiness for files on disks, so every operation is a job of the
//! loop's default executor, and the loop keeps running meanwhile. Handing a job to a thread and its
//! result back costs about 15 µs, which is why a [`File`] reads and writes in pieces of up to 256
//! KiB, and the functions for a whole file ([`read`](fn@read), [`write`](fn@write),
//! [`copy`](fn@copy)) are one job each.
//!
//! ```
//! use asyncio_fs as fs;
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("names.txt");
//! # asyncio_task::run(async {
//! let mut file = fs::File::create(&path).await?;
//! file.write_all(b"ann\nbob\n").await?;
//! file.close().await?;
//!
//! let mut lines = fs::File::open(&path).await?.lines();
//! let mut names = vec![];
//! while let Some(line) = lines.next_line().await? {
//!     names.push(line);
//! }
//! assert_eq!(names, ["ann", "bob"]);
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! # Errors
//!
//! Each function has the errors of the function with the same name in [`std::fs`]. At the end of a
//! run, when the executor takes no jobs any more, the error has the kind `Other` and says so.
//!
//! # Panics
//!
//! A future that starts a job panics if no loop runs on the thread that polls it.
//!
//! # Cancel safety
//!
//! A job that has started cannot be stopped: if the future is dropped, the job still runs to its
//! end. The methods of [`File`] say what that means for a file. A function on paths may or may not
//! have had its effect.
//!
//! # From asyncio
//!
//! asyncio has no files; its programs use the package aiofiles, whose `async with aiofiles.open(…)`
//! is [`File::open`], and whose `aiofiles.os` and `aiofiles.tempfile` correspond to functions of
//! this crate.
//!
//! # Features
//!
//! * `futures-core`: [`Lines`] and [`ReadDir`] are streams.
//! * `futures-io`, `tokio`: [`File`] implements the traits of these crates.
//! * `tempfile`: temporary files and directories.

#![forbid(unsafe_code)]

mod dir;
mod file;
mod job;
mod options;
mod paths;
#[cfg(feature = "tempfile")]
mod temporary;

pub use dir::{DirEntry, ReadDir, read_dir};
pub use file::{File, Lines};
pub use options::OpenOptions;
pub use paths::{
    canonicalize, copy, create_dir, create_dir_all, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, try_exists, write,
};
#[cfg(feature = "tempfile")]
pub use temporary::{NamedTemporaryFile, TemporaryDirectory, temporary_file};
