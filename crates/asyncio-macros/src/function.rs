//! The function under an attribute, parsed just enough to wrap it.

use proc_macro::{Delimiter, Ident, Span, TokenStream, TokenTree};

use crate::error::Error;

/// `attributes visibility async fn name() -> result { body }`, without arguments and generics.
pub(crate) struct Function {
    pub(crate) attributes: Vec<TokenTree>,
    pub(crate) visibility: Vec<TokenTree>,
    pub(crate) name: Ident,
    /// From `fn` to the end of the return type.
    pub(crate) signature: Vec<TokenTree>,
    pub(crate) body: TokenTree,
}

impl Function {
    pub(crate) fn parse(item: TokenStream) -> Result<Self, Error> {
        let mut tokens: Vec<_> = item.into_iter().collect();
        let name = name(&tokens);
        Self::take_apart(&mut tokens).map_err(|error| error.in_function(name))
    }

    fn take_apart(tokens: &mut Vec<TokenTree>) -> Result<Self, Error> {
        let body = match tokens.pop() {
            Some(body) if is_group(&body, Delimiter::Brace) => body,
            _ => return Err(Error::new(Span::call_site(), "this attribute goes on an `async fn`")),
        };
        let attributes = take_attributes(tokens)?;
        let visibility = take_visibility(tokens);
        take_async(tokens)?;
        let name = check_signature(tokens)?;
        Ok(Self { attributes, visibility, name, signature: std::mem::take(tokens), body })
    }
}

fn take_attributes(tokens: &mut Vec<TokenTree>) -> Result<Vec<TokenTree>, Error> {
    let is_attribute = |pair: &&[TokenTree]| is_punct(&pair[0], '#') && pair.len() == 2;
    let count = tokens.chunks(2).take_while(is_attribute).count();
    let attributes: Vec<_> = tokens.drain(..2 * count).collect();
    match attributes.iter().find(|attribute| is_test_attribute(attribute)) {
        Some(attribute) => Err(Error::new(
            attribute.span(),
            "remove `#[test]`: `#[asyncio::testing::test]` brings it along",
        )),
        None => Ok(attributes),
    }
}

fn is_test_attribute(attribute: &TokenTree) -> bool {
    matches!(attribute, TokenTree::Group(group) if group.stream().to_string() == "test")
}

fn take_visibility(tokens: &mut Vec<TokenTree>) -> Vec<TokenTree> {
    let is_public = tokens.first().is_some_and(|token| is_ident(token, "pub"));
    let is_restricted = tokens.get(1).is_some_and(|t| is_group(t, Delimiter::Parenthesis));
    let count = if is_public { 1 + usize::from(is_restricted) } else { 0 };
    tokens.drain(..count).collect()
}

fn take_async(tokens: &mut Vec<TokenTree>) -> Result<(), Error> {
    match tokens.first() {
        Some(first) if is_ident(first, "async") => drop(tokens.remove(0)),
        Some(first) if is_ident(first, "fn") => {
            return Err(Error::new(first.span(), "the function must be async: write `async fn`"));
        }
        first => return Err(Error::new(span(first), "this attribute goes on an `async fn`")),
    }
    match tokens.first() {
        Some(second) if is_ident(second, "fn") => Ok(()),
        second => Err(Error::new(span(second), "the function must be a plain `async fn`")),
    }
}

fn check_signature(tokens: &[TokenTree]) -> Result<Ident, Error> {
    let Some(TokenTree::Ident(name)) = tokens.get(1) else {
        return Err(Error::new(span(tokens.get(1)), "expected the function's name"));
    };
    match tokens.get(2) {
        Some(TokenTree::Group(arguments)) if arguments.stream().is_empty() => Ok(name.clone()),
        Some(TokenTree::Group(arguments)) => {
            Err(Error::new(arguments.span(), "the function must not take arguments"))
        }
        generics => Err(Error::new(span(generics), "the function must not be generic")),
    }
}

/// The name after `fn`, for an arbitrary item.
fn name(tokens: &[TokenTree]) -> Option<Ident> {
    let after_fn = tokens.iter().skip_while(|token| !is_ident(token, "fn")).nth(1)?;
    match after_fn {
        TokenTree::Ident(name) => Some(name.clone()),
        _ => None,
    }
}

fn span(token: Option<&TokenTree>) -> Span {
    token.map_or_else(Span::call_site, TokenTree::span)
}

fn is_ident(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == text)
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}
