//! Workers of the job queue are killed in the middle, and no job is lost.

mod worker;

use std::process::Command;
use std::time::Duration;

use asyncio_interop::RedisServer;
use redis::streams::StreamPendingReply;
use redis::{AsyncCommands, RedisResult};
use worker::Worker;

const JOBS: u32 = 200;
/// The number of concurrent jobs of a worker.
const AT_ONCE: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(120);

fn job_queue(url: &str, arguments: [&str; 2]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_job_queue"));
    command.arg(url).args(arguments);
    command
}

#[test]
fn no_job_is_lost_when_workers_are_killed() {
    let redis = RedisServer::start().unwrap();
    let url = redis.url();
    let worker = |name| job_queue(&url, ["work", name]);
    // Each job takes an hour, so every kill hits workers in the middle of jobs.
    let slow = |name| Worker::start(worker(name).env("JOB_MILLISECONDS", "3600000"));
    let killed = ["one", "two"].map(slow);
    assert!(job_queue(&url, ["put", &JOBS.to_string()]).status().unwrap().success());
    asyncio::tokio_runtime::run(async {
        let client = redis::Client::open(url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let wait = async {
            while pending(&mut connection).await? < killed.len() * AT_ONCE {
                asyncio::sleep(Duration::from_millis(1)).await;
            }
            drop(killed);
            let others = ["three", "four"].map(|name| Worker::start(&mut worker(name)));
            while connection.scard::<_, u32>("done").await? < JOBS {
                asyncio::sleep(Duration::from_millis(10)).await;
            }
            others.into_iter().for_each(Worker::stop);
            RedisResult::Ok(())
        };
        asyncio::timeout(TIMEOUT, wait).await.expect("all jobs are done")?;
        assert_eq!(pending(&mut connection).await?, 0, "each job is acknowledged");
        RedisResult::Ok(())
    })
    .unwrap();
}

/// The number of jobs that workers have taken and not finished.
async fn pending(connection: &mut redis::aio::MultiplexedConnection) -> RedisResult<usize> {
    let reply: StreamPendingReply = connection.xpending("jobs", "workers").await?;
    Ok(match reply {
        StreamPendingReply::Empty => 0,
        StreamPendingReply::Data(data) => data.count,
        _ => unreachable!("Redis has two answers"),
    })
}
