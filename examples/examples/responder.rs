//! Greetings by routes in the style of responder, with a monitor for the running site.
//!
//! ```text
//! cargo run -p asyncio-examples --features http,monitor --example responder
//! cargo run -p asyncio-examples --features http,monitor --example responder 127.0.0.1:8080
//! ```
//!
//! Without an address it visits itself, queries its monitor, and ends. With one it serves until
//! SIGTERM or Ctrl-C; open the monitor's address in a browser, or type `greeted` into `nc HOST
//! PORT`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use asyncio::http::{App, ClientSession, Path, serve};
use asyncio::monitor::{self, Options};
use asyncio::{create_task, open_connection, running_loop, sleep};
use axum::Json;

const GRACE: Duration = Duration::from_secs(1);

fn api(greeted: Rc<Cell<u64>>) -> App {
    let background = Rc::clone(&greeted);
    App::new()
        .get("/", async || "hello, world!")
        .get("/hello/{who}", async |Path(who): Path<String>| format!("hello, {who}!"))
        .get("/hello/{who}/json", async |Path(who): Path<String>| {
            Json(BTreeMap::from([("hello", who)]))
        })
        .get("/later/{who}", async move |Path(who): Path<String>| {
            // This task continues after the answer was sent.
            let greeted = Rc::clone(&background);
            create_task(async move {
                sleep(Duration::from_millis(5)).await; // writes a letter
                greeted.set(greeted.get() + 1);
            });
            format!("{who} will be greeted")
        })
}

async fn visit(url: &str) -> Result<(), Box<dyn Error>> {
    let session = ClientSession::builder().base_url(url).raise_for_status(true).build()?;
    for path in ["", "hello/Ada", "hello/Ada/json", "later/Bob"] {
        println!("/{path}: {}", session.get(path).await?.text().await?);
    }
    Ok(())
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let greeted = Rc::new(Cell::new(0));
    let shown = Rc::clone(&greeted);
    let options = Options::new().address("127.0.0.1:0").command(
        "greeted",
        "says how many letters were written",
        async move || format!("{} greeted later", shown.get()),
    );
    let monitor = monitor::start(&running_loop(), options)?;
    let watched = monitor.local_addr().ok_or("no address")?;

    let address = env::args().nth(1);
    let server =
        serve(address.as_deref().unwrap_or("127.0.0.1:0"), api(Rc::clone(&greeted))).await?;
    println!("http://{}/, watched at http://{watched}/", server.local_addr()?);
    if address.is_some() {
        return Ok(server.until_signal().await?);
    }

    visit(&format!("http://{}/", server.local_addr()?)).await?;
    while greeted.get() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let (mut reader, writer) = open_connection(watched).await?;
    writer.write("greeted\nquit\n");
    let told = reader.read_to_end().await?;
    let told = String::from_utf8_lossy(&told);
    print!("{told}");
    assert!(told.contains("1 greeted later"));
    server.shutdown(GRACE).await;
    Ok(())
}
