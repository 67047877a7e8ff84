//! A web application in the style of aiohttp: routes, JSON, shared data, a background task, and a
//! graceful shutdown.
//!
//! ```text
//! cargo run -p asyncio-examples --features http --example aiohttp_server
//! cargo run -p asyncio-examples --features http --example aiohttp_server 127.0.0.1:8080
//! ```
//!
//! Without an address it runs its own client; with one it serves until SIGTERM or Ctrl-C.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use asyncio::http::{
    App, ClientSession, IntoResponse, Next, Path, Request, Response, StatusCode, local_stream,
    serve,
};
use asyncio::{Task, create_task, interval, sleep};
use axum::Json;
use futures_util::stream;
use serde::{Deserialize, Serialize};

/// How long clients may take to finish before their requests are cancelled.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Clone, Deserialize, Serialize)]
struct Note {
    text: String,
}

/// The state that all handlers share. They run on one loop, so it needs no lock.
#[derive(Default)]
struct Notes {
    list: RefCell<Vec<Note>>,
    ticks: Cell<u64>,
}

fn app(notes: &Rc<Notes>) -> App {
    let shared = || Rc::clone(notes);
    App::new()
        .get("/", async || "notes are at /notes\n")
        .get("/notes", {
            let notes = shared();
            async move || Json(notes.list.borrow().clone())
        })
        .post("/notes", {
            let notes = shared();
            async move |Json(note): Json<Note>| {
                sleep(Duration::from_millis(5)).await; // writes to a database
                notes.list.borrow_mut().push(note);
                (StatusCode::CREATED, format!("/notes/{}", notes.list.borrow().len() - 1))
            }
        })
        .get("/notes/{number}", {
            let notes = shared();
            async move |Path(number): Path<usize>| {
                let found = notes.list.borrow().get(number).cloned();
                found.map(Json).ok_or(StatusCode::NOT_FOUND)
            }
        })
        .get("/ticks", {
            let notes = shared();
            async move || {
                let notes = Rc::clone(&notes);
                local_stream(stream::unfold(3, move |left: u32| {
                    let notes = Rc::clone(&notes);
                    async move {
                        let next = left.checked_sub(1)?;
                        sleep(Duration::from_millis(10)).await;
                        Some((
                            Ok::<_, std::io::Error>(format!("tick {}\n", notes.ticks.get())),
                            next,
                        ))
                    }
                }))
            }
        })
        .middleware(async |request: Request, next: Next| -> Response {
            let line = format!("{} {}", request.method(), request.uri());
            let response = next.run(request).await;
            println!("server: {line}: {}", response.status());
            response.into_response()
        })
}

/// Stands for the background work of an application.
fn tick(notes: &Rc<Notes>) -> Task<()> {
    let notes = Rc::clone(notes);
    create_task(async move {
        let mut moments = interval(Duration::from_millis(5));
        loop {
            moments.tick().await;
            notes.ticks.set(notes.ticks.get() + 1);
        }
    })
}

async fn visit(url: &str) -> Result<(), Box<dyn Error>> {
    let session = ClientSession::builder().base_url(url).raise_for_status(true).build()?;
    let place = session.post("notes").json(&Note { text: "buy milk".to_owned() }).await?;
    let place = place.text().await?;
    let note: Note = session.get(&place).await?.json().await?;
    println!("client: {place} is {:?}", note.text);
    assert_eq!(note.text, "buy milk");
    let error = session.get("notes/7").await.unwrap_err();
    println!("client: {error}");
    assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
    let mut ticks = session.get("ticks").await?;
    while let Some(piece) = ticks.chunk().await? {
        print!("client: {}", String::from_utf8_lossy(&piece));
    }
    Ok(())
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let notes = Rc::new(Notes::default());
    let address = std::env::args().nth(1);
    let ticking = tick(&notes);
    let server = serve(address.as_deref().unwrap_or("127.0.0.1:0"), app(&notes))
        .shutdown_grace(GRACE)
        .on_cleanup(async move || {
            ticking.cancel();
            let _ = ticking.await;
        })
        .await?;
    println!("serving on http://{}/", server.local_addr()?);
    if address.is_some() {
        return Ok(server.until_signal().await?);
    }
    visit(&format!("http://{}/", server.local_addr()?)).await?;
    server.shutdown(GRACE).await;
    Ok(())
}
