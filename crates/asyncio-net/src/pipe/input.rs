//! `input`: asks the user for a line.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use asyncio_loop::machinery::at_await;
use asyncio_loop::running_loop;

use super::standard::{stdin, stdout};
use crate::stream::StreamReader;

/// Shows `prompt`, reads a line from standard input, and returns it without its end.
///
/// All calls share one buffer, so none loses bytes when the input is a file or a pipe. So a program
/// must use either this or [`stdin`], not both.
///
/// # Errors
///
/// [`UnexpectedEof`](ErrorKind::UnexpectedEof) at the end of the input: Ctrl-D on a terminal.
/// [`ResourceBusy`](ErrorKind::ResourceBusy) while another task waits for a line. `InvalidData` for
/// a line that is not UTF-8. Also the errors of [`stdin`] and [`stdout`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping the future loses no line: the next call returns it.
///
/// # From asyncio
///
/// Python's `input()` blocks the whole loop; programs call it by `to_thread`, where it cannot be
/// cancelled.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let name = asyncio_net::input("Your name? ").await?;
/// println!("Hello, {name}.");
/// # Ok(())
/// # }
/// ```
pub fn input(prompt: &str) -> impl Future<Output = io::Result<String>> {
    at_await(async move {
        let mut reader = Borrowed::take(running_loop().local())?;
        if !prompt.is_empty() {
            let output = stdout()?;
            output.write(prompt);
            output.close().await?;
        }
        let line = reader.next_line().await?;
        let line = line.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        String::from_utf8(line.to_vec())
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    })
}

/// The reader that the calls of one loop share.
#[derive(Default)]
struct Input(RefCell<State>);

#[derive(Default)]
enum State {
    #[default]
    New,
    Lent,
    Idle(StreamReader),
}

/// The reader, until it is given back.
struct Borrowed {
    from: Rc<Input>,
    reader: Option<StreamReader>,
}

impl Borrowed {
    fn take(from: Rc<Input>) -> io::Result<Self> {
        let state = from.0.replace(State::Lent);
        let reader = match state {
            State::Idle(reader) => Ok(reader),
            State::Lent => return Err(ErrorKind::ResourceBusy.into()),
            State::New => stdin(),
        };
        // The reader is given back before the error is returned, so that the next call tries again.
        let mut borrowed = Self { from, reader: None };
        borrowed.reader = Some(reader?);
        Ok(borrowed)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let state = self.reader.take().map_or(State::New, State::Idle);
        self.from.0.replace(state);
    }
}

impl Deref for Borrowed {
    type Target = StreamReader;

    fn deref(&self) -> &StreamReader {
        self.reader.as_ref().expect("it is taken at the end only")
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut StreamReader {
        self.reader.as_mut().expect("it is taken at the end only")
    }
}
