//! A daemon: SIGHUP reads the settings again, SIGTERM ends it in order; its workers follow the
//! settings.
//!
//! ```text
//! cargo run -p asyncio-examples --features tempfile --example reload_settings
//! ```

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use asyncio::event_loop::raise_signal;
use asyncio::sync::watch;
use asyncio::{Queue, Signal, Signals, catch_cancel, create_task, fs, sleep, timeout};

#[derive(Clone, Debug, PartialEq)]
struct Settings {
    greeting: String,
}

async fn read(path: &Path) -> io::Result<Settings> {
    let text = fs::read_to_string(path).await?;
    let greeting = text
        .lines()
        .find_map(|line| line.strip_prefix("greeting="))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no greeting"))?;
    Ok(Settings { greeting: greeting.to_owned() })
}

/// Greets whenever the settings have changed, and says good-bye when it is cancelled.
async fn greet(mut settings: watch::Receiver<Settings>, said: Rc<Queue<String>>) {
    let work = async {
        loop {
            let greeting = settings.borrow_and_update().greeting.clone();
            said.put(greeting).await.expect("the queue is open");
            if settings.changed().await.is_err() {
                break;
            }
        }
    };
    if catch_cancel(work).await.is_err() {
        sleep(Duration::from_millis(1)).await;
        said.put("bye".to_owned()).await.expect("the queue is open");
    }
}

/// Who administers the daemon: writes other settings, has them read, and ends it.
async fn administer(path: &Path, said: &Queue<String>) -> io::Result<()> {
    assert_eq!(said.get().await.as_deref(), Ok("hello"));
    fs::write(path, "greeting=good morning\n").await?;
    raise_signal(Signal::HUP)?;
    assert_eq!(said.get().await.as_deref(), Ok("good morning"));
    raise_signal(Signal::TERM)
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let folder = fs::TemporaryDirectory::new().await?;
    let path = folder.path().join("settings");
    fs::write(&path, "# comment\ngreeting=hello\n").await?;

    let mut signals = Signals::new([Signal::HUP, Signal::TERM])?;
    let (settings, follower) = watch::channel(read(&path).await?);
    let said = Rc::new(Queue::new());
    let worker = create_task(greet(follower, Rc::clone(&said)));
    let administrator = create_task({
        let said = Rc::clone(&said);
        async move { administer(&path, &said).await }
    });

    let path = folder.path().join("settings");
    loop {
        match signals.next().await {
            Signal::HUP => match read(&path).await {
                Ok(new) => {
                    let changed = settings.send_if_modified(|old| {
                        let changed = *old != new;
                        *old = new;
                        changed
                    });
                    println!("read again; changed: {changed}");
                }
                Err(error) => eprintln!("{error}; the old settings stay"),
            },
            signal => {
                println!("{signal}: the end");
                break;
            }
        }
    }
    administrator.await??;
    worker.cancel();
    timeout(Duration::from_secs(60), worker).await?.expect("it has caught the cancellation");
    assert_eq!(said.get_nowait().as_deref(), Ok("bye"));
    folder.close().await
}
