//! Everyday operations: values for many receivers, and files.
//!
//! One round of the file contests moves 100 MB. They are in time, not in CPU time, because other
//! threads take part.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::fs;
use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Tokio, timed, timed_with_others};
use tokio::io::AsyncBufReadExt;

/// Receivers of one channel.
const RECEIVERS: u64 = 10;
/// Values that are sent before the receivers run.
const BURST: u64 = 100;
const LINES: u64 = 1_600_000;
const FILES: u64 = 1000;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: Rc<Path> = folder.path().join("lines").into();
    let small: Rc<Path> = folder.path().join("small").into();
    if std::env::args().any(|argument| argument.contains("files") || argument.contains("lines"))
        || !std::env::args().any(|argument| argument.starts_with("--table="))
    {
        write_files(&lines, &small);
    }
    let with = |path: &Rc<Path>, work: fn(&Path, u64) -> Duration| {
        let path = Rc::clone(path);
        move |times| work(&path, times)
    };
    run(
        "everyday",
        vec![
            Contest::new("broadcast_burst_to_10", BURST * RECEIVERS)
                .with("asyncio", broadcast_asyncio::<BURST>)
                .with("tokio", broadcast_tokio::<BURST>),
            Contest::new("broadcast_one_to_10", RECEIVERS)
                .with("asyncio", broadcast_asyncio::<1>)
                .with("tokio", broadcast_tokio::<1>),
            Contest::new("watch_by_10", RECEIVERS)
                .with("asyncio", watch_asyncio)
                .with("tokio", watch_tokio),
            Contest::new("lines_of_100_mb", LINES)
                .with("floor", with(&lines, lines_by_std))
                .with("asyncio", with(&lines, lines_by_asyncio))
                .with("tokio", with(&lines, lines_by_tokio)),
            Contest::new("small_files_1000", FILES)
                .with("floor", with(&small, files_by_std))
                .with("asyncio", with(&small, files_by_asyncio))
                .with("tokio", with(&small, files_by_tokio)),
        ],
    );
}

fn write_files(lines: &Path, small: &Path) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(lines).expect("a file"));
    for number in 0..LINES {
        // 62 bytes on average.
        writeln!(file, "{number:0width$}", width = 12 + (number % 101) as usize).expect("room");
    }
    file.flush().expect("room");
    std::fs::create_dir(small).expect("a folder");
    for number in 0..FILES {
        std::fs::write(small.join(number.to_string()), [b'x'; 1000]).expect("room");
    }
}

/// A sender sends `N` values at a time to ten tasks, each of which takes all of them.
fn broadcast_asyncio<const N: u64>(times: u64) -> Duration {
    use asyncio::sync::broadcast;

    timed::<Asyncio>(async move {
        let (sender, _) = broadcast::channel::<u64>(1024);
        let tasks: Vec<_> = (0..RECEIVERS)
            .map(|_| {
                let mut receiver = sender.subscribe();
                Asyncio::spawn(async move {
                    while let Ok(value) = receiver.recv().await {
                        black_box(value);
                    }
                })
            })
            .collect();
        for _ in 0..times {
            for value in 0..N {
                let _ = sender.send(value);
            }
            Asyncio::yield_now().await;
        }
        drop(sender);
        for task in tasks {
            task.await;
        }
    })
}

fn broadcast_tokio<const N: u64>(times: u64) -> Duration {
    use tokio::sync::broadcast;

    timed::<Tokio>(async move {
        let (sender, _) = broadcast::channel::<u64>(1024);
        let tasks: Vec<_> = (0..RECEIVERS)
            .map(|_| {
                let mut receiver = sender.subscribe();
                Tokio::spawn(async move {
                    while let Ok(value) = receiver.recv().await {
                        black_box(value);
                    }
                })
            })
            .collect();
        for _ in 0..times {
            for value in 0..N {
                let _ = sender.send(value);
            }
            Tokio::yield_now().await;
        }
        drop(sender);
        for task in tasks {
            task.await;
        }
    })
}

/// A value changes, and ten waiting tasks read it.
fn watch_asyncio(times: u64) -> Duration {
    use asyncio::sync::watch;

    timed::<Asyncio>(async move {
        let (sender, _) = watch::channel(0);
        let tasks: Vec<_> = (0..RECEIVERS)
            .map(|_| {
                let mut receiver = sender.subscribe();
                Asyncio::spawn(async move {
                    while receiver.changed().await.is_ok() {
                        black_box(*receiver.borrow_and_update());
                    }
                })
            })
            .collect();
        for value in 0..times {
            sender.send(value);
            Asyncio::yield_now().await;
        }
        drop(sender);
        for task in tasks {
            task.await;
        }
    })
}

fn watch_tokio(times: u64) -> Duration {
    use tokio::sync::watch;

    timed::<Tokio>(async move {
        let (sender, _) = watch::channel(0);
        let tasks: Vec<_> = (0..RECEIVERS)
            .map(|_| {
                let mut receiver = sender.subscribe();
                Tokio::spawn(async move {
                    while receiver.changed().await.is_ok() {
                        black_box(*receiver.borrow_and_update());
                    }
                })
            })
            .collect();
        for value in 0..times {
            let _ = sender.send(value);
            Tokio::yield_now().await;
        }
        drop(sender);
        for task in tasks {
            task.await;
        }
    })
}

fn lines_by_std(path: &Path, times: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        let mut reader = BufReader::new(std::fs::File::open(path).expect("the file"));
        let (mut line, mut count) = (String::new(), 0);
        while reader.read_line(&mut line).expect("a line") > 0 {
            count += 1;
            line.clear();
        }
        assert_eq!(count, LINES);
    }
    start.elapsed()
}

fn lines_by_asyncio(path: &Path, times: u64) -> Duration {
    let path = path.to_owned();
    timed_with_others::<Asyncio>(async move {
        for _ in 0..times {
            let mut file = fs::File::open(&path).await.expect("the file");
            let (mut line, mut count) = (String::new(), 0);
            while file.read_line(&mut line).await.expect("a line") > 0 {
                count += 1;
                line.clear();
            }
            assert_eq!(count, LINES);
        }
    })
}

fn lines_by_tokio(path: &Path, times: u64) -> Duration {
    let path = path.to_owned();
    timed_with_others::<Tokio>(async move {
        for _ in 0..times {
            let file = tokio::fs::File::open(&path).await.expect("the file");
            let mut reader = tokio::io::BufReader::new(file);
            let (mut line, mut count) = (String::new(), 0);
            while reader.read_line(&mut line).await.expect("a line") > 0 {
                count += 1;
                line.clear();
            }
            assert_eq!(count, LINES);
        }
    })
}

fn files_by_std(folder: &Path, times: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        for number in 0..FILES {
            black_box(std::fs::read(folder.join(number.to_string())).expect("the file"));
        }
    }
    start.elapsed()
}

fn files_by_asyncio(folder: &Path, times: u64) -> Duration {
    let folder = folder.to_owned();
    timed_with_others::<Asyncio>(async move {
        for _ in 0..times {
            for number in 0..FILES {
                black_box(fs::read(folder.join(number.to_string())).await.expect("the file"));
            }
        }
    })
}

fn files_by_tokio(folder: &Path, times: u64) -> Duration {
    let folder = folder.to_owned();
    timed_with_others::<Tokio>(async move {
        for _ in 0..times {
            for number in 0..FILES {
                black_box(
                    tokio::fs::read(folder.join(number.to_string())).await.expect("the file"),
                );
            }
        }
    })
}
