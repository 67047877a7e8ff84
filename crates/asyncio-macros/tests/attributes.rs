//! The expansions of `#[asyncio::main]` and `#[asyncio::testing::test]`.

use std::io;
use std::time::{Duration, Instant};

mod renamed {
    pub(crate) use ::asyncio as facade;
}

#[asyncio::main]
async fn seven() -> u32 {
    asyncio::yield_now().await;
    7
}

/// Keeps its documentation, visibility, result and `?`.
#[asyncio::main(debug = true)]
#[must_use]
pub(crate) async fn is_debug() -> io::Result<bool> {
    let event_loop = asyncio::try_running_loop().map_err(io::Error::other)?;
    Ok(event_loop.is_debug())
}

#[asyncio::main(debug = false, crate = "crate::renamed::facade")]
async fn is_debug_in_a_renamed_crate() -> bool {
    asyncio::running_loop().is_debug()
}

#[asyncio::main(virtual_time, debug)]
async fn a_year() -> (Duration, bool) {
    let event_loop = asyncio::running_loop();
    let start = event_loop.time();
    asyncio::sleep(Duration::from_secs(365 * 24 * 3600)).await;
    (event_loop.time() - start, event_loop.is_debug())
}

#[asyncio::main(watchdog = false)]
async fn without_a_watchdog() -> Option<Duration> {
    asyncio::running_loop().watchdog()
}

#[asyncio::main(watchdog = Duration::from_millis(2 * 100), debug = true)]
async fn with_a_patient_watchdog() -> (Option<Duration>, bool) {
    let event_loop = asyncio::running_loop();
    (event_loop.watchdog(), event_loop.is_debug())
}

#[asyncio::main]
async fn shows() -> impl std::fmt::Display {
    "shown"
}

#[test]
fn main_runs_the_function_on_a_loop_and_returns_its_value() {
    assert_eq!(seven(), 7);
    assert_eq!(seven(), 7, "with a new loop for each call");
    assert_eq!(shows().to_string(), "shown");
}

//
#[test]
fn main_sets_the_debug_flag() {
    assert!(is_debug().unwrap());
    assert!(!is_debug_in_a_renamed_crate());
}

#[test]
fn main_sets_the_limit_of_the_watchdog() {
    assert_eq!(without_a_watchdog(), None);
    assert_eq!(with_a_patient_watchdog(), (Some(Duration::from_millis(200)), true));
}

#[test]
fn main_records_into_a_file() {
    #[asyncio::main(record = recording())]
    async fn recorded() {}

    fn recording() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("asyncio-macros-{}.json", std::process::id()))
    }

    recorded();
    let text = std::fs::read_to_string(recording()).unwrap();
    std::fs::remove_file(recording()).unwrap();
    assert!(text.starts_with("{\"traceEvents\":["));
}

#[test]
fn a_switch_by_itself_is_on() {
    assert_eq!(a_year(), (Duration::from_secs(365 * 24 * 3600), true));
}

#[asyncio::testing::test]
async fn a_test_runs_on_a_loop() {
    assert!(asyncio::try_running_loop().is_ok());
}

#[asyncio::testing::test]
async fn a_test_may_return_a_result() -> io::Result<()> {
    Ok(())
}

#[asyncio::testing::test(virtual_time = true)]
async fn virtual_time_jumps() {
    let (event_loop, real) = (asyncio::running_loop(), Instant::now());
    let start = event_loop.time();
    asyncio::sleep(Duration::from_secs(3600)).await;
    assert_eq!(event_loop.time() - start, Duration::from_secs(3600));
    assert!(real.elapsed() < Duration::from_secs(60));
}

#[asyncio::testing::test(debug = true, virtual_time = true)]
#[should_panic(expected = "on purpose")]
async fn other_test_attributes_work() {
    assert!(asyncio::running_loop().is_debug());
    panic!("on purpose");
}

/// Loses an update, in some orders.
async fn lost_update() {
    let counter = std::rc::Rc::new(std::cell::Cell::new(0));
    let tasks = [1, 2].map(|number| {
        let counter = std::rc::Rc::clone(&counter);
        asyncio::create_task(async move {
            for _ in 0..number {
                asyncio::yield_now().await;
            }
            let seen = counter.get();
            if number == 2 {
                asyncio::yield_now().await;
            }
            counter.set(seen + 1);
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counter.get(), 2, "an update is lost");
}

#[asyncio::testing::test(seeds = 1_000)]
#[should_panic(expected = "an update is lost")]
async fn seeds_find_what_one_order_hides() {
    lost_update().await;
}

#[asyncio::testing::test(systematic = 2)]
#[should_panic(expected = "an update is lost")]
async fn so_does_the_systematic_mode() {
    lost_update().await;
}

#[asyncio::testing::test(seeds = 1000, order = "fifo")]
async fn the_strict_order_hides_it() {
    lost_update().await;
}

#[asyncio::testing::test(seed = 0)]
async fn one_seed_runs_once_and_with_virtual_time() -> io::Result<()> {
    asyncio::sleep(Duration::from_secs(3600)).await;
    lost_update().await;
    Ok(())
}

fn cancelling() -> asyncio::testing::Simulation {
    asyncio::testing::Simulation::new().faults(asyncio::testing::Faults::new().cancel(1.0))
}

#[asyncio::testing::test(seeds = 3, simulation = cancelling())]
async fn other_options_are_in_an_expression() {
    let task = asyncio::create_task(std::future::pending::<()>());
    assert!(task.await.is_err(), "a fault cancels the task");
}

#[asyncio::testing::test(tokio)]
async fn a_test_may_run_inside_tokio() -> Result<(), tokio::task::JoinError> {
    assert_eq!(tokio::spawn(async { 6 * 7 }).await?, 42);
    asyncio::sleep(Duration::from_millis(1)).await;
    Ok(())
}

#[asyncio::testing::test(tokio = true, debug = true)]
async fn the_option_goes_with_others() {
    assert!(asyncio::running_loop().is_debug());
    assert!(tokio::runtime::Handle::try_current().is_ok());
}

#[asyncio::testing::test(tokio = false)]
async fn the_option_may_be_false() {
    assert!(tokio::runtime::Handle::try_current().is_err());
}
