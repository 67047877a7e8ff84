//! The options of an attribute: `name = value`, or a name alone.

use proc_macro::{Ident, Punct, Spacing, Span, TokenStream, TokenTree};

use crate::error::Error;

/// The options of an attribute for the loop that runs the function.
pub(crate) struct Options {
    pub(crate) debug: Option<bool>,
    pub(crate) virtual_time: Option<bool>,
    /// Methods of the runner's builder, and their arguments.
    pub(crate) calls: Vec<(String, String)>,
    /// The options of a test for its schedules.
    pub(crate) simulation: Simulation,
    /// Whether the loop runs inside a tokio runtime.
    pub(crate) tokio: bool,
    /// The path of the facade crate.
    pub(crate) asyncio: String,
}

/// Options of a test that runs under several schedules.
#[derive(Default)]
pub(crate) struct Simulation {
    /// The expression to which the methods are added.
    base: Option<String>,
    /// Methods and their arguments.
    calls: Vec<(String, String)>,
    order: Option<&'static str>,
}

impl Simulation {
    /// The simulation as an expression; `None` if no option asks for one.
    pub(crate) fn expression(&self, asyncio: &str) -> Option<String> {
        if self.base.is_none() && self.calls.is_empty() && self.order.is_none() {
            return None;
        }
        let mut expression = match &self.base {
            Some(base) => format!("({base})"),
            None => format!("{asyncio}::testing::Simulation::new()"),
        };
        for (method, argument) in &self.calls {
            expression += &format!(".{method}({argument})");
        }
        if let Some(order) = self.order {
            expression += &format!(".order({asyncio}::testing::Order::{order})");
        }
        Some(expression)
    }
}

impl Options {
    /// `known` are the options of this attribute.
    pub(crate) fn parse(attribute: TokenStream, known: &[&str]) -> Result<Self, Error> {
        let mut options = Self {
            debug: None,
            virtual_time: None,
            calls: Vec::new(),
            tokio: false,
            simulation: Simulation::default(),
            asyncio: "::asyncio".to_owned(),
        };
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

    /// Refuses options of the loop beside those of schedules.
    pub(crate) fn check_simulation(self) -> Result<Self, Error> {
        let is_simulation = self.simulation.expression("").is_some();
        let is_real = self.debug.is_some()
            || self.virtual_time == Some(false)
            || self.tokio
            || !self.calls.is_empty();
        if is_simulation && is_real {
            let message = "a test of schedules has virtual time, and no other options of a runner";
            return Err(Error::new(Span::call_site(), message));
        }
        Ok(self)
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
        if text == "simulation" {
            self.simulation.base = Some(parse_expression(name, pair)?);
            return Ok(name.clone());
        }
        if text == "watchdog" {
            let limit = parse_expression(name, pair)?;
            let limit = match limit.as_str() {
                "false" => "::core::option::Option::None".to_owned(),
                "true" => return Err(Error::new(name.span(), "a watchdog is on by default")),
                limit => format!("::core::option::Option::Some({limit})"),
            };
            self.calls.push((text, limit));
            return Ok(name.clone());
        }
        if text == "record" {
            self.calls.push((text, parse_expression(name, pair)?));
            return Ok(name.clone());
        }
        if text == "tokio" && pair.len() == 1 {
            self.tokio = true;
            return Ok(name.clone());
        }
        let on = TokenTree::from(Ident::new("true", name.span()));
        let equals = TokenTree::from(Punct::new('=', Spacing::Alone));
        let pair = match pair {
            // The name of a switch alone turns its option on.
            [_] if ["debug", "virtual_time"].contains(&text.as_str()) => {
                &[pair[0].clone(), equals, on]
            }
            pair => pair,
        };
        let [_, TokenTree::Punct(equals), value] = pair else {
            return Err(Error::new(name.span(), format!("expected `{text} = value`")));
        };
        if equals.as_char() != '=' {
            return Err(Error::new(equals.span(), "expected `=`"));
        }
        match text.as_str() {
            "debug" => self.debug = Some(parse_bool(value)?),
            "tokio" => self.tokio = parse_bool(value)?,
            "virtual_time" => self.virtual_time = Some(parse_bool(value)?),
            "crate" => self.asyncio = parse_path(value)?,
            "order" => self.simulation.order = Some(parse_order(value)?),
            _ => self.simulation.calls.push((text, parse_number(value)?)),
        }
        Ok(name.clone())
    }
}

fn parse_bool(value: &TokenTree) -> Result<bool, Error> {
    let message = "expected `true` or `false`";
    value.to_string().parse().map_err(|_| Error::new(value.span(), message))
}

/// The tokens after `name =`.
fn parse_expression(name: &Ident, pair: &[TokenTree]) -> Result<String, Error> {
    match pair {
        [_, TokenTree::Punct(equals), value @ ..]
            if equals.as_char() == '=' && !value.is_empty() =>
        {
            Ok(value.iter().cloned().collect::<TokenStream>().to_string())
        }
        _ => Err(Error::new(name.span(), format!("expected `{name} = expression`"))),
    }
}

/// A whole number.
fn parse_number(value: &TokenTree) -> Result<String, Error> {
    let text = value.to_string();
    match text.replace('_', "").parse::<u64>() {
        Ok(_) => Ok(text),
        Err(_) => Err(Error::new(value.span(), "expected a whole number")),
    }
}

/// The variant of `Order` with the given name.
fn parse_order(value: &TokenTree) -> Result<&'static str, Error> {
    match value.to_string().as_str() {
        "\"any\"" => Ok("Any"),
        "\"turns\"" => Ok("Turns"),
        "\"fifo\"" => Ok("Fifo"),
        _ => Err(Error::new(value.span(), "expected \"any\", \"turns\" or \"fifo\"")),
    }
}

/// A path in quotes.
fn parse_path(value: &TokenTree) -> Result<String, Error> {
    let error = |span: Span| Error::new(span, "expected a path in quotes, as in \"::asyncio\"");
    let text = value.to_string();
    let path = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let path = path.filter(|path| path.parse::<TokenStream>().is_ok_and(|path| !path.is_empty()));
    path.map(str::to_owned).ok_or_else(|| error(value.span()))
}
