//! The attributes `asyncio::main` and `asyncio::testing::test`.
//!
//! Use them through the facade crate, `asyncio`, which their expansion names.

mod error;
mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

/// Runs an `async fn` with `asyncio::run`, usually `main`.
///
/// The function keeps its return type, so `main` may return a `Result`. It must have neither
/// arguments nor generics.
///
/// Options, separated by commas:
///
/// * `debug = true` or `false` turns the loop's debug mode on or off, whatever the environment
///   says;
/// * `virtual_time = true`: the loop's clock jumps to the next deadline when no task can run, for
///   simulations and experiments;
/// * `watchdog = false`, or a `Duration`: no watchdog, or one with a limit other than 100 ms;
/// * `record = "file"`: the last million events of the loop are written to this file at the end;
/// * `tokio`: the loop runs inside a tokio runtime, for crates that need one; with the feature
///   `tokio-runtime`;
/// * `crate = "path"` names the facade crate if it is not `::asyncio`.
///
/// `debug` and `virtual_time` without a value mean `true`.
///
/// # Examples
///
/// ```
/// #[asyncio::main]
/// async fn main() -> std::io::Result<()> {
///     asyncio::sleep(std::time::Duration::from_millis(1)).await;
///     Ok(())
/// }
/// ```
///
/// With a tokio runtime:
///
/// ```
/// #[asyncio::main(tokio)]
/// async fn main() {
///     assert_eq!(tokio::spawn(async { 6 * 7 }).await.unwrap(), 42);
/// }
/// ```
///
/// A year in no time:
///
/// ```
/// #[asyncio::main(virtual_time)]
/// async fn main() {
///     asyncio::sleep(std::time::Duration::from_secs(365 * 24 * 3600)).await;
/// }
/// ```
///
/// A callback may take a second before it is reported:
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::main(watchdog = Duration::from_secs(1), debug = false)]
/// async fn main() {
///     assert_eq!(asyncio::running_loop().watchdog(), Some(Duration::from_secs(1)));
/// }
/// ```
///
/// The function must be async:
///
/// ```compile_fail
/// #[asyncio::main]
/// fn main() {}
/// ```
///
/// It takes no arguments:
///
/// ```compile_fail
/// #[asyncio::main]
/// async fn main(arguments: Vec<String>) {}
/// ```
///
/// It is not generic:
///
/// ```compile_fail
/// #[asyncio::main]
/// async fn main<T>() {}
/// ```
///
/// Options are checked:
///
/// ```compile_fail
/// #[asyncio::main(threads = 4)]
/// async fn main() {}
/// ```
///
/// ```compile_fail
/// #[asyncio::main(debug = "yes")]
/// async fn main() {}
/// ```
///
/// ```compile_fail
/// #[asyncio::main(crate)]
/// async fn main() {}
/// ```
///
/// ```compile_fail
/// #[asyncio::main(watchdog)]
/// async fn main() {}
/// ```
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(attribute, item).unwrap_or_else(error::Error::into_tokens)
}

/// Makes a test of an `async fn`, run with `asyncio::run`.
///
/// The function may return a `Result`. It must have neither arguments nor generics.
/// `#[should_panic]` and `#[ignore]` work as usual; `#[test]` is included.
///
/// Options, separated by commas:
///
/// * `virtual_time = true`: the loop's clock jumps to the next deadline when no task can run, so
///   that sleeping takes no time and timing is exact;
/// * `seeds = 1000`: the test runs under that many schedules, each determined by a seed, with
///   virtual time; `seed = 17` runs the schedule of that seed;
/// * `systematic = 2`: the test runs under all schedules with up to two preemptions;
/// * `order = "any"`, `"turns"` or `"fifo"`: the order in which ready tasks run;
/// * `simulation = expression`: a `Simulation` with further options, such as `faults`;
/// * `debug = true` or `false` turns the loop's debug mode on or off, whatever the environment
///   says;
/// * `watchdog = false`, or a `Duration`: no watchdog, or one with a limit other than 100 ms;
/// * `record = "file"`: the last million events of the loop are written to this file at the end;
/// * `tokio`: the loop runs inside a tokio runtime, for crates that need one; with the feature
///   `tokio-runtime`;
/// * `crate = "path"` names the facade crate if it is not `::asyncio`.
///
/// `debug` and `virtual_time` without a value mean `true`.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// #[asyncio::testing::test(virtual_time = true)]
/// async fn an_hour_passes() {
///     let event_loop = asyncio::running_loop();
///     let start = event_loop.time();
///     asyncio::sleep(Duration::from_secs(3600)).await;
///     assert_eq!(event_loop.time() - start, Duration::from_secs(3600));
/// }
/// ```
///
/// A test of a thousand schedules, which needs the feature `testing`:
///
/// ```
/// #[asyncio::testing::test(seeds = 1000)]
/// async fn both_tasks_end() {
///     let (one, two) = (asyncio::create_task(async {}), asyncio::create_task(async {}));
///     asyncio::gather([one, two]).await;
/// }
/// ```
///
/// The options for schedules are checked:
///
/// ```compile_fail
/// #[asyncio::testing::test(seeds = "many")]
/// async fn passes() {}
/// ```
///
/// ```compile_fail
/// #[asyncio::testing::test(seeds = 10, order = "backwards")]
/// async fn passes() {}
/// ```
///
/// ```compile_fail
/// #[asyncio::testing::test(seeds = 10, virtual_time = false)]
/// async fn passes() {}
/// ```
///
/// The attribute adds `#[test]`, so the function must not have it:
///
/// ```compile_fail
/// #[asyncio::testing::test]
/// #[test]
/// async fn passes() {}
/// ```
///
/// The rules of [`main`](macro@main) apply:
///
/// ```compile_fail
/// #[asyncio::testing::test]
/// fn passes() {}
/// ```
#[proc_macro_attribute]
pub fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(attribute, item).unwrap_or_else(error::Error::into_tokens)
}
