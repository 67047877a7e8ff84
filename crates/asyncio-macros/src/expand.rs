//! The expansion of the attributes.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

use crate::error::Error;
use crate::function::Function;
use crate::options::Options;

/// The options of `asyncio::testing::test`.
const TEST_OPTIONS: &[&str] = &[
    "debug",
    "virtual_time",
    "watchdog",
    "record",
    "tokio",
    "seeds",
    "seed",
    "systematic",
    "order",
    "simulation",
    "crate",
];

/// The options of `asyncio::main`.
const MAIN_OPTIONS: &[&str] = &["debug", "virtual_time", "watchdog", "record", "tokio", "crate"];

pub(crate) fn main(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let function = Function::parse(item)?;
    let options = Options::parse(attribute, MAIN_OPTIONS)
        .map_err(|error| error.in_function(Some(function.name.clone())))?;
    Ok(expand(function, &options))
}

pub(crate) fn test(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let function = Function::parse(item)?;
    let options = Options::parse(attribute, TEST_OPTIONS)
        .and_then(Options::check_simulation)
        .map_err(|error| error.in_function(Some(function.name.clone())))?;
    let mut tokens = tokens("#[::core::prelude::v1::test]");
    tokens.extend(expand(function, &options));
    Ok(tokens)
}

/// ```text
/// attributes visibility fn name() -> result {
///     async fn name() -> result { body }
///     ::asyncio::run(name())
/// }
/// ```
///
/// With options of schedules the last line is `::asyncio::testing::Simulation::new().….run(name)`.
fn expand(function: Function, options: &Options) -> TokenStream {
    let Function { attributes, visibility, name, signature, body } = function;
    let mut inner = tokens("async");
    inner.extend(signature.iter().cloned());
    inner.extend([body]);
    match options.simulation.expression(&options.asyncio) {
        Some(simulation) => {
            inner.extend(tokens(&format!("{simulation}.run")));
            inner.extend([argument(TokenTree::Ident(name).into())]);
        }
        None => {
            inner.extend(tokens(&run(options)));
            inner.extend([argument(call(TokenTree::Ident(name)))]);
        }
    }

    let mut outer: TokenStream = attributes.into_iter().chain(visibility).collect();
    outer.extend(signature);
    outer.extend([TokenTree::from(Group::new(Delimiter::Brace, inner))]);
    outer
}

/// `name()`
fn call(name: TokenTree) -> TokenStream {
    [name, Group::new(Delimiter::Parenthesis, TokenStream::new()).into()].into_iter().collect()
}

/// `(value)`
fn argument(value: TokenStream) -> TokenTree {
    Group::new(Delimiter::Parenthesis, value).into()
}

/// The path of the function that runs the future.
fn run(options: &Options) -> String {
    let asyncio = &options.asyncio;
    let is_plain = options.debug.is_none() && options.virtual_time.is_none();
    if is_plain && options.calls.is_empty() && !options.tokio {
        return format!("{asyncio}::run");
    }
    let mut builder = match options.tokio {
        true => format!("{asyncio}::tokio_runtime::runner()"),
        false => format!("{asyncio}::Runner::builder()"),
    };
    for (name, value) in [("debug", options.debug), ("virtual_time", options.virtual_time)] {
        if let Some(value) = value {
            builder += &format!(".{name}({value})");
        }
    }
    for (method, argument) in &options.calls {
        builder += &format!(".{method}({argument})");
    }
    builder + ".run"
}

fn tokens(source: &str) -> TokenStream {
    source.parse().expect("our own source is well-formed")
}
