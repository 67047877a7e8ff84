//! Sums for the user at the terminal, with a clock that goes on meanwhile. At the end of the
//! input it ends.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use asyncio::{create_task, input, interval, timeout};

#[derive(Default)]
struct Score {
    right: Cell<u32>,
    asked: Cell<u32>,
}

async fn ask(score: &Score, left: u32, right: u32) -> io::Result<bool> {
    score.asked.set(score.asked.get() + 1);
    let question = format!("{left} + {right} = ");
    let answer = match timeout(Duration::from_secs(20), input(&question)).await {
        Ok(answer) => answer?,
        Err(_) => {
            println!("\ntoo late");
            return Ok(false);
        }
    };
    let is_right = answer.trim().parse() == Ok(left + right);
    if is_right {
        score.right.set(score.right.get() + 1);
    }
    Ok(is_right)
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let score = Rc::new(Score::default());
    let clock = create_task({
        let score = score.clone();
        async move {
            let mut minutes = interval(Duration::from_secs(60));
            loop {
                minutes.tick().await;
                eprintln!("{} of {}", score.right.get(), score.asked.get());
            }
        }
    });
    for number in 1..=5 {
        match ask(&score, number, number * 7 % 10).await {
            Ok(true) => println!("right"),
            Ok(false) => println!("no"),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    clock.cancel();
    assert!(clock.await.is_err_and(|error| error.is_cancelled()));
    println!("\n{} of {} were right", score.right.get(), score.asked.get());
    Ok(())
}
