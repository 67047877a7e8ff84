//! A crawler as aiohttp's users write it: one session with limits, a queue of pages, several
//! workers.
//!
//! ```text
//! cargo run -p asyncio-examples --features http --example aiohttp_client
//! cargo run -p asyncio-examples --features http --example aiohttp_client http://127.0.0.1:8080/
//! ```
//!
//! Without a URL it crawls its own site.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use asyncio::http::{App, ClientError, ClientSession, Path, StatusCode, Timeouts, serve};
use asyncio::{Queue, scope, sleep};
use axum::response::Html;

const WORKERS: usize = 8;
/// The maximum number of pages to visit.
const MOST: usize = 1000;
const GRACE: Duration = Duration::from_secs(1);

/// The pages of one host, each of them once.
struct Crawl {
    session: ClientSession,
    seen: RefCell<BTreeSet<String>>,
    failed: RefCell<Vec<String>>,
    queue: Queue<String>,
}

impl Crawl {
    fn new(start: &str) -> Result<Self, ClientError> {
        let session = ClientSession::builder()
            .base_url(start)
            .limit_per_host(4)
            .timeouts(Timeouts::default().total(Duration::from_secs(10)))
            .build()?;
        let crawl = Self {
            session,
            seen: RefCell::default(),
            failed: RefCell::default(),
            queue: Queue::new(),
        };
        crawl.found("/");
        Ok(crawl)
    }

    /// Notes a page, once.
    fn found(&self, path: &str) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() < MOST && seen.insert(path.to_owned()) {
            // A queue that is full or shut down refuses the page.
            let _ = self.queue.put_nowait(path.to_owned());
        }
    }

    async fn work(&self) {
        while let Ok(path) = self.queue.get().await {
            match self.page(&path).await {
                Ok(text) => links(&text).for_each(|link| self.found(link)),
                Err(error) => self.failed.borrow_mut().push(error.to_string()),
            }
            // `task_done` fails only if it is called more often than `put`.
            let _ = self.queue.task_done();
        }
    }

    async fn page(&self, path: &str) -> Result<String, ClientError> {
        self.session.get(path).await?.raise_for_status()?.text().await
    }

    /// Returns when every page that was found has been visited.
    async fn run(&self) {
        scope(async |workers| {
            for _ in 0..WORKERS {
                workers.create_task(self.work());
            }
            self.queue.join().await;
            self.queue.shutdown();
        })
        .await;
    }
}

/// The links of a page that lead to its own host.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.filter(|link| link.starts_with('/') && !link.starts_with("//"))
}

/// A site whose pages link to two others each. One link is broken.
fn site() -> App {
    let page = async |number: u32| {
        sleep(Duration::from_millis(2)).await;
        let link = |number: u32| format!("<a href=\"/page/{number}\">{number}</a>");
        let (left, right) = (number * 2 + 1, number * 2 + 2);
        let nowhere = if number == 5 { "<a href=\"/lost\">lost</a>" } else { "" };
        Html(if left < 63 {
            format!("{} {} {nowhere}", link(left), link(right))
        } else {
            String::new()
        })
    };
    App::new()
        .get("/", async move || page(0).await)
        .get("/page/{number}", async move |Path(number): Path<u32>| page(number).await)
        .fallback(async || StatusCode::NOT_FOUND)
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Some(start) = std::env::args().nth(1) {
        let crawl = Crawl::new(&start)?;
        crawl.run().await;
        crawl.seen.borrow().iter().for_each(|path| println!("{path}"));
        crawl.failed.borrow().iter().for_each(|error| println!("failed: {error}"));
        return Ok(());
    }
    let server = serve("127.0.0.1:0", site()).await?;
    let crawl = Crawl::new(&format!("http://{}/", server.local_addr()?))?;
    crawl.run().await;
    println!(
        "{} pages over {} connections; failed: {:?}",
        crawl.seen.borrow().len(),
        crawl.session.connection_count(),
        crawl.failed.borrow(),
    );
    // The first page, 62 others, and the missing one.
    assert_eq!(crawl.seen.borrow().len(), 64);
    assert_eq!(crawl.failed.borrow().len(), 1);
    assert!(crawl.session.connection_count() <= 4);
    crawl.session.close();
    server.shutdown(GRACE).await;
    Ok(())
}
