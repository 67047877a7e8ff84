//! Prints the changes in a folder, which the crate `notify` reports. Its callback runs on a thread
//! of its own and passes the events to a task through a mixed queue. Without a folder the program
//! makes the changes itself; with one it runs until Ctrl-C.
//!
//! ```text
//! cargo run -p asyncio-examples --features watch --example watch_files -- [FOLDER]
//! ```

use std::error::Error;
use std::path::Path;

use asyncio::{create_task, fs, mixed};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

type Events = mixed::AsyncQueue<notify::Result<Event>>;

/// Starts to watch a folder. Dropping the watcher ends the events.
fn watch(folder: &Path) -> notify::Result<(RecommendedWatcher, Events)> {
    let queue = mixed::Queue::new();
    let side = queue.sync_side();
    let mut watcher = notify::recommended_watcher(move |event| {
        // The queue has no limit, so that the thread of `notify` never waits for the loop.
        let _ = side.put(event);
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok((watcher, queue.async_side()))
}

/// Prints events until `is_last` returns true for one.
async fn show(events: Events, is_last: impl Fn(&Event) -> bool) -> Result<(), Box<dyn Error>> {
    while let Ok(event) = events.get().await {
        let event = event?;
        println!("{:?}: {:?}", event.kind, event.paths);
        if is_last(&event) {
            break;
        }
    }
    Ok(())
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Some(folder) = std::env::args().nth(1) {
        let (_watcher, events) = watch(Path::new(&folder))?;
        return show(events, |_| false).await;
    }
    let folder = fs::TemporaryDirectory::new().await?;
    let (_watcher, events) = watch(folder.path())?;
    let (first, last) = (folder.path().join("first.txt"), folder.path().join("last.txt"));
    let changes = create_task({
        let last = last.clone();
        async move {
            fs::write(&first, "hello").await?;
            fs::rename(&first, &last).await?;
            fs::remove_file(&last).await
        }
    });
    show(events, |event| event.kind.is_remove() && event.paths.contains(&last)).await?;
    changes.await??;
    folder.close().await?;
    Ok(())
}
