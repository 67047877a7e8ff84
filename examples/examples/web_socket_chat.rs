//! A chat by web sockets: each message goes to all other clients, and a slow client does not delay
//! the others.
//!
//! ```text
//! cargo run -p asyncio-examples --features http --example web_socket_chat
//! cargo run -p asyncio-examples --features http --example web_socket_chat 127.0.0.1:8080
//! ```
//!
//! Without an address it runs its own clients; with one it serves until SIGTERM or Ctrl-C.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio::http::websocket::{WebSocket, WebSocketUpgrade};
use asyncio::http::{App, ClientSession, Path, serve};
use asyncio::{Queue, create_task, gather};

/// How many messages may wait for a client. A slower client is disconnected.
const QUEUE_SIZE: usize = 100;
const GRACE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Room {
    members: RefCell<BTreeMap<u64, Rc<Queue<String>>>>,
    next: Cell<u64>,
}

impl Room {
    fn say(&self, text: &str) {
        for queue in self.members.borrow().values() {
            if queue.put_nowait(text.to_owned()).is_err() {
                queue.shutdown_now();
            }
        }
    }

    /// Serves one member: sends its messages to all others, and the others' messages to it.
    async fn join(self: Rc<Self>, name: String, socket: WebSocket) -> io::Result<()> {
        let number = self.next.replace(self.next.get() + 1);
        let queue = Rc::new(Queue::bounded(QUEUE_SIZE));
        self.members.borrow_mut().insert(number, Rc::clone(&queue));
        self.say(&format!("{name} has come"));
        let writing = create_task({
            let socket = socket.clone();
            async move {
                while let Ok(text) = queue.get().await {
                    socket.send(text).await?;
                }
                socket.close(1000, "good bye").await
            }
        });
        while let Ok(Some(message)) = socket.receive().await {
            if let Some(text) = message.as_text() {
                self.say(&format!("{name}: {text}"));
            }
        }
        writing.cancel();
        self.members.borrow_mut().remove(&number);
        self.say(&format!("{name} has left"));
        Ok(())
    }

    /// Disconnects all members.
    fn close(&self) {
        self.members.borrow().values().for_each(|queue| queue.shutdown());
    }
}

/// Reads until a message has this text.
async fn until(socket: &WebSocket, wanted: &str) -> io::Result<()> {
    while let Some(message) = socket.receive().await? {
        if message.as_text() == Some(wanted) {
            return Ok(());
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

async fn talk(base: &str) -> Result<(), Box<dyn Error>> {
    let session = ClientSession::builder().base_url(base).build()?;
    let (ada, bob) = (session.ws_connect("chat/Ada").await?, session.ws_connect("chat/Bob").await?);
    until(&ada, "Bob has come").await?;
    ada.send("hello").await?;
    until(&bob, "Ada: hello").await?;
    println!("Bob has heard Ada");
    bob.close(1000, "").await?;
    until(&ada, "Bob has left").await?;
    println!("Ada has seen Bob leave");
    let left = gather((ada.receive(), async { ada.send("anybody?").await })).await;
    println!("Ada hears {:?}", left.0?);
    Ok(ada.close(1000, "").await?)
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let room = Rc::new(Room::default());
    let app = App::new().get("/chat/{name}", {
        let room = Rc::clone(&room);
        async move |Path(name): Path<String>, upgrade: WebSocketUpgrade| {
            let room = Rc::clone(&room);
            upgrade.on_upgrade(async move |socket| room.join(name, socket).await)
        }
    });
    let address = std::env::args().nth(1);
    let server = serve(address.as_deref().unwrap_or("127.0.0.1:0"), app)
        .on_shutdown(async move || room.close())
        .shutdown_grace(GRACE)
        .await?;
    println!("serving on ws://{}/chat/NAME", server.local_addr()?);
    if address.is_some() {
        return Ok(server.until_signal().await?);
    }
    talk(&format!("http://{}/", server.local_addr()?)).await?;
    server.shutdown(GRACE).await;
    Ok(())
}
