//! Keeps processes running: a failed process is restarted after a pause. The pause doubles each
//! time, and is short again after the process has run for a while. Ctrl-C stops all processes:
//! first by SIGTERM, then by SIGKILL.
//!
//! The two children of this example fail a few times and then succeed, so the program ends by
//! itself.
//!
//! ```text
//! cargo run -p asyncio-examples --example supervisor
//! ```

use std::io;
use std::time::{Duration, Instant};

use asyncio::{Command, create_task, ctrl_c, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After running this long, a process counts as healthy again.
const STEADY: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);

/// Runs the process that `make` describes until it succeeds. Cancelling this drops the process,
/// which kills it.
async fn supervise(name: &str, make: impl Fn(u32) -> Command) -> io::Result<u32> {
    let mut pause = FIRST_PAUSE;
    for attempt in 0.. {
        let start = Instant::now();
        let process = make(attempt).await?;
        println!("{name}: process {} started", process.id());
        let status = process.wait().await;
        if status.success() {
            println!("{name}: done");
            return Ok(attempt);
        }
        if start.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        println!("{name}: {status}, again in {pause:?}");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    unreachable!("it tries for ever")
}

/// Fails `times` times.
fn flaky(times: u32) -> impl Fn(u32) -> Command {
    move |attempt| Command::shell(if attempt < times { "exit 1" } else { "exit 0" })
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    // A process that gets SIGTERM before SIGKILL.
    let helper = Command::new("sleep").arg("1000").await?;

    let children = create_task(async {
        let (first, second) =
            (create_task(supervise("first", flaky(3))), create_task(supervise("second", flaky(2))));
        Ok::<_, io::Error>((first.await.expect("a result")?, second.await.expect("a result")?))
    });
    let interrupt = create_task({
        let children = children.task_ref().clone();
        async move {
            ctrl_c().await?;
            println!("interrupted");
            asyncio::prelude::TaskRefExt::cancel(&children);
            io::Result::Ok(())
        }
    });
    match children.await {
        Ok(restarts) => assert_eq!(restarts?, (3, 2)),
        Err(cancelled) => println!("{cancelled}"),
    }
    interrupt.cancel();
    println!("helper: {}", helper.stop(GRACE).await?);
    Ok(())
}
