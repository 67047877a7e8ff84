//! One router, under our server and under axum's own.

use std::io;
use std::thread;
use std::time::Duration;

use asyncio::http::serve as serve_ours;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::measure::{LOAD_CORE, pin_to, settle, wait_for_end};

fn router() -> Router {
    let json = async || Json(serde_json::json!({ "message": "Hello, World!" }));
    Router::new().route("/plaintext", get(async || "Hello, World!")).route("/json", get(json))
}

/// Serves, prints the address, and ends with the input.
pub(crate) fn serve(name: &str) -> io::Result<()> {
    match name {
        "ours" => ours(1),
        "ours-2" => ours(2),
        "tokio" => {
            settle(1);
            tokio(Builder::new_current_thread())
        }
        // Of clients that are measured.
        "load" => {
            pin_to(LOAD_CORE);
            tokio(Builder::new_current_thread())
        }
        "tokio-2" => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2);
            tokio(builder)
        }
        _ => Err(io::Error::other(format!("no server {name}"))),
    }
}

fn ours(loops: usize) -> io::Result<()> {
    settle(loops);
    asyncio::run(async {
        let server = serve_ours("127.0.0.1:0", router()).loops(loops).await?;
        println!("{}", server.local_addr()?);
        // The wait for the end blocks, and costs a thread that sleeps.
        asyncio::to_thread(wait_for_end).await.map_err(io::Error::other)?;
        server.shutdown(Duration::ZERO).await;
        Ok(())
    })
}

fn tokio(mut builder: Builder) -> io::Result<()> {
    let runtime: Runtime = builder.enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let (ended, end) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            wait_for_end();
            ended.send(())
        });
        tokio::select! {
            served = axum::serve(listener, router()).into_future() => served,
            _ = end => Ok(()),
        }
    })
}
