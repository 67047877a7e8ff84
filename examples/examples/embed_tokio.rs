//! A tokio program with an asyncio part, on one thread.
//!
//! A server on tokio's sockets passes each question to an asyncio worker, whose cleanup is awaited
//! when the program ends.
//!
//! ```text
//! cargo run -p asyncio-examples --features tokio-runtime --example embed_tokio
//! ```

use std::error::Error;
use std::future::IntoFuture;
use std::io;
use std::time::Duration;

use asyncio::tokio_runtime::{LocalRuntime, embed};
use asyncio::{create_task, finally, sleep};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

/// A question, and the channel for its answer.
type Question = (String, oneshot::Sender<String>);

/// The asyncio part: answers questions until it is cancelled.
async fn answer(mut questions: mpsc::Receiver<Question>) {
    let worker = async move {
        while let Some((text, answer)) = questions.recv().await {
            // The answers overlap.
            create_task(async move {
                sleep(Duration::from_millis(5)).await;
                let _ = answer.send(text.to_uppercase());
            });
        }
    };
    finally(worker, async |_| {
        sleep(Duration::from_millis(5)).await;
        println!("the worker has cleaned up");
    })
    .await;
}

/// The tokio part: one connection.
async fn serve(mut stream: TcpStream, questions: mpsc::Sender<Question>) -> io::Result<()> {
    let mut buffer = [0; 256];
    let read = stream.read(&mut buffer).await?;
    let question = String::from_utf8_lossy(&buffer[..read]).into_owned();
    let (sender, answer) = oneshot::channel();
    questions.send((question, sender)).await.map_err(io::Error::other)?;
    stream.write_all(answer.await.map_err(io::Error::other)?.as_bytes()).await
}

async fn ask(address: std::net::SocketAddr, question: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(question.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn program() -> Result<(), Box<dyn Error>> {
    let (sender, receiver) = mpsc::channel(16);
    let (stop, stopped) = oneshot::channel::<()>();
    // The main task of the loop ends when it is told to, and the worker is cancelled then.
    let embedded = embed(async move {
        create_task(answer(receiver));
        let _ = stopped.await;
    });
    let embedded = spawn_local(embedded.into_future());

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(serve(stream, sender.clone()));
        }
    });
    let answers = tokio::try_join!(ask(address, "one"), ask(address, "two"))?;
    println!("{} {}", answers.0, answers.1);

    server.abort();
    drop(stop);
    embedded.await??;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    LocalRuntime::new()?.block_on(program())
}
