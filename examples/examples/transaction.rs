//! Cleanup that awaits: a transaction is rolled back when its body fails, panics, is cancelled, or
//! runs out of time. The rollback talks to the database, and the caller waits for it.
//!
//! ```text
//! cargo run -p asyncio-examples --example transaction
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{Outcome, Runner, TimeoutError, create_task, finally, sleep, timeout};

/// The duration of a round trip to the database.
const ROUND_TRIP: Duration = Duration::from_millis(5);

/// Two accounts, and a log of the statements.
#[derive(Default)]
struct Database {
    balance: RefCell<[i64; 2]>,
    statements: RefCell<Vec<&'static str>>,
}

impl Database {
    async fn execute(&self, statement: &'static str) {
        println!("database: {statement}");
        self.statements.borrow_mut().push(statement);
        sleep(ROUND_TRIP).await;
    }

    /// Runs `work` in a transaction: either all of its changes take effect or none.
    async fn transaction<T, E>(
        &self,
        work: impl AsyncFnOnce(&mut [i64; 2]) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut balance = *self.balance.borrow();
        let changed = async {
            // This is inside the body, since a cancellation may happen at any await, including this
            // one.
            self.execute("begin").await;
            let value = work(&mut balance).await?;
            Ok((value, balance))
        };
        let (value, balance) = finally(changed, async |outcome| match outcome {
            Outcome::Finished(Ok(_)) => self.execute("commit").await,
            _ => self.execute("rollback").await,
        })
        .await?;
        *self.balance.borrow_mut() = balance;
        Ok(value)
    }

    async fn transfer(&self, amount: i64) -> Result<(), &'static str> {
        let transferred = self.transaction(async |balance| {
            self.execute("debit").await;
            balance[0] -= amount;
            if balance[0] < 0 {
                return Err("not enough");
            }
            self.execute("credit").await;
            balance[1] += amount;
            Ok(())
        });
        transferred.await
    }
}

/// With virtual time, half a round trip is exact.
fn main() {
    Runner::builder().virtual_time(true).run(show());
}

async fn show() {
    let database = Rc::new(Database { balance: RefCell::new([100, 0]), ..Database::default() });
    let statements = || database.statements.take();

    assert_eq!(database.transfer(30).await, Ok(()));
    assert_eq!(statements(), ["begin", "debit", "credit", "commit"]);

    assert_eq!(database.transfer(1000).await, Err("not enough"));
    assert_eq!(statements(), ["begin", "debit", "rollback"]);

    // The time limit expires between debit and credit. It does not cut the rollback short.
    let late = timeout(ROUND_TRIP * 3 / 2, database.transfer(30)).await;
    assert_eq!(late, Err(TimeoutError));
    assert_eq!(statements(), ["begin", "debit", "rollback"]);

    // The task is cancelled: by a shutdown, by a failing group, or directly as here.
    let task = create_task({
        let database = Rc::clone(&database);
        async move { database.transfer(30).await }
    });
    sleep(ROUND_TRIP / 2).await;
    task.cancel();
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(statements(), ["begin", "rollback"]);

    assert_eq!(*database.balance.borrow(), [70, 30]);
    println!("every transaction is closed, and no money is lost");
}
