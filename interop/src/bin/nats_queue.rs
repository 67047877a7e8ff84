//! A job queue over JetStream, which is NATS with a memory, with several worker processes: at least
//! once, and nothing is lost when a worker is killed.
//!
//! ```text
//! cargo run --bin nats_queue -- nats://127.0.0.1 work one   # a worker called "one"
//! cargo run --bin nats_queue -- nats://127.0.0.1 put 100    # 100 jobs
//! ```
//!
//! Jobs are messages of a stream that drops what is acknowledged. All workers take from one
//! consumer, which gives a message to one of them, and again to another one if no acknowledgement
//! comes within the visibility timeout: the first one has died, or hangs. So a job may be done
//! twice, and what it does has to bear that: here it writes its number to a second stream, which
//! keeps one message of each number.
//!
//! Workers do several jobs at once, as tasks of one loop. On SIGTERM a worker takes no more jobs,
//! finishes those that it has, and ends.

use std::cell::Cell;
use std::env;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use async_nats::jetstream::{self, Context, Message};
use asyncio::{Semaphore, Signal, Signals, create_task, race, sleep};
use futures::StreamExt;

const GROUP: &str = "workers";
/// A job that takes longer counts as lost.
const VISIBILITY: Duration = Duration::from_millis(500);
/// The duration of a job in milliseconds, unless an environment variable sets another one.
const WORK: (&str, u64) = ("JOB_MILLISECONDS", 20);
/// The number of concurrent jobs.
const AT_ONCE: usize = 4;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[asyncio::main(tokio)]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, command, argument] = &arguments[..] else {
        return Err("usage: nats_queue URL (work NAME | put COUNT)".into());
    };
    let nats = jetstream::new(async_nats::connect(url).await?);
    let jobs = streams(&nats).await?;
    match &**command {
        "work" => Worker::new(nats, &jobs).await?.run(argument).await,
        "put" => put(&nats, argument.parse()?).await,
        _ => Err(format!("no command {command}").into()),
    }
}

/// Opens the stream of the jobs, and creates the stream of finished jobs.
async fn streams(nats: &Context) -> Outcome<Stream> {
    let done = Config {
        name: "done".to_owned(),
        subjects: vec!["done.*".to_owned()],
        max_messages_per_subject: 1,
        ..Config::default()
    };
    nats.get_or_create_stream(done).await?;
    let jobs = Config {
        name: "jobs".to_owned(),
        subjects: vec!["jobs".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    Ok(nats.get_or_create_stream(jobs).await?)
}

async fn put(nats: &Context, count: u32) -> Outcome {
    let mut stored = Vec::new();
    for number in 0..count {
        stored.push(nats.publish("jobs", number.to_string().into()).await?);
    }
    // The server acknowledges a job when the job is on its disk.
    for stored in stored {
        stored.await?;
    }
    Ok(())
}

struct Worker {
    nats: Context,
    jobs: PullConsumer,
    free: Rc<Semaphore>,
    done: Rc<Cell<u32>>,
}

impl Worker {
    async fn new(nats: Context, jobs: &Stream) -> Outcome<Self> {
        let config = pull::Config {
            durable_name: Some(GROUP.to_owned()),
            ack_wait: VISIBILITY,
            ..pull::Config::default()
        };
        let jobs = jobs.get_or_create_consumer(GROUP, config).await?;
        Ok(Self { nats, jobs, free: Rc::new(Semaphore::new(AT_ONCE)), done: Rc::default() })
    }

    /// Works until SIGTERM, and finishes the jobs that have begun.
    async fn run(self, name: &str) -> Outcome {
        let mut signals = Signals::new([Signal::TERM, Signal::INT])?;
        println!("ready");
        let stopped = async {
            signals.next().await;
            Ok(())
        };
        race((self.take_jobs(), stopped)).await?;
        // Each job releases its permit when it is done.
        for _ in 0..AT_ONCE {
            self.free.acquire().await.forget();
        }
        println!("{name} did {}", self.done.get());
        Ok(())
    }

    /// Takes jobs forever. If this is cancelled, a job that was received and has not begun is
    /// delivered again.
    async fn take_jobs(&self) -> Outcome {
        loop {
            // Requests no more jobs than there are permits: other workers may be free.
            let place = self.free.acquire().await;
            let asking = self.jobs.fetch().max_messages(1).expires(VISIBILITY / 2);
            let Some(job) = asking.messages().await?.next().await else { continue };
            let job = job?;
            place.forget();
            let (nats, free, done) = (self.nats.clone(), self.free.clone(), self.done.clone());
            drop(create_task(async move {
                match work(&nats, &job).await {
                    Ok(()) => done.set(done.get() + 1),
                    // The server delivers the job again.
                    Err(error) => eprintln!("a job failed: {error}"),
                }
                free.release();
            }));
        }
    }
}

/// Does the job, and then acknowledges it.
async fn work(nats: &Context, job: &Message) -> Outcome {
    let number: u32 = std::str::from_utf8(&job.payload)?.parse()?;
    let work = env::var(WORK.0).ok().and_then(|text| text.parse().ok()).unwrap_or(WORK.1);
    sleep(Duration::from_millis(work)).await;
    nats.publish(format!("done.{number}"), "".into()).await?.await?;
    // Waits until the server has confirmed the acknowledgement.
    job.double_ack().await
}
