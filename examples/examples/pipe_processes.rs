//! The ten longest words of a file, by a pipeline of three processes, like `… | … | head` in a
//! shell.
//!
//! The bytes between the processes do not pass through this program.
//!
//! ```text
//! cargo run -p asyncio-examples --example pipe_processes
//! cargo run -p asyncio-examples --example pipe_processes README.md
//! ```

use std::fs::File;
use std::io;

use asyncio::{Command, Stdio};

#[asyncio::main]
async fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| file!().to_owned());
    let file = File::open(&path).or_else(|_| File::open("/etc/passwd"))?;

    let words = Command::new("tr").args(["-cs", "[:alpha:]", "\n"]).stdin(file);
    let mut words = words.stdout(Stdio::piped()).await?;
    let unique = Command::new("sort").arg("-u").stdin(words.take_stdout_fd().expect("it is piped"));
    let mut unique = unique.stdout(Stdio::piped()).await?;
    let longest = Command::new("awk").arg("{ print length($0), $0 }");
    let longest = longest.stdin(unique.take_stdout_fd().expect("it is piped"));
    let output = longest.stdout(Stdio::piped()).output().await?;

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words_by_length: Vec<(usize, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(length, word)| Some((length.parse().ok()?, word)))
        .collect();
    words_by_length.sort_unstable();
    for (length, word) in words_by_length.iter().rev().take(10) {
        println!("{length:3} {word}");
    }
    for process in [words, unique] {
        assert!(process.wait().await.success());
    }
    Ok(())
}
