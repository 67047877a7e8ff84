//! Files for asyncio: `std::fs`, and aiofiles' names, over the loop's executor.
//!
//! Operating systems have no readiness for files on disks, so every operation is a job of the
//! loop's default executor: the loop goes on meanwhile. A hop to a thread and back costs some 15
//! µs, which is why a [`File`] reads and writes in pieces of up to 256 KiB, and the functions for a
//! whole file ([`read`](fn@read), [`write`](fn@write), [`copy`](fn@copy)) are one job each.
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
//! Each function has the errors of its twin in [`std::fs`]. When the executor takes no jobs any
//! more, at the end of a run, the error is of the kind `Other` and says so.
//!
//! # Cancel safety
//!
//! A job that has started cannot be stopped: a future that is dropped leaves it to its end. What
//! that means for a file, its methods say; functions on paths may or may not have had their effect.
//!
//! # From asyncio
//!
//! asyncio has no files; its programs use the package aiofiles, whose `async with aiofiles.open(…)`
//! is [`File::open`], and whose `aiofiles.os` and `aiofiles.tempfile` are functions here.
//!
//! # Features
//!
//! * `futures-core`: [`Lines`] and [`ReadDir`] are streams.
//! * `futures-io`, `tokio`: a [`File`] has the traits of these crates.
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
