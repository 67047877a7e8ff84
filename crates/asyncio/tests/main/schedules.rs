//! The examples of docs/TESTING.md that run under many schedules.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Checks that a seat is free, yields, and takes it: another task may have taken it meanwhile.
async fn take_a_seat(seats: Rc<Cell<u32>>, way: u32) {
    for _ in 0..way {
        asyncio::yield_now().await;
    }
    if seats.get() > 0 {
        asyncio::yield_now().await;
        seats.set(seats.get().checked_sub(1).expect("the seat is taken already"));
    }
}

#[asyncio::testing::test(seeds = 1000)]
#[should_panic(expected = "the seat is taken already")]
async fn two_guests_and_one_seat() {
    let seats = Rc::new(Cell::new(1));
    let guests = [0, 3].map(|way| asyncio::create_task(take_a_seat(Rc::clone(&seats), way)));
    for guest in guests {
        guest.await.unwrap();
    }
}

fn hard_times() -> asyncio::testing::Simulation {
    let faults = asyncio::testing::Faults::new();
    asyncio::testing::Simulation::new()
        .faults(faults.cancel(0.01).delay(0.05, Duration::from_secs(1)).job_panic(0.1))
}

#[asyncio::testing::test(seeds = 200, simulation = hard_times())]
async fn a_lock_is_free_in_the_end() {
    let lock = std::rc::Rc::new(asyncio::Lock::new(0));
    let workers = [1, 2, 3].map(|_| {
        let lock = std::rc::Rc::clone(&lock);
        asyncio::create_task(async move {
            let mut value = lock.acquire().await;
            *value += 1;
            let _ = asyncio::to_thread(|| ()).await;
        })
    });
    for worker in workers {
        let _ = worker.await;
    }
    assert!(*lock.try_acquire().unwrap() <= 3);
}
