//! `name = value` pairs in an attribute.

use proc_macro::{Ident, Span, TokenStream, TokenTree};

use crate::error::Error;

/// What an attribute says about the loop that runs the function.
pub(crate) struct Options {
    pub(crate) debug: Option<bool>,
    pub(crate) virtual_time: Option<bool>,
    /// The path of the facade crate.
    pub(crate) asyncio: String,
}

impl Options {
    /// `known` are the options this attribute has.
    pub(crate) fn parse(attribute: TokenStream, known: &[&str]) -> Result<Self, Error> {
        let mut options = Self { debug: None, virtual_time: None, asyncio: "::asyncio".to_owned() };
        let tokens: Vec<_> = attribute.into_iter().collect();
        let mut seen = Vec::new();
        for pair in tokens.split(|token| token.to_string() == ",").filter(|pair| !pair.is_empty()) {
            let name = options.set(pair, known)?;
            if seen.contains(&name.to_string()) {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            seen.push(name.to_string());
        }
        Ok(options)
    }

    /// Takes one pair and returns its name.
    fn set(&mut self, pair: &[TokenTree], known: &[&str]) -> Result<Ident, Error> {
        let TokenTree::Ident(name) = &pair[0] else {
            return Err(Error::new(pair[0].span(), "expected `option = value`"));
        };
        let text = name.to_string();
        if !known.contains(&text.as_str()) {
            let known = known.join("`, `");
            let message = format!("unknown option `{text}`: there are `{known}`");
            return Err(Error::new(name.span(), message));
        }
        let [_, TokenTree::Punct(equals), value] = pair else {
            return Err(Error::new(name.span(), format!("expected `{text} = value`")));
        };
        if equals.as_char() != '=' {
            return Err(Error::new(equals.span(), "expected `=`"));
        }
        match text.as_str() {
            "debug" => self.debug = Some(parse_bool(value)?),
            "virtual_time" => self.virtual_time = Some(parse_bool(value)?),
            _ => self.asyncio = parse_path(value)?,
        }
        Ok(name.clone())
    }
}

fn parse_bool(value: &TokenTree) -> Result<bool, Error> {
    let message = "expected `true` or `false`";
    value.to_string().parse().map_err(|_| Error::new(value.span(), message))
}

/// A path in quotes.
fn parse_path(value: &TokenTree) -> Result<String, Error> {
    let error = |span: Span| Error::new(span, "expected a path in quotes, as in \"::asyncio\"");
    let text = value.to_string();
    let path = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let path = path.filter(|path| path.parse::<TokenStream>().is_ok_and(|path| !path.is_empty()));
    path.map(str::to_owned).ok_or_else(|| error(value.span()))
}
