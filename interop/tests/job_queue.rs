//! Workers of the job queue are killed in the middle, and no job is lost.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use asyncio_interop::RedisServer;
use redis::streams::StreamPendingReply;
use redis::{AsyncCommands, RedisResult};

/// More than a second of work, so that some is left when this program looks.
const JOBS: u32 = 1000;
const PATIENCE: Duration = Duration::from_secs(120);

fn job_queue(url: &str, arguments: [&str; 2]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_job_queue"));
    command.arg(url).args(arguments);
    command
}

/// A worker process, killed when it is dropped.
struct Worker(Child);

impl Worker {
    /// Starts it, and waits until it takes jobs.
    fn start(url: &str, name: &str) -> Self {
        let mut child = job_queue(url, ["work", name]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// By SIGTERM: it finishes what it has.
    fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_job_is_lost_when_workers_are_killed() {
    let redis = RedisServer::start().unwrap();
    let url = redis.url();
    let killed: Vec<Worker> =
        ["one", "two"].into_iter().map(|name| Worker::start(&url, name)).collect();
    let steady = Worker::start(&url, "three");
    assert!(job_queue(&url, ["put", &JOBS.to_string()]).status().unwrap().success());
    asyncio::tokio_runtime::run(async {
        let client = redis::Client::open(url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let done = async |connection: &mut redis::aio::MultiplexedConnection| {
            connection.scard::<_, u32>("done").await
        };
        let wait = async {
            while done(&mut connection).await? < JOBS / 4 {
                asyncio::sleep(Duration::from_millis(1)).await;
            }
            // In the middle of what they do: each has jobs that are pending.
            let pending = pending(&mut connection).await?;
            assert!(pending > 0, "nobody works");
            drop(killed);
            while done(&mut connection).await? < JOBS {
                asyncio::sleep(Duration::from_millis(10)).await;
            }
            RedisResult::Ok(())
        };
        asyncio::timeout(PATIENCE, wait).await.expect("all jobs are done")?;
        steady.stop();
        assert_eq!(pending(&mut connection).await?, 0, "each job is acknowledged");
        RedisResult::Ok(())
    })
    .unwrap();
}

/// How many jobs workers have taken, and not done.
async fn pending(connection: &mut redis::aio::MultiplexedConnection) -> RedisResult<usize> {
    let reply: StreamPendingReply = connection.xpending("jobs", "workers").await?;
    Ok(match reply {
        StreamPendingReply::Empty => 0,
        StreamPendingReply::Data(data) => data.count,
        _ => unreachable!("Redis has two answers"),
    })
}
