//! A job queue over a Redis stream, with several worker processes: at least once, and nothing is
//! lost when a worker is killed.
//!
//! ```text
//! cargo run --bin job_queue -- redis://127.0.0.1/ work one   # a worker called "one"
//! cargo run --bin job_queue -- redis://127.0.0.1/ put 100    # 100 jobs
//! ```
//!
//! A worker reads jobs by `XREADGROUP`: from then on they are in the group's list of pending
//! entries, with the worker's name. A job that is done is taken off by `XACK`. One that is pending
//! for longer than the visibility timeout is taken over by another worker, by `XAUTOCLAIM`: its
//! worker has died, or hangs. So a job may be done twice, and what it does has to bear that: here
//! it adds its number to a set.
//!
//! Workers do several jobs at once, as tasks of one loop. On SIGTERM a worker takes no more jobs,
//! finishes those that it has, and ends.

use std::cell::Cell;
use std::env;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{Semaphore, Signal, Signals, create_task, race, sleep};
use redis::aio::MultiplexedConnection;
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamId, StreamReadOptions, StreamReadReply,
};
use redis::{AsyncCommands, RedisResult};

const JOBS: &str = "jobs";
const GROUP: &str = "workers";
const DONE: &str = "done";
/// A job that takes longer counts as lost.
const VISIBILITY: Duration = Duration::from_millis(500);
/// The duration of a job in milliseconds, unless an environment variable sets another one.
const WORK: (&str, u64) = ("JOB_MILLISECONDS", 20);
/// The number of concurrent jobs.
const AT_ONCE: usize = 4;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[asyncio::main(tokio)]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, command, argument] = &arguments[..] else {
        return Err("usage: job_queue URL (work NAME | put COUNT)".into());
    };
    let client = redis::Client::open(url.as_str())?;
    let connection = client.get_multiplexed_async_connection().await?;
    match &**command {
        "work" => Worker::new(&client, connection, argument).await?.run().await,
        "put" => put(connection, argument.parse()?).await,
        _ => Err(format!("no command {command}").into()),
    }
}

async fn put(mut connection: MultiplexedConnection, count: u32) -> Outcome {
    let mut jobs = redis::pipe();
    for number in 0..count {
        jobs.xadd(JOBS, "*", &[("number", number)]).ignore();
    }
    Ok(jobs.exec_async(&mut connection).await?)
}

struct Worker {
    name: String,
    /// The connection that waits for jobs: the server answers nothing else on it meanwhile.
    reading: MultiplexedConnection,
    connection: MultiplexedConnection,
    free: Rc<Semaphore>,
    done: Rc<Cell<u32>>,
}

impl Worker {
    async fn new(
        client: &redis::Client,
        mut connection: MultiplexedConnection,
        name: &str,
    ) -> Outcome<Self> {
        // The first worker creates the group.
        let made: RedisResult<()> = connection.xgroup_create_mkstream(JOBS, GROUP, "0").await;
        if let Err(error) = made {
            if error.code() != Some("BUSYGROUP") {
                return Err(error.into());
            }
        }
        // The server answers when its wait is over, so the client has to wait longer.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let reading = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self {
            name: name.to_owned(),
            reading,
            connection,
            free: Rc::new(Semaphore::new(AT_ONCE)),
            done: Rc::default(),
        })
    }

    /// Works until SIGTERM, and finishes the jobs that have begun.
    async fn run(mut self) -> Outcome {
        let mut signals = Signals::new([Signal::TERM, Signal::INT])?;
        println!("ready");
        let stopped = async {
            signals.next().await;
            Ok(())
        };
        let free = self.free.clone();
        race((self.take_jobs(), stopped)).await?;
        // Each job releases its permit when it is done.
        for _ in 0..AT_ONCE {
            free.acquire().await.forget();
        }
        println!("did {}", self.done.get());
        Ok(())
    }

    /// Takes jobs forever. If this is cancelled, another worker takes over a job that was read and
    /// has not begun.
    async fn take_jobs(&mut self) -> Outcome {
        loop {
            // Reads no more jobs than there are permits: other workers may be free.
            let free = self.free.clone();
            let place = free.acquire().await;
            let job = match self.lost_job().await? {
                Some(job) => Some(job),
                None => self.next_job().await?,
            };
            let Some(job) = job else { continue };
            place.forget();
            let (free, done) = (free.clone(), self.done.clone());
            let mut connection = self.connection.clone();
            drop(create_task(async move {
                match work(&mut connection, &job).await {
                    Ok(()) => done.set(done.get() + 1),
                    // The job stays pending, and is done again.
                    Err(error) => eprintln!("job {}: {error}", job.id),
                }
                free.release();
            }));
        }
    }

    /// A job that another worker has held for longer than the visibility timeout.
    async fn lost_job(&mut self) -> RedisResult<Option<StreamId>> {
        let timeout = VISIBILITY.as_millis() as u64;
        let options = StreamAutoClaimOptions::default().count(1);
        let lost: StreamAutoClaimReply = self
            .connection
            .xautoclaim_options(JOBS, GROUP, &self.name, timeout, "0-0", options)
            .await?;
        Ok(lost.claimed.into_iter().next())
    }

    /// A new job; `None` if none comes within a part of the visibility timeout.
    async fn next_job(&mut self) -> RedisResult<Option<StreamId>> {
        let options = StreamReadOptions::default()
            .group(GROUP, &self.name)
            .count(1)
            .block((VISIBILITY / 4).as_millis() as usize);
        let reply: Option<StreamReadReply> =
            self.reading.xread_options(&[JOBS], &[">"], &options).await?;
        let streams = reply.map(|reply| reply.keys).unwrap_or_default();
        Ok(streams.into_iter().flat_map(|stream| stream.ids).next())
    }
}

/// Does the job, and then removes it from the pending entries.
async fn work(connection: &mut MultiplexedConnection, job: &StreamId) -> Outcome {
    let number: u32 = job.get("number").ok_or("a job without a number")?;
    let work = env::var(WORK.0).ok().and_then(|text| text.parse().ok()).unwrap_or(WORK.1);
    sleep(Duration::from_millis(work)).await;
    let _: usize = connection.sadd(DONE, number).await?;
    let _: usize = connection.xack(JOBS, GROUP, &[&job.id]).await?;
    Ok(())
}
