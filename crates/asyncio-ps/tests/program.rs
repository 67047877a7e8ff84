//! The program, run with a monitor of this process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{TaskOptions, running_loop};
use asyncio_monitor::{Monitor, Options};
use asyncio_sync::Lock;
use asyncio_task::{create_task_with, run, sleep, to_thread, yield_now};

/// A runtime directory with a monitor of this process.
struct Place {
    folder: tempfile::TempDir,
    monitor: Monitor,
}

impl Place {
    fn new(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("asyncio");
        make_private(&directory);
        let path = directory.join(format!("{}.sock", std::process::id()));
        let options = options.path(path).answer_timeout(Duration::from_secs(60));
        let monitor = asyncio_monitor::start(&running_loop(), options).unwrap();
        Self { folder, monitor }
    }

    fn command(&self, words: &[&str]) -> Command {
        command(self.folder.path(), words)
    }

    /// Runs asyncio-ps while the loop goes on.
    async fn run(&self, words: &[&str]) -> Output {
        let mut command = self.command(words);
        to_thread(move || command.output().unwrap()).await.unwrap()
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("asyncio")
    }
}

fn make_private(directory: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(directory).unwrap();
}

fn command(runtime: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncio-ps"));
    command.args(words).env("XDG_RUNTIME_DIR", runtime).env_remove("ASYNCIO_MONITOR_TOKEN");
    command
}

fn this() -> String {
    std::process::id().to_string()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

// I-028, I-029, I-030
#[test]
fn a_process_is_found_by_its_number() {
    run(async {
        let place = Place::new(Options::new());
        let options = TaskOptions::new().name("worker");
        let worker = create_task_with(sleep(Duration::from_secs(3600)), options);
        yield_now().await;

        let listed = place.run(&[]).await;
        assert!(out(&listed).contains(&this()) && status(&listed) == 0, "{listed:?}");
        let table = place.run(&["ps", &this()]).await;
        assert!(out(&table).starts_with("2 tasks\n"), "{table:?}");
        assert!(out(&table).contains("worker") && status(&table) == 0);
        let table = place.run(&["ps", &this(), "-f", "work er"]).await;
        assert!(out(&table).starts_with("2 tasks, 0 shown\n"), "{table:?}");
        let path = place.monitor.path().unwrap().to_str().unwrap();
        assert!(out(&place.run(&["ps", path]).await).starts_with("2 tasks\n"));

        let id = worker.task_ref().id().to_string();
        let task = place.run(&["where", &this(), &id]).await;
        assert!(out(&task).contains("Waits for a moment"), "{task:?}");
        let task = place.run(&["where", &this(), "999999999"]).await;
        assert_eq!((status(&task), err(&task)), (1, "No task 999999999\n"));
        let tree = place.run(&["pstree", &this()]).await;
        assert!(out(&tree).contains("└── (T) worker") && status(&tree) == 0, "{tree:?}");
        let figures = place.run(&["stats", &this()]).await;
        assert!(out(&figures).contains("  turns "), "{figures:?}");
        let stack = place.run(&["stack", &this()]).await;
        assert!(out(&stack).contains("a_process_is_found_by_its_number"), "{stack:?}");

        let cancelled = place.run(&["run", &this(), "cancel", &id]).await;
        assert_eq!(out(&cancelled), format!("Cancelled task {id}\n"));
        assert!(worker.is_cancelled());
    });
}

// I-021
#[test]
fn a_circle_is_named_and_the_status_is_1() {
    run(async {
        let place = Place::new(Options::new());
        let (a, b) = (Rc::new(Lock::new(())), Rc::new(Lock::new(())));
        let both = |first: &Rc<Lock<()>>, second: &Rc<Lock<()>>, name| {
            let (first, second) = (Rc::clone(first), Rc::clone(second));
            let body = async move {
                let _first = first.acquire().await;
                yield_now().await;
                let _second = second.acquire().await;
            };
            create_task_with(body, TaskOptions::new().name(name))
        };
        let (one, two) = (both(&a, &b, "left"), both(&b, &a, "right"));
        for _ in 0..3 {
            yield_now().await;
        }
        let tree = place.run(&["pstree", &this()]).await;
        let (left, right) = (one.task_ref().id(), two.task_ref().id());
        let cycle = format!("cycle: left ({left}) → right ({right}) → left ({left})\n");
        assert_eq!(status(&tree), 1);
        assert!(err(&tree).contains(&cycle), "{tree:?}");
        let table = place.run(&["ps", &this()]).await;
        assert!(out(&table).starts_with("3 tasks\n") && status(&table) == 0, "{table:?}");
        one.cancel();
        two.cancel();
    });
}

#[test]
fn a_recording_is_saved() {
    run(async {
        let place = Place::new(Options::new());
        let file = place.folder.path().join("trace.json");
        let words = ["record", &this(), file.to_str().unwrap()];
        let refused = place.run(&words).await;
        assert!(status(&refused) == 1 && err(&refused).contains("no loop is recorded"));
        let on = place.run(&["run", &this(), "record", "on"]).await;
        assert!(out(&on).contains(" events of "), "{on:?}");
        assert_eq!(status(&place.run(&words).await), 0);
        let trace: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(trace.is_object() || trace.is_array());
    });
}

#[test]
fn top_shows_how_often_tasks_run() {
    run(async {
        let place = Place::new(Options::new());
        let busy = async {
            loop {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let busy = create_task_with(busy, TaskOptions::new().name("busy"));
        let idle = create_task_with(std::future::pending::<()>(), TaskOptions::new().name("idle"));
        let shown = place.run(&["top", &this(), "-c", "2", "-i", "0.2", "-n", "1"]).await;
        assert_eq!(status(&shown), 0, "{shown:?}");
        let second = out(&shown).rsplit_once("Polls/s").unwrap().1;
        assert!(second.contains("busy") && !second.contains("idle"), "{shown:?}");
        busy.cancel();
        idle.cancel();
    });
}

#[test]
fn the_token_is_in_the_environment() {
    run(async {
        let place = Place::new(Options::new().token("secret"));
        let refused = place.run(&["ps", &this()]).await;
        assert_eq!(status(&refused), 1);
        assert!(err(&refused).contains("401: the token is missing or wrong"), "{refused:?}");
        let mut command = place.command(&["ps", &this()]);
        command.env("ASYNCIO_MONITOR_TOKEN", "secret");
        let table = to_thread(move || command.output().unwrap()).await.unwrap();
        assert!(out(&table).starts_with("1 task\n"), "{table:?}");
    });
}

#[test]
fn sockets_of_dead_processes_are_removed() {
    run(async {
        let place = Place::new(Options::new());
        // The id of an ended process. The system gives the id to no other process until this one is
        // reaped.
        let mut child = command(place.folder.path(), &["help"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        child.wait().unwrap();
        let dead = place.directory().join(format!("{}.sock", child.id()));
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        std::fs::write(place.directory().join("notes.sock"), "not a socket").unwrap();

        let listed = place.run(&["list"]).await;
        assert!(out(&listed).contains(&this()), "{listed:?}");
        assert!(!dead.exists() && place.directory().join("notes.sock").exists());
    });
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| command(folder.path(), words).output().unwrap();
    let none = run(&[]);
    assert_eq!(status(&none), 1);
    assert!(out(&none).contains("ASYNCIO_MONITOR=1"), "{none:?}");
    let none = run(&["ps", "1"]);
    assert!(err(&none).contains("process 1 has no monitor") && status(&none) == 1, "{none:?}");
    let none = run(&["ps", "4000000000"]);
    assert!(err(&none).contains("there is no process 4000000000"), "{none:?}");
    let none = run(&["ps", "./nothing.sock"]);
    assert!(err(&none).contains("./nothing.sock: No such file"), "{none:?}");
    let nonsense = run(&["tea", "1"]);
    assert_eq!(status(&nonsense), 2);
    assert!(out(&run(&["--help"])).contains("usage: asyncio-ps"));
}

#[test]
fn a_directory_of_others_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("asyncio");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = command(folder.path(), &["ps", "1"]).output().unwrap();
    assert_eq!(status(&refused), 1);
    assert!(err(&refused).contains("is not a directory of the user alone"), "{refused:?}");
}
