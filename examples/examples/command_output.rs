//! Runs a command and prints its output line by line as it arrives, then its exit status.
//!
//! ```text
//! cargo run -p asyncio-examples --example command_output
//! cargo run -p asyncio-examples --example command_output -- ping -c 3 localhost
//! ```

use std::io;

use asyncio::{Stdio, StreamReader, create_subprocess_exec, create_task};

async fn print_lines(name: &str, mut lines: StreamReader) -> io::Result<()> {
    while let Some(line) = lines.next_line().await? {
        println!("{name}: {}", String::from_utf8_lossy(&line).trim_end());
    }
    Ok(())
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        let script = "for n in 1 2 3; do echo step $n; sleep 0.1; done; echo done >&2; exit 3";
        words = ["sh", "-c", script].map(String::from).into();
    }
    let command = create_subprocess_exec(&words[0], &words[1..]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).await?;
    println!("process {} runs", process.id());

    let errors = process.take_stderr().expect("it is piped");
    let errors = create_task(print_lines("err", errors));
    let output = process.take_stdout().expect("it is piped");
    print_lines("out", output).await?;
    errors.await.expect("a result")?;

    println!("process {} ended: {}", process.id(), process.wait().await);
    Ok(())
}
