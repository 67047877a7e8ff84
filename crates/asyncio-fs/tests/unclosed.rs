//! Debug mode: files that are dropped with unflushed output.
// I-006

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_fs::{File, NamedTemporaryFile, OpenOptions, temporary_file};
use asyncio_loop::{ErrorContext, LoopRef, running_loop};
use asyncio_task::Runner;
use tempfile::TempDir;

type Reports = Rc<RefCell<Vec<String>>>;

fn reports() -> Reports {
    let reports = Reports::default();
    let heard = Rc::clone(&reports);
    let handler =
        move |_: &LoopRef, context: &ErrorContext| heard.borrow_mut().push(context.to_string());
    running_loop().set_exception_handler(Some(Rc::new(handler)));
    reports
}

/// Runs a test in debug mode and virtual time.
fn run(debug: bool, test: impl AsyncFnOnce(TempDir) -> io::Result<()>) {
    let folder = TempDir::new().unwrap();
    Runner::builder().debug(debug).virtual_time(true).run(test(folder)).unwrap();
}

fn made_here(line: u32) -> String {
    format!("created at: {}:{line}:", file!())
}

#[test]
fn a_file_that_is_dropped_unflushed_is_reported_with_the_call_that_opened_it() {
    run(true, async |folder| {
        let reports = reports();
        let path = folder.path().join("log");
        let (opening, line) = (File::create(&path), line!());
        let mut file = opening.await?;
        file.write_all(b"lost").await?;
        drop(file);
        let report = reports.take().remove(0);
        let what = "a file was dropped with output that was not flushed";
        assert!(report.starts_with(what), "{report}");
        assert!(report.contains(&made_here(line)), "{report}");

        // Each way to open a file.
        let std = std::fs::File::create(&path)?;
        let (file, line) = (File::from_std(std), line!());
        let (cloning, of_clone) = (file.try_clone(), line!());
        let mut options = OpenOptions::new();
        let (opening, of_options) = (options.append(true).open(&path), line!());
        let other = folder.path().join("other");
        let (creating, of_new) = (File::create_new(&other), line!());
        let files = [cloning.await?, opening.await?, creating.await?, file];
        for (mut file, line) in files.into_iter().zip([of_clone, of_options, of_new, line]) {
            file.write_all(b"lost").await?;
            drop(file);
            let report = reports.take().remove(0);
            assert!(report.contains(&made_here(line)), "{line}: {report}");
        }
        Ok(())
    });
}

#[test]
fn a_large_write_that_is_under_way_is_reported() {
    run(true, async |folder| {
        let reports = reports();
        let mut file = File::create(folder.path().join("log")).await?;
        // The write fills a whole chunk, which becomes a job at once.
        file.write_all(&vec![0; 256 * 1024]).await?;
        drop(file);
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        Ok(())
    });
}

#[test]
fn a_file_with_nothing_to_lose_is_not_reported() {
    run(true, async |folder| {
        let reports = reports();
        let path = folder.path().join("log");
        let mut file = File::create(&path).await?;
        file.write_all(b"kept").await?;
        file.flush().await?;
        drop(file);
        let mut file = OpenOptions::new().append(true).open(&path).await?;
        file.write_all(b", too").await?;
        file.close().await?;
        let mut file = File::open(&path).await?;
        let mut text = String::new();
        file.read_to_string(&mut text).await?;
        assert_eq!(text, "kept, too");
        drop(file);
        // A read that is under way.
        let mut file = File::open(&path).await?;
        let mut byte = [0];
        {
            let mut reading = pin!(file.read(&mut byte));
            poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await;
        }
        drop(file);

        // Unflushed output of a file that is removed anyway is not reported.
        let mut file = temporary_file().await?;
        file.write_all(b"scratch").await?;
        drop(file);
        let mut file = NamedTemporaryFile::new_in(folder.path()).await?;
        file.write_all(b"scratch").await?;
        drop(file);
        assert!(reports.borrow().is_empty(), "{reports:?}");

        // A temporary file that was persisted is treated as an ordinary file.
        let file = NamedTemporaryFile::new_in(folder.path()).await?;
        let (keeping, line) = (file.persist(folder.path().join("result")), line!());
        let mut file = keeping.await?;
        file.write_all(b"lost").await?;
        drop(file);
        assert!(reports.borrow()[0].contains(&made_here(line)), "{reports:?}");
        Ok(())
    });
}

#[test]
fn without_debug_mode_nothing_is_reported() {
    run(false, async |folder| {
        let reports = reports();
        let mut file = File::create(folder.path().join("log")).await?;
        file.write_all(b"lost").await?;
        drop(file);
        assert!(reports.borrow().is_empty(), "{reports:?}");
        Ok(())
    });
}
