//! The attributes `asyncio::main` and `asyncio::test`.
//!
//! Use them through the facade crate, `asyncio`, which their expansion names.

mod error;
mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

/// Runs an `async fn` with [`asyncio::run`], usually `main`.
///
/// The function keeps its return type, so `main` may return a `Result`. It must have neither
/// arguments nor generics.
///
/// Options, separated by commas:
///
/// * `debug = true` or `false` turns the loop's debug mode on or off, whatever the environment says;
/// * `crate = "path"` names the facade crate if it is not `::asyncio`.
///
/// [`asyncio::run`]: https://docs.rs/asyncio/latest/asyncio/fn.run.html
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(attribute, item).unwrap_or_else(error::Error::into_tokens)
}

/// Makes a test of an `async fn`, run with [`asyncio::run`].
///
/// The function may return a `Result`. It must have neither arguments nor generics. `#[should_panic]`
/// and `#[ignore]` work as usual; `#[test]` is included.
///
/// Options, separated by commas:
///
/// * `virtual_time = true`: the loop's clock jumps to the next deadline when nothing else can run, so
///   that sleeping takes no time and timing is exact;
/// * `debug = true` or `false` turns the loop's debug mode on or off, whatever the environment says;
/// * `crate = "path"` names the facade crate if it is not `::asyncio`.
///
/// [`asyncio::run`]: https://docs.rs/asyncio/latest/asyncio/fn.run.html
#[proc_macro_attribute]
pub fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(attribute, item).unwrap_or_else(error::Error::into_tokens)
}
