//! Functions on paths, and directories.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use asyncio_fs as fs;
use asyncio_task::run;
use tempfile::TempDir;

#[test]
fn files_are_copied_renamed_linked_and_removed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    run(async {
        fs::write(path("a"), "text").await?;
        assert_eq!(fs::copy(path("a"), path("b")).await?, 4);
        fs::rename(path("b"), path("c")).await?;
        assert_eq!(fs::read_to_string(path("c")).await?, "text");
        assert!(!fs::try_exists(path("b")).await?);
        fs::hard_link(path("c"), path("d")).await?;
        fs::symlink("d", path("e")).await?;
        assert_eq!(fs::read_link(path("e")).await?.to_str(), Some("d"));
        assert_eq!(fs::metadata(path("e")).await?.len(), 4);
        assert!(fs::symlink_metadata(path("e")).await?.is_symlink());
        let resolved = fs::canonicalize(path("e")).await?;
        assert_eq!(resolved, fs::canonicalize(path("d")).await?);
        let mut permissions = fs::metadata(path("a")).await?.permissions();
        permissions.set_mode(0o600);
        fs::set_permissions(path("a"), permissions).await?;
        assert_eq!(fs::metadata(path("a")).await?.permissions().mode() & 0o777, 0o600);
        fs::remove_file(path("a")).await?;
        assert_eq!(fs::read(path("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
        std::io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_large_directory_is_listed_whole() {
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("x/y");
    run(async {
        fs::create_dir_all(&inner).await?;
        let names: BTreeSet<String> = (0..1000).map(|n| format!("file {n}")).collect();
        for name in &names {
            std::fs::write(inner.join(name), "")?;
        }
        let mut entries = fs::read_dir(&inner).await?;
        let mut seen = BTreeSet::new();
        while let Some(entry) = entries.next_entry().await? {
            assert!(entry.file_type().await?.is_file());
            assert_eq!(entry.metadata().await?.len(), 0);
            assert_eq!(entry.path(), inner.join(entry.file_name()));
            seen.insert(entry.file_name().into_string().unwrap());
        }
        assert_eq!(seen, names);
        assert!(entries.next_entry().await?.is_none());
        assert!(fs::remove_dir(&inner).await.is_err());
        fs::remove_dir_all(folder.path().join("x")).await?;
        fs::create_dir(folder.path().join("x")).await?;
        fs::remove_dir(folder.path().join("x")).await
    })
    .unwrap();
}
