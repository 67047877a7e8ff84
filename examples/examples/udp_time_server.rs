//! The time protocol of RFC 868 over UDP: the server answers each datagram with the seconds since
//! 1900, in four bytes. The client asks again when there is no answer, since datagrams get lost.
//!
//! ```text
//! cargo run -p asyncio-examples --example udp_time_server                       is its own client
//! cargo run -p asyncio-examples --example udp_time_server serve 127.0.0.1:3737  until Ctrl-C
//! cargo run -p asyncio-examples --example udp_time_server ask 127.0.0.1:3737    elsewhere
//! ```

use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use asyncio::net::Address;
use asyncio::{DatagramProtocol, DatagramTransport, Queue, create_datagram_endpoint, timeout};

/// From 1900 to 1970, in seconds.
const EPOCH: u64 = 2_208_988_800;
/// How long the client waits for each answer, and how often it asks.
const TIMEOUT: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 3;

/// The protocol's seconds since 1900, which wrap in 2036.
fn now() -> u32 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since_1970.as_secs() + EPOCH) as u32
}

/// Answers each request.
struct Clock {
    /// How many requests to drop, to show the client's retries.
    lost: usize,
}

impl DatagramProtocol for Clock {
    fn datagram_received(&mut self, transport: &DatagramTransport, _: &[u8], sender: &Address) {
        if self.lost > 0 {
            self.lost -= 1;
            return;
        }
        transport.send_to(now().to_be_bytes(), sender.clone());
    }
}

async fn serve(address: &str, lost: usize) -> io::Result<DatagramTransport> {
    create_datagram_endpoint(|| Clock { lost }).local_addr(address).await
}

/// Passes on answers and errors.
struct Question {
    answers: Rc<Queue<io::Result<u32>>>,
}

impl DatagramProtocol for Question {
    fn datagram_received(&mut self, _: &DatagramTransport, data: &[u8], _: &Address) {
        // Other datagrams are ignored.
        if let Ok(seconds) = data.try_into() {
            let _ = self.answers.put_nowait(Ok(u32::from_be_bytes(seconds)));
        }
    }

    fn error_received(&mut self, _: &DatagramTransport, error: io::Error) {
        let _ = self.answers.put_nowait(Err(error));
    }
}

async fn ask(address: &str) -> io::Result<u32> {
    let answers = Rc::new(Queue::new());
    let protocol = Question { answers: answers.clone() };
    // The socket is connected, so it receives no datagrams of other hosts, and it gets an error if
    // the server does not listen.
    let transport = create_datagram_endpoint(|| protocol).remote_addr(address).await?;
    let mut result = Err(io::ErrorKind::TimedOut.into());
    for _ in 0..ATTEMPTS {
        transport.send(b"");
        match timeout(TIMEOUT, answers.get()).await {
            Ok(answer) => {
                result = answer.expect("nobody shuts the queue down");
                break;
            }
            Err(_) => println!("no answer in {TIMEOUT:?}"),
        }
    }
    transport.close();
    result
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => {
            let clock = serve(address, 0).await?;
            println!("serving on {}", clock.local_address());
            std::future::pending().await
        }
        ["ask", address] => {
            println!("{} seconds since 1900", ask(address).await?);
            Ok(())
        }
        _ => show().await,
    }
}

async fn show() -> io::Result<()> {
    let clock = serve("127.0.0.1:0", 1).await?;
    let address = clock.local_address().to_string();
    let answer = ask(&address).await?;
    println!("{answer} seconds since 1900");
    assert!(now().wrapping_sub(answer) < 5);

    clock.close();
    let error = ask(&address).await.expect_err("nobody is there");
    println!("after the end: {error}");
    Ok(())
}
