//! Workers of the job queue over NATS are killed in the middle, and no job is lost.

mod worker;

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use asyncio_interop::{Nats, find};
use worker::Worker;

const JOBS: u64 = 200;
/// The number of concurrent jobs of a worker.
const AT_ONCE: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(120);

type Outcome<T = ()> = Result<T, async_nats::Error>;

fn nats_queue(url: &str, arguments: [&str; 2]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nats_queue"));
    command.arg(url).args(arguments);
    command
}

/// The number of messages in a stream: jobs that are not acknowledged, or finished jobs.
async fn messages(nats: &Context, stream: &str) -> Outcome<u64> {
    Ok(nats.get_stream(stream).await?.get_info().await?.state.messages)
}

/// The number of jobs that workers have received and not finished.
async fn in_work(nats: &Context) -> Outcome<usize> {
    let stream = nats.get_stream("jobs").await?;
    Ok(stream.consumer_info("workers").await?.num_ack_pending)
}

#[test]
fn no_job_is_lost_when_workers_are_killed() {
    if find("nats-server").is_none() {
        // `ci/interop.sh` prints this, too.
        eprintln!("skipped: there is no nats-server");
        return;
    }
    let server = Nats::start().unwrap();
    let url = server.url();
    let worker = |name| nats_queue(&url, ["work", name]);
    // Each job takes an hour, so every kill hits workers in the middle of jobs.
    let slow = |name| Worker::start(worker(name).env("JOB_MILLISECONDS", "3600000"));
    let killed = ["one", "two"].map(slow);
    assert!(nats_queue(&url, ["put", &JOBS.to_string()]).status().unwrap().success());
    asyncio::tokio_runtime::run(async {
        let nats = jetstream::new(async_nats::connect(&url).await?);
        let wait = async {
            while in_work(&nats).await? < killed.len() * AT_ONCE {
                asyncio::sleep(Duration::from_millis(1)).await;
            }
            drop(killed);
            let others = ["three", "four"].map(|name| Worker::start(&mut worker(name)));
            while messages(&nats, "done").await? < JOBS {
                asyncio::sleep(Duration::from_millis(10)).await;
            }
            others.into_iter().for_each(Worker::stop);
            Outcome::Ok(())
        };
        asyncio::timeout(TIMEOUT, wait).await.expect("all jobs are done")?;
        assert_eq!(messages(&nats, "jobs").await?, 0, "each job is acknowledged");
        Outcome::Ok(())
    })
    .unwrap();
}
