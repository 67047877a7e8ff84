//! Clients that request many small pages over few connections.

use std::io::{self, BufRead};

use asyncio::http::ClientSession;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::measure::{settle, wait_for_end};

const REQUESTS: usize = 10_000;
/// The number of concurrent requests, each on a connection of its own.
const CONNECTIONS: usize = 32;

/// Warms up, waits for a line of input, asks, and prints how many answers came.
pub(crate) fn ask(name: &str, address: &str) -> io::Result<()> {
    settle(1);
    let url = format!("http://{address}/plaintext");
    match name {
        "session" => asyncio::run(session(&url)).map_err(io::Error::other),
        "reqwest" => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(reqwest(&url)).map_err(io::Error::other)
        }
        _ => Err(io::Error::other(format!("no client {name}"))),
    }
}

/// Has the starter read the CPU time.
fn wait_for_go() {
    println!("ready");
    let _ = io::stdin().lock().read_line(&mut String::new());
}

async fn session(url: &str) -> Result<(), asyncio::http::ClientError> {
    let session = ClientSession::builder().limit(CONNECTIONS).build()?;
    let ask = async |count: usize| {
        let asking = (0..CONNECTIONS).map(|_| {
            let (session, url) = (session.clone(), url.to_owned());
            asyncio::create_task(async move {
                for _ in 0..count / CONNECTIONS {
                    let text = session.get(&url).await?.text().await?;
                    assert_eq!(text, "Hello, World!");
                }
                Ok::<_, asyncio::http::ClientError>(())
            })
        });
        for answered in asyncio::gather(asking).await {
            answered.expect("a task")?;
        }
        Ok::<_, asyncio::http::ClientError>(())
    };
    ask(1000).await?;
    wait_for_go();
    ask(REQUESTS).await?;
    println!("{REQUESTS}");
    wait_for_end();
    Ok(())
}

async fn reqwest(url: &str) -> Result<(), reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let ask = async |count: usize| {
        let mut asking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (client, url) = (client.clone(), url.to_owned());
            asking.spawn(async move {
                for _ in 0..count / CONNECTIONS {
                    let text = client.get(&url).send().await?.text().await?;
                    assert_eq!(text, "Hello, World!");
                }
                Ok::<_, reqwest::Error>(())
            });
        }
        while let Some(answered) = asking.join_next().await {
            answered.expect("a task")?;
        }
        Ok::<_, reqwest::Error>(())
    };
    ask(1000).await?;
    wait_for_go();
    ask(REQUESTS).await?;
    println!("{REQUESTS}");
    wait_for_end();
    Ok(())
}
