//! What `ps` of 100,000 tasks costs: how long it takes, and how long the loop stands still for it.
//!
//! ```text
//! cargo run --release -p asyncio-monitor --example many_tasks
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use asyncio_loop::running_loop;
use asyncio_monitor::Options;
use asyncio_task::{create_task, run, sleep, to_thread, yield_now};

const TASKS: usize = 100_000;

fn main() -> io::Result<()> {
    run(async {
        let options = Options::new().address("127.0.0.1:0");
        let monitor = asyncio_monitor::start(&running_loop(), options)?;
        let address = monitor.local_addr().ok_or_else(|| io::Error::other("no address"))?;
        for _ in 0..TASKS {
            drop(create_task(async { sleep(Duration::from_secs(3600)).await }));
        }
        yield_now().await;
        for _ in 0..5 {
            let (took, length, pause) =
                to_thread(move || measure(address)).await.map_err(io::Error::other)??;
            writeln!(
                io::stdout(),
                "ps of {TASKS} tasks: {} KiB in {:.1} ms; the loop stood still for {pause} s at \
                 most",
                length / 1024,
                took.as_secs_f64() * 1e3,
            )?;
        }
        Ok(())
    })
}

/// How long `ps` takes, the length of its text, and the longest pause of the loop.
fn measure(address: SocketAddr) -> io::Result<(Duration, usize, String)> {
    let begin = Instant::now();
    let text = exchange(address, "ps\nquit\n")?;
    let took = begin.elapsed();
    let json = exchange(address, "GET /api/tasks?limit=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let pause = json.rsplit_once("longest_pause\":").map_or("", |(_, pause)| pause);
    Ok((took, text.len(), pause.trim_end_matches('}').to_owned()))
}

fn exchange(address: SocketAddr, text: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(text.as_bytes())?;
    socket.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}
