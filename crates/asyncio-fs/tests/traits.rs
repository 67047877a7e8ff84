//! The traits of futures-io and of tokio.

use std::io::SeekFrom;

use asyncio_fs::File;
use asyncio_task::run;
use tempfile::TempDir;

#[test]
fn tokio_copies_and_seeks() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, copy};
    let folder = TempDir::new().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    run(async {
        asyncio_fs::write(&from, vec![7; 1_000_000]).await?;
        let mut target = File::create_new(&to).await?;
        assert_eq!(copy(&mut File::open(&from).await?, &mut target).await?, 1_000_000);
        AsyncWriteExt::write_all(&mut target, b"line\nrest").await?;
        assert_eq!(AsyncSeekExt::seek(&mut target, SeekFrom::End(-9)).await?, 1_000_000);
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut target, &mut line).await?;
        assert_eq!(line, "line\n");
        AsyncReadExt::read_to_string(&mut target, &mut line).await?;
        assert_eq!(line, "line\nrest");
        AsyncWriteExt::shutdown(&mut target).await
    })
    .unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().len(), 1_000_009);
}

#[test]
fn futures_copies_and_seeks() {
    use futures::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, copy_buf};
    let folder = TempDir::new().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    run(async {
        asyncio_fs::write(&from, vec![7; 1_000_000]).await?;
        let mut target = File::create_new(&to).await?;
        assert_eq!(copy_buf(File::open(&from).await?, &mut target).await?, 1_000_000);
        assert_eq!(AsyncSeekExt::seek(&mut target, SeekFrom::Start(999_999)).await?, 999_999);
        AsyncWriteExt::write_all(&mut target, b"end").await?;
        AsyncSeekExt::seek(&mut target, SeekFrom::Current(-2)).await?;
        let mut text = String::new();
        AsyncReadExt::read_to_string(&mut target, &mut text).await?;
        assert_eq!(text, "nd");
        AsyncWriteExt::close(&mut target).await
    })
    .unwrap();
}
