//! What the attributes turn a function into.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

use crate::error::Error;
use crate::function::Function;
use crate::options::Options;

pub(crate) fn main(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let function = Function::parse(item)?;
    let options = Options::parse(attribute, &["debug", "crate"])
        .map_err(|error| error.in_function(Some(function.name.clone())))?;
    Ok(expand(function, &options))
}

pub(crate) fn test(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let function = Function::parse(item)?;
    let options = Options::parse(attribute, &["debug", "virtual_time", "crate"])
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
fn expand(function: Function, options: &Options) -> TokenStream {
    let Function { attributes, visibility, name, signature, body } = function;
    let mut inner = tokens("async");
    inner.extend(signature.iter().cloned());
    inner.extend([body]);
    inner.extend(tokens(&run(options)));
    inner.extend([call(TokenTree::Ident(name).into())]);

    let mut outer: TokenStream = attributes.into_iter().chain(visibility).collect();
    outer.extend(signature);
    outer.extend([TokenTree::from(Group::new(Delimiter::Brace, inner))]);
    outer
}

/// `(name())`
fn call(mut name: TokenStream) -> TokenTree {
    name.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, TokenStream::new()))]);
    Group::new(Delimiter::Parenthesis, name).into()
}

/// The path of what runs the future.
fn run(options: &Options) -> String {
    let asyncio = &options.asyncio;
    if options.debug.is_none() && options.virtual_time.is_none() {
        return format!("{asyncio}::run");
    }
    let mut builder = format!("{asyncio}::Runner::builder()");
    for (name, value) in [("debug", options.debug), ("virtual_time", options.virtual_time)] {
        if let Some(value) = value {
            builder += &format!(".{name}({value})");
        }
    }
    builder + ".run"
}

fn tokens(source: &str) -> TokenStream {
    source.parse().expect("our own source is well-formed")
}
