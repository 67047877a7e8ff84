//! Tests on a thread pool and on a process pool whether large numbers are prime. Meanwhile the loop
//! counts ticks, which shows that it is not blocked.
//!
//! In Rust a thread pool is enough to use several processors. Worker processes are for functions
//! that may crash or never return: one function here crashes, and only its own job fails.
//!
//! ```text
//! cargo run --release -p asyncio-examples --features process-pool --example primes
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::process::PoolFunction;
use asyncio::{ProcessPoolExecutor, ThreadPoolExecutor, create_task, sleep};

static IS_PRIME: PoolFunction<u64, bool> = PoolFunction::new("is_prime", is_prime);
static CRASH: PoolFunction<u64, bool> = PoolFunction::new("crash", |_| std::process::abort());
static HANG: PoolFunction<u64, bool> = PoolFunction::new("hang", |_| {
    loop {
        std::thread::park();
    }
});

const NUMBERS: [u64; 6] = [
    112_272_535_095_293,
    112_582_705_942_171,
    115_280_095_190_773,
    115_797_848_077_099,
    1_099_726_899_285_419,
    112_272_535_095_295,
];

fn is_prime(number: u64) -> bool {
    let odd = || (3..).step_by(2).take_while(|&divisor: &u64| divisor * divisor <= number);
    number == 2 || (number > 2 && number % 2 == 1 && odd().all(|divisor| number % divisor != 0))
}

fn main() {
    // This must be the first call: worker processes run it and do not return.
    asyncio::process::init_process_pool(&[&IS_PRIME, &CRASH, &HANG]);
    asyncio::run(test_all());
}

async fn test_all() {
    let ticks = Rc::new(Cell::new(0));
    let ticker = create_task({
        let ticks = ticks.clone();
        async move {
            loop {
                sleep(Duration::from_millis(1)).await;
                ticks.set(ticks.get() + 1);
            }
        }
    });

    let threads = ThreadPoolExecutor::default();
    let start = Instant::now();
    let jobs = NUMBERS.map(|number| threads.submit(move || is_prime(number)));
    for (number, job) in NUMBERS.into_iter().zip(jobs) {
        println!("{number}: {}", if job.await.expect("no panic") { "prime" } else { "not prime" });
    }
    println!("threads took {:?}, the loop ticked {} times", start.elapsed(), ticks.replace(0));

    let processes = ProcessPoolExecutor::default();
    let start = Instant::now();
    let limit = Some(Duration::from_millis(50));
    let (crash, hang) = (processes.submit(&CRASH, 0), processes.submit_within(limit, &HANG, 0));
    let jobs = NUMBERS.map(|number| processes.submit(&IS_PRIME, number));
    let mut primes = 0;
    for job in jobs {
        primes += u32::from(job.await.expect("a worker that lives"));
    }
    println!("{primes} primes by processes");
    for failure in [crash.await, hang.await] {
        println!("{}", failure.expect_err("it crashes or hangs"));
    }
    println!("processes took {:?}, the loop ticked {} times", start.elapsed(), ticks.get());
    ticker.cancel();
    assert_eq!(primes, 4);
}
