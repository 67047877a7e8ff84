//! Asynchronous views in the style of Django that call a slow API: several calls at once, a time
//! limit, a cache, and blocking code.
//!
//! ```text
//! cargo run -p asyncio-examples --features http --example django_view
//! ```
//!
//! The slow API is another server on the same loop. The program visits its views, and ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use asyncio::http::{
    App, ClientError, ClientSession, IntoResponse, Path, Response, StatusCode, serve,
};
use asyncio::{gather, sleep, sync_to_async, timeout};
use axum::Json;

/// The time limit of a visitor.
const TIMEOUT: Duration = Duration::from_millis(500);
const GRACE: Duration = Duration::from_secs(1);

/// The weather of a place, which takes a while; for the moon it takes forever.
fn slow_api() -> App {
    App::new().get("/weather/{place}", async |Path(place): Path<String>| {
        let wait = if place == "moon" { 3600 * 1000 } else { 20 };
        sleep(Duration::from_millis(wait)).await;
        format!("{} degrees", 10 + place.len())
    })
}

struct Views {
    /// One session for all requests, since it keeps the connections.
    api: ClientSession,
    cache: RefCell<BTreeMap<String, String>>,
}

impl Views {
    async fn weather(&self, place: &str) -> Result<String, ClientError> {
        if let Some(known) = self.cache.borrow().get(place) {
            return Ok(known.clone());
        }
        let weather = self.api.get(format!("weather/{place}")).await?.text().await?;
        self.cache.borrow_mut().insert(place.to_owned(), weather.clone());
        Ok(weather)
    }

    /// `async def place(request, place)`
    async fn place(&self, place: &str) -> Response {
        match timeout(TIMEOUT, self.weather(place)).await {
            Ok(Ok(weather)) => format!("{place}: {weather}").into_response(),
            Ok(Err(error)) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
            // The call was cancelled, and its connection closed.
            Err(_) => (StatusCode::GATEWAY_TIMEOUT, "the API is slow").into_response(),
        }
    }

    /// `async def journey(request)`: all calls at once.
    async fn journey(&self, places: &str) -> Response {
        let places: Vec<&str> = places.split(',').collect();
        let answers = gather(places.iter().map(|place| self.weather(place))).await;
        match answers.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(answers) => {
                let weather: BTreeMap<_, _> = places.into_iter().zip(answers).collect();
                Json(weather).into_response()
            }
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }
}

/// A query by blocking code, as in Django's models.
fn count_of_visitors() -> u32 {
    thread::sleep(Duration::from_millis(5));
    42
}

fn urls(views: &Rc<Views>) -> App {
    let (of_place, of_journey) = (Rc::clone(views), Rc::clone(views));
    App::new()
        .get("/place/{place}", async move |Path(place): Path<String>| of_place.place(&place).await)
        .get("/journey/{places}", async move |Path(places): Path<String>| {
            of_journey.journey(&places).await
        })
        .get("/visitors", async || {
            let count = sync_to_async(count_of_visitors).await;
            count.map(|count| count.to_string()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
        })
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let api = serve("127.0.0.1:0", slow_api()).await?;
    let session =
        |address| ClientSession::builder().base_url(&format!("http://{address}/")).build();
    let views = Rc::new(Views { api: session(api.local_addr()?)?, cache: RefCell::default() });
    let site = serve("127.0.0.1:0", urls(&views)).await?;

    let browser = session(site.local_addr()?)?;
    for path in ["place/rome", "journey/rome,oslo,lima", "visitors", "place/moon"] {
        let start = Instant::now();
        let answer = browser.get(path).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        println!("/{path}: {status}: {text} ({} ms)", start.elapsed().as_millis());
        assert_eq!(status == StatusCode::GATEWAY_TIMEOUT, path == "place/moon");
    }
    assert_eq!(views.cache.borrow().len(), 3);
    site.shutdown(GRACE).await;
    // The call that the moon's visitor did not wait for has ended.
    api.shutdown(GRACE).await;
    Ok(())
}
