//! Commands that a program adds to the console.

use std::fmt::Display;
use std::pin::Pin;
use std::rc::Rc;
use std::str::FromStr;

use crate::views::count;

type Running = Pin<Box<dyn Future<Output = Result<String, String>>>>;
type Call = Rc<dyn Fn(&[String]) -> Result<Running, String>>;

/// A command with a type-erased handler.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) help: String,
    call: Call,
}

impl Command {
    pub(crate) fn new<A, R: CommandOutput>(
        name: String,
        help: String,
        handler: impl Handler<A, R>,
    ) -> Self {
        let handler = Rc::new(handler);
        Self { name, help, call: Rc::new(move |words| Rc::clone(&handler).call(words)) }
    }

    /// Parses the words after the name, and calls the handler.
    pub(crate) fn call(&self, words: &[String]) -> Result<Running, String> {
        (self.call)(words)
    }
}

/// An async function or closure with up to four arguments, which are parsed by `FromStr`. Neither
/// the function nor its future needs to be `Send`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of a command",
    label = "not a handler",
    note = "a handler is an async function of up to four arguments with `FromStr`, which returns \
            text, nothing, or a `Result` of these",
    note = "write the types of a closure's arguments: `async |number: u32| …`"
)]
pub trait Handler<Arguments, Output>: 'static {
    #[doc(hidden)]
    fn call(self: Rc<Self>, words: &[String]) -> Result<Running, String>;
}

/// The output of a command: text, nothing, or a `Result` of these.
pub trait CommandOutput: 'static {
    /// The text, or the error's text.
    #[doc(hidden)]
    fn into_text(self) -> Result<String, String>;
}

impl CommandOutput for String {
    fn into_text(self) -> Result<String, String> {
        Ok(self)
    }
}

impl CommandOutput for &'static str {
    fn into_text(self) -> Result<String, String> {
        Ok(self.to_owned())
    }
}

impl CommandOutput for () {
    fn into_text(self) -> Result<String, String> {
        Ok(String::new())
    }
}

impl<T: CommandOutput, E: Display + 'static> CommandOutput for Result<T, E> {
    fn into_text(self) -> Result<String, String> {
        self.map_err(|error| error.to_string()).and_then(CommandOutput::into_text)
    }
}

/// Parses one word.
fn parse<T: FromStr<Err: Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{word:?}: {error}"))
}

macro_rules! handler {
    ($count:literal: $($argument:ident)*) => {
        impl<F, R, $($argument),*> Handler<($($argument,)*), R> for F
        where
            F: AsyncFn($($argument),*) -> R + 'static,
            R: CommandOutput,
            $($argument: FromStr<Err: Display> + 'static,)*
        {
            #[allow(non_snake_case)]
            fn call(self: Rc<Self>, words: &[String]) -> Result<Running, String> {
                let [$($argument),*] = words else {
                    let wanted = count($count, "word");
                    return Err(format!("it takes {wanted}, and got {}", words.len()));
                };
                $(let $argument = parse::<$argument>($argument)?;)*
                Ok(Box::pin(async move { self($($argument),*).await.into_text() }))
            }
        }
    };
}

handler!(0:);
handler!(1: A);
handler!(2: A B);
handler!(3: A B C);
handler!(4: A B C D);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &Command, words: &[&str]) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let running = command.call(&words)?;
        asyncio_task::run(running)
    }

    #[test]
    fn words_are_parsed_as_the_handler_says() {
        let add = async |a: i32, b: i32| (a + b).to_string();
        let command = Command::new("add".into(), String::new(), add);
        assert_eq!(run(&command, &["2", "40"]).unwrap(), "42");
        assert_eq!(run(&command, &["2"]).unwrap_err(), "it takes 2 words, and got 1");
        assert!(run(&command, &["2", "two"]).unwrap_err().starts_with("\"two\": invalid digit"));
    }

    #[test]
    fn errors_and_nothing_are_outputs() {
        let fail = async || Err::<(), _>("no luck");
        let command = Command::new("fail".into(), String::new(), fail);
        assert_eq!(run(&command, &[]).unwrap_err(), "no luck");
        let command = Command::new("nothing".into(), String::new(), async || ());
        assert_eq!(run(&command, &[]).unwrap(), "");
    }
}
