//! Sorts a file that is larger than what may be held in memory: parts are sorted and written to
//! temporary files, then merged line by line; the result gets its name at the end.
//!
//! ```text
//! cargo run -p asyncio-examples --features tempfile --example sort_file
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use asyncio::fs::{self, File, TemporaryDirectory};
use asyncio::{scope, try_gather};

const PART: usize = 1000;

async fn write_lines(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut file = File::create(path).await?;
    for line in lines {
        file.write_all(line.as_bytes()).await?;
        file.write_all(b"\n").await?;
    }
    file.close().await
}

async fn split(path: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut lines = File::open(path).await?.lines();
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    loop {
        let line = lines.next_line().await?;
        let is_end = line.is_none();
        part.extend(line);
        if part.len() == PART || is_end && !part.is_empty() {
            part.sort();
            let path = folder.join(format!("part{}", parts.len()));
            write_lines(&path, &part).await?;
            parts.push(path);
            part.clear();
        }
        if is_end {
            return Ok(parts);
        }
    }
}

async fn merge(parts: &[PathBuf], into: &Path) -> io::Result<u64> {
    let opened = try_gather(parts.iter().map(File::open)).await?;
    let mut sources: Vec<_> = opened.into_iter().map(File::lines).collect();
    let mut heads = BinaryHeap::new();
    for (number, source) in sources.iter_mut().enumerate() {
        if let Some(line) = source.next_line().await? {
            heads.push(Reverse((line, number)));
        }
    }
    let temporary = into.with_extension("tmp");
    let mut target =
        File::options().write(true).create(true).truncate(true).open(&temporary).await?;
    let mut count = 0;
    while let Some(Reverse((line, number))) = heads.pop() {
        target.write_all(format!("{line}\n").as_bytes()).await?;
        count += 1;
        if let Some(line) = sources[number].next_line().await? {
            heads.push(Reverse((line, number)));
        }
    }
    target.sync_all().await?;
    target.close().await?;
    fs::rename(&temporary, into).await?;
    Ok(count)
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let folder = TemporaryDirectory::new().await?;
    let input = folder.path().join("input");
    let output = folder.path().join("sorted");
    let lines: Vec<String> =
        (0..3500_u64).map(|n| format!("{:08x}", n * 2_654_435_761 % 0xffff_ffff)).collect();
    write_lines(&input, &lines).await?;
    assert_eq!(fs::metadata(&input).await?.len(), 3500 * 9);

    let lock = File::create(folder.path().join("lock")).await?;
    lock.lock().await?;
    let parts = split(&input, folder.path()).await?;
    assert_eq!(parts.len(), 4);
    assert_eq!(merge(&parts, &output).await?, 3500);
    lock.unlock()?;

    let mut expected = lines;
    expected.sort();
    assert_eq!(fs::read_to_string(&output).await?.lines().collect::<Vec<_>>(), expected);
    scope(async |scope| {
        for part in &parts {
            scope.create_task(async move { fs::remove_file(part).await.expect("it is there") });
        }
    })
    .await;
    let mut names = Vec::new();
    let mut entries = fs::read_dir(folder.path()).await?;
    while let Some(entry) = entries.next_entry().await? {
        names.push(entry.file_name().into_string().expect("ASCII"));
    }
    names.sort();
    assert_eq!(names, ["input", "lock", "sorted"]);
    folder.close().await
}
