//! A bank transfer that a cancellation interrupts half-way. A simulation with seeds finds the bug;
//! the fixed version passes.
//!
//! ```text
//! cargo run -p asyncio-examples --features testing --example torn_transfer
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio::testing::{Faults, Simulation};

/// Two accounts at a bank that takes a millisecond for each entry.
struct Bank {
    accounts: [Cell<i64>; 2],
}

impl Bank {
    async fn add(&self, account: usize, amount: i64) {
        asyncio::sleep(Duration::from_millis(1)).await;
        self.accounts[account].set(self.accounts[account].get() + amount);
    }

    fn total(&self) -> i64 {
        self.accounts.iter().map(Cell::get).sum()
    }
}

/// This transfer may be cancelled between the two entries.
async fn torn(bank: &Bank, amount: i64) {
    bank.add(0, -amount).await;
    bank.add(1, amount).await;
}

/// This transfer is atomic: a cancellation waits until both entries are made.
async fn whole(bank: &Bank, amount: i64) {
    asyncio::critical(torn(bank, amount)).await;
}

/// Three clients transfer money, while the seed cancels some of them.
async fn clients(transfer: impl AsyncFn(&Bank, i64) + Clone + 'static) {
    let bank = Rc::new(Bank { accounts: [Cell::new(100), Cell::new(100)] });
    let clients = [10, 20, 30].map(|amount| {
        let (bank, transfer) = (Rc::clone(&bank), transfer.clone());
        asyncio::create_task(async move { transfer(&bank, amount).await })
    });
    for client in clients {
        let _ = client.await;
    }
    assert_eq!(bank.total(), 200, "money is lost or made");
}

fn main() {
    let simulation = Simulation::new().seeds(1000).faults(Faults::new().cancel(0.05));
    match simulation
        .check(async || clients(async |bank: &Bank, amount| torn(bank, amount).await).await)
    {
        Ok(summary) => panic!("not found in {summary}"),
        Err(failure) => println!("torn:\n{failure}\n"),
    }
    let mended = async || clients(async |bank: &Bank, amount| whole(bank, amount).await).await;
    println!("whole: {}", simulation.check(mended).expect("nothing is lost"));
}
