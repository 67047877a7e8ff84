//! Temporary files and directories, and that they are removed.

use std::rc::Rc;

use asyncio_fs::{self as fs, NamedTemporaryFile, TemporaryDirectory, temporary_file};
use asyncio_loop::{ThreadPoolExecutor, running_loop};
use asyncio_task::run;

#[test]
fn a_temporary_file_is_gone_when_it_is_dropped_closed_or_has_another_name() {
    let (dropped, closed) = run(async {
        let folder = TemporaryDirectory::new().await?;
        let mut unnamed = temporary_file().await?;
        unnamed.write_all(b"x").await?;
        unnamed.close().await?;

        let file = NamedTemporaryFile::new_in(folder.path()).await?;
        let dropped = file.path().to_owned();
        drop(file);
        assert!(!fs::try_exists(&dropped).await?);

        let file = NamedTemporaryFile::new().await?;
        let closed = file.path().to_owned();
        file.close().await?;

        let mut file = NamedTemporaryFile::new_in(folder.path()).await?;
        file.write_all(b"kept").await?;
        file.persist(folder.path().join("kept")).await?;
        assert_eq!(fs::read(folder.path().join("kept")).await?, b"kept");
        let mut entries = fs::read_dir(folder.path()).await?;
        assert_eq!(entries.next_entry().await?.unwrap().file_name(), "kept");
        assert!(entries.next_entry().await?.is_none());
        std::io::Result::Ok((folder.path().to_owned(), closed))
    })
    .unwrap();
    // The directory was dropped at the end of the run, which waits for the executor.
    assert!(!dropped.exists());
    assert!(!closed.exists());
}

#[test]
fn a_directory_may_be_kept() {
    run(async {
        let outer = TemporaryDirectory::new().await?;
        let kept = TemporaryDirectory::new_in(outer.path()).await?.keep();
        assert!(fs::try_exists(&kept).await?);
        outer.close().await?;
        assert!(!fs::try_exists(&kept).await?);
        std::io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_dropped_directory_is_removed_though_the_executor_refuses_the_job() {
    run(async {
        let directory = TemporaryDirectory::new().await?;
        let pool = Rc::new(ThreadPoolExecutor::default());
        running_loop().set_default_executor(Rc::clone(&pool));
        pool.join(None).unwrap();
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());
        std::io::Result::Ok(())
    })
    .unwrap();
}
