//! Lines and entries as streams.

use asyncio_fs::{self as fs, File};
use asyncio_task::run;
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;

#[test]
fn lines_and_entries_are_streams() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("numbers");
    run(async {
        let text: String = (0..50_000).map(|n| format!("{n}\n")).collect();
        fs::write(&path, &text).await?;
        let lines = File::open(&path).await?.lines();
        let sum: u64 = lines
            .map(|line| line.unwrap().parse::<u64>().unwrap())
            .fold(0, async |a, b| a + b)
            .await;
        assert_eq!(sum, 49_999 * 25_000);
        let entries: Vec<_> = fs::read_dir(folder.path()).await?.try_collect().await?;
        assert_eq!(entries[0].file_name(), "numbers");
        std::io::Result::Ok(())
    })
    .unwrap();
}
