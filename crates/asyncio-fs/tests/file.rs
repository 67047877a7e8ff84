//! Files: reading, writing, positions, and that a dropped future loses nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, SeekFrom};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;

use asyncio_fs::{self as fs, File};
use asyncio_loop::{ErrorContext, ThreadPoolExecutor, running_loop};
use asyncio_task::{run, yield_now};
use tempfile::TempDir;

/// Runs a test with a path of its own in an empty directory.
fn with_path<F: Future<Output = std::io::Result<()>>>(test: impl FnOnce(PathBuf) -> F) {
    let folder = TempDir::new().unwrap();
    run(test(folder.path().join("file"))).unwrap();
}

/// Bytes that depend on their position, so that shifted data is noticed.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// Polls once, and drops the future.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// Occupies the loop's only worker until the sender is dropped, so that no job of a file runs
/// before.
fn jobs_held_up() -> mpsc::Sender<()> {
    let event_loop = running_loop();
    event_loop.set_default_executor(ThreadPoolExecutor::builder().max_workers(1).build());
    let (sender, receiver) = mpsc::channel::<()>();
    event_loop.run_in_executor(None, move || receiver.recv().unwrap_err()).detach();
    sender
}

#[test]
fn what_was_written_is_read() {
    with_path(async |path| {
        let data = pattern(3_000_000);
        let mut file = File::create(&path).await?;
        for piece in data.chunks(70_001) {
            file.write_all(piece).await?;
        }
        file.close().await?;
        assert_eq!(fs::read(&path).await?, data);

        let mut file = File::open(&path).await?;
        let (mut read, mut buffer) = (vec![], [0; 4099]);
        loop {
            match file.read(&mut buffer).await? {
                0 => break,
                count => read.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(read, data);
        assert_eq!(file.read(&mut buffer).await?, 0);
        Ok(())
    });
}

#[test]
fn reading_and_writing_share_one_position() {
    with_path(async |path| {
        fs::write(&path, "hello world").await?;
        let mut file = File::options().read(true).write(true).open(&path).await?;
        let mut word = [0; 6];
        file.read_exact(&mut word).await?;
        assert_eq!(&word, b"hello ");
        file.write_all(b"there").await?;
        assert_eq!(file.stream_position().await?, 11);
        file.rewind().await?;
        let mut text = String::new();
        assert_eq!(file.read_to_string(&mut text).await?, 11);
        assert_eq!(text, "hello there");
        assert_eq!(file.seek(SeekFrom::Current(-5)).await?, 6);
        file.write_all(b"all").await?;
        file.close().await?;
        assert_eq!(fs::read_to_string(&path).await?, "hello allre");
        Ok(())
    });
}

#[test]
fn a_seek_counts_from_where_the_caller_is() {
    with_path(async |path| {
        fs::write(&path, pattern(100_000)).await?;
        let mut file = File::open(&path).await?;
        file.read_exact(&mut [0; 10]).await?;
        assert_eq!(file.seek(SeekFrom::Current(5)).await?, 15);
        let mut byte = [0];
        file.read_exact(&mut byte).await?;
        assert_eq!(byte, [15]);
        assert_eq!(file.seek(SeekFrom::End(-1)).await?, 99_999);
        let end = file.seek(SeekFrom::Current(-200_000)).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::InvalidInput);
        assert_eq!(file.stream_position().await?, 99_999);
        Ok(())
    });
}

#[test]
fn a_dropped_read_loses_nothing() {
    with_path(async |path| {
        let data = pattern(2_000_000);
        fs::write(&path, &data).await?;
        let mut file = File::open(&path).await?;
        let (mut read, mut buffer, mut turn) = (vec![], vec![0; 10_000], 0);
        while read.len() < data.len() {
            turn += 1;
            if turn % 3 == 0 {
                let mut whole = vec![];
                if let Some(count) = poll_once(file.read_to_end(&mut whole)).await {
                    assert_eq!(count?, whole.len());
                    read.append(&mut whole);
                }
            } else if let Some(count) = poll_once(file.read(&mut buffer)).await {
                read.extend_from_slice(&buffer[..count?]);
            }
            yield_now().await;
        }
        assert!(read == data);
        Ok(())
    });
}

#[test]
fn a_dropped_flush_writes_all_the_same() {
    with_path(async |path| {
        let mut file = File::create(&path).await?;
        file.write_all(b"one").await?;
        let held = jobs_held_up();
        assert!(poll_once(file.flush()).await.is_none());
        file.write_all(b"two").await?;
        assert!(poll_once(file.seek(SeekFrom::Start(0))).await.is_none());
        drop(held);
        file.flush().await?;
        assert_eq!(fs::read(&path).await?, b"onetwo");
        Ok(())
    });
}

#[test]
fn a_dropped_file_is_written_before_the_run_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    let data = pattern(1_000_000);
    run(async {
        let mut file = File::create(&path).await.unwrap();
        file.write_all(&data).await.unwrap();
    });
    assert_eq!(std::fs::read(&path).unwrap(), data);
}

#[test]
fn an_error_of_a_write_is_told_by_the_next_operation() {
    with_path(async |path| {
        fs::write(&path, "read only").await?;
        let mut file = File::open(&path).await?;
        file.write_all(b"refused").await?;
        assert!(file.flush().await.is_err());
        let mut text = String::new();
        file.read_to_string(&mut text).await?;
        assert_eq!(text, "read only");
        Ok(())
    });
}

#[test]
fn a_full_disk_is_an_error_of_close() {
    run(async {
        let mut file = File::options().write(true).open("/dev/full").await.unwrap();
        file.write_all(b"too much").await.unwrap();
        assert_eq!(file.close().await.unwrap_err().kind(), ErrorKind::StorageFull);
    });
}

/// The reports made during a run: the message, and the kind of the I/O error if there is one.
fn reports_of(test: impl AsyncFnOnce()) -> Vec<(String, Option<ErrorKind>)> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&reports);
    run(async {
        running_loop().set_exception_handler(Some(Rc::new(move |_, context: &ErrorContext| {
            let error = context.error().and_then(|error| error.downcast_ref::<io::Error>());
            log.borrow_mut().push((context.message().to_owned(), error.map(io::Error::kind)));
        })));
        test().await;
    });
    reports.take()
}

/// A file with output that was not handed to the executor yet.
async fn unflushed(path: &PathBuf) -> io::Result<File> {
    let mut file = File::from_std(std::fs::File::create(path)?);
    file.write_all(b"kept").await?;
    Ok(file)
}

#[test]
fn a_dropped_file_is_written_though_the_executor_refuses_or_cancels_the_job() {
    with_path(async |path| {
        let pool = Rc::new(ThreadPoolExecutor::builder().max_workers(1).build());
        running_loop().set_default_executor(Rc::clone(&pool));
        let (release, held) = mpsc::channel::<()>();
        pool.submit(move || held.recv().unwrap_err());

        let file = unflushed(&path).await?;
        drop(file);
        assert_eq!(std::fs::read(&path)?, b"", "it waits for its turn");
        pool.cancel_queued();
        assert_eq!(std::fs::read(&path)?, b"kept");

        let file = unflushed(&path).await?;
        drop(release);
        pool.join(None).unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path)?, b"kept");
        Ok(())
    });
}

#[test]
fn output_of_a_dropped_file_that_is_lost_is_reported_before_the_run_ends() {
    let lost =
        ("the output of a dropped file was not written".into(), Some(ErrorKind::StorageFull));
    // The output is in the file's buffer, in a job, or in both.
    for (len, flushed, more) in [(9, false, 0), (9, true, 0), (9, true, 9), (700_000, true, 9)] {
        let reports = reports_of(async || {
            let mut file = File::options().write(true).open("/dev/full").await.unwrap();
            let _held = jobs_held_up();
            let _ = poll_once(file.write_all(&pattern(len))).await;
            if flushed {
                let _ = poll_once(file.flush()).await;
            }
            if more > 0 {
                let _ = poll_once(file.write(&pattern(more))).await;
            }
        });
        assert_eq!(reports, std::slice::from_ref(&lost), "{len} bytes, {flushed}, {more}");
    }
}

#[test]
fn a_dropped_file_that_has_lost_nothing_is_not_reported() {
    let folder = TempDir::new().unwrap();
    let reports = reports_of(async || {
        let mut directory = File::open(folder.path()).await.unwrap();
        let held = jobs_held_up();
        assert!(poll_once(directory.read(&mut [0])).await.is_none(), "it will fail");
        drop(directory);
        drop(held);
        let mut full = File::options().write(true).open("/dev/full").await.unwrap();
        full.write_all(b"too much").await.unwrap();
        assert!(full.flush().await.is_err(), "`flush` has returned the error");
        drop(full);
        let mut file = File::create(folder.path().join("file")).await.unwrap();
        file.write_all(b"enough").await.unwrap();
    });
    assert_eq!(reports, []);
}

#[test]
fn the_end_of_a_file_may_move() {
    with_path(async |path| {
        let mut writer = File::create(&path).await?;
        let mut reader = File::open(&path).await?;
        let mut buffer = [0; 10];
        assert_eq!(reader.read(&mut buffer).await?, 0);
        writer.write_all(b"more").await?;
        writer.flush().await?;
        assert_eq!(reader.read(&mut buffer).await?, 4);
        writer.set_len(6).await?;
        assert_eq!(writer.metadata().await?.len(), 6);
        assert_eq!(reader.read(&mut buffer).await?, 2);
        Ok(())
    });
}

#[test]
fn too_short_a_file_ends_early() {
    with_path(async |path| {
        fs::write(&path, "abc").await?;
        let error = File::open(&path).await?.read_exact(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        Ok(())
    });
}

#[test]
fn lines_end_with_either_kind_of_end_or_none() {
    with_path(async |path| {
        let long = "x".repeat(700_000);
        fs::write(&path, format!("one\r\n\n{long}\nlast")).await?;
        let mut lines = File::open(&path).await?.lines();
        let mut seen = vec![];
        loop {
            match poll_once(lines.next_line()).await {
                Some(Ok(Some(line))) => seen.push(line),
                Some(end) => break assert!(end?.is_none()),
                None => yield_now().await,
            }
        }
        assert_eq!(seen, ["one", "", &long, "last"]);
        Ok(())
    });
}

#[test]
fn a_line_that_is_no_text_is_an_error_and_passed() {
    with_path(async |path| {
        fs::write(&path, b"good\n\xff\xff\nbetter\n").await?;
        let mut lines = File::open(&path).await?.lines();
        assert_eq!(lines.next_line().await?.as_deref(), Some("good"));
        assert_eq!(lines.next_line().await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(lines.next_line().await?.as_deref(), Some("better"));

        let mut file = File::open(&path).await?;
        let mut text = String::new();
        assert!(file.read_to_string(&mut text).await.is_err());
        assert_eq!(file.read_line(&mut text).await?, 5);
        assert_eq!(text, "good\n");
        Ok(())
    });
}

#[test]
fn a_socket_is_read_as_it_comes() {
    use std::io::Write;
    let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
    run(async {
        let mut file = File::from_std(std::fs::File::from(std::os::fd::OwnedFd::from(reader)));
        writer.write_all(b"first").unwrap();
        let mut buffer = [0; 100];
        assert_eq!(file.read(&mut buffer).await.unwrap(), 5);
        drop(writer);
        assert_eq!(file.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn the_file_of_std_comes_back_where_the_caller_is() {
    use std::io::Read;
    with_path(async |path| {
        fs::write(&path, "abcdef").await?;
        let mut file = File::open(&path).await?;
        file.read_exact(&mut [0; 2]).await?;
        let mut rest = String::new();
        file.into_std().await?.read_to_string(&mut rest)?;
        assert_eq!(rest, "cdef");
        Ok(())
    });
}

#[test]
fn locks_keep_others_out_and_a_dropped_wait_has_none() {
    with_path(async |path| {
        let (one, other) = (File::create(&path).await?, File::open(&path).await?);
        one.lock().await?;
        assert!(!other.try_lock()?);
        assert!(poll_once(other.lock()).await.is_none());
        one.unlock()?;
        assert!(one.try_lock()?, "the dropped lock request has not taken the lock");
        let waiting = asyncio_task::create_task(async move { other.lock_shared().await });
        yield_now().await;
        drop(one);
        waiting.await.unwrap()
    });
}
