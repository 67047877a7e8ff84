//! Locks of files, between processes and between files that were opened apart.

use std::io;
use std::time::Duration;

use asyncio_task::sleep;
use rustix::fs::{FlockOperation, flock};

use super::File;
use asyncio_loop::machinery::at_await;

/// The pause after a first look at a lock that another holds.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl File {
    /// Waits until this file has the lock for itself.
    ///
    /// The lock is that of flock(2): it is advisory, it belongs to the open file, and it ends with
    /// the last handle of that or with [`unlock`](Self::unlock). The operating system can only be
    /// asked by a call that blocks, which nothing could cancel; so this looks again and again,
    /// after pauses that grow to 50 ms. It is not fair.
    ///
    /// # Errors
    ///
    /// Those of the operating system, for instance where the file system has no locks.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped does not have the lock.
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

    /// Waits until this file has the lock together with others that share it.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped does not have the lock.
    pub fn lock_shared(&self) -> impl Future<Output = io::Result<()>> {
        at_await(async move { self.lock_by(FlockOperation::NonBlockingLockShared).await })
    }

    /// Takes the lock for this file alone if nobody has it. Returns whether it did.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock).
    pub fn try_lock(&self) -> io::Result<bool> {
        self.try_lock_by(FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock together with others unless one has it alone. Returns whether it did.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock).
    pub fn try_lock_shared(&self) -> io::Result<bool> {
        self.try_lock_by(FlockOperation::NonBlockingLockShared)
    }

    /// Gives the lock back.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
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

    /// Asks here, and not by a job: a future that is dropped could leave the lock taken.
    fn try_lock_by(&self, operation: FlockOperation) -> io::Result<bool> {
        match flock(self, operation) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
