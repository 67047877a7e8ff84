//! File locks between processes, and between files that were opened separately.

use std::io;
use std::time::Duration;

use asyncio_task::sleep;
use rustix::fs::{FlockOperation, flock};

use super::File;
use asyncio_loop::machinery::at_await;

/// The pause after the first attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl File {
    /// Waits until this file has the exclusive lock.
    ///
    /// The lock is the one of flock(2): it is advisory, it belongs to the open file, and it ends
    /// with [`unlock`](Self::unlock) or with the last handle of the open file. The operating system
    /// can wait for a lock only in a call that blocks and cannot be cancelled. This method tries to
    /// take the lock repeatedly instead, after pauses that grow to 50 ms. The lock is not fair.
    ///
    /// # Errors
    ///
    /// The operating system's errors, for instance if the file system has no locks.
    ///
    /// # Cancel safety
    ///
    /// A dropped future does not have the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_fs::File;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("lock");
    /// # asyncio_task::run(async {
    /// let (one, other) = (File::create(&path).await?, File::open(&path).await?);
    /// one.lock().await?;
    /// assert!(!other.try_lock_shared()?);
    /// one.unlock()?;
    /// assert!(other.try_lock_shared()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn lock(&self) -> impl Future<Output = io::Result<()>> {
        at_await(async move { self.lock_by(FlockOperation::NonBlockingLockExclusive).await })
    }

    /// Waits until this file has a shared lock.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// A dropped future does not have the lock.
    pub fn lock_shared(&self) -> impl Future<Output = io::Result<()>> {
        at_await(async move { self.lock_by(FlockOperation::NonBlockingLockShared).await })
    }

    /// Takes the exclusive lock if no other open file has a lock. Returns whether it did.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock).
    pub fn try_lock(&self) -> io::Result<bool> {
        self.try_lock_by(FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes a shared lock unless another open file has the exclusive one. Returns whether it did.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock).
    pub fn try_lock_shared(&self) -> io::Result<bool> {
        self.try_lock_by(FlockOperation::NonBlockingLockShared)
    }

    /// Releases the lock.
    ///
    /// # Errors
    ///
    /// The operating system's errors.
    pub fn unlock(&self) -> io::Result<()> {
        Ok(flock(self, FlockOperation::NonBlockingUnlock)?)
    }

    async fn lock_by(&self, operation: FlockOperation) -> io::Result<()> {
        let mut pause = FIRST_PAUSE;
        while !self.try_lock_by(operation)? {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Makes the system call on this thread and not in a job: a dropped future could leave the lock
    /// taken.
    fn try_lock_by(&self, operation: FlockOperation) -> io::Result<bool> {
        match flock(self, operation) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
