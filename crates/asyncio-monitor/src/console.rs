//! The console.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{Bytes, StreamReader, StreamWriter};
use asyncio_task::timeout;

use crate::answer::{send, unless_gone};
use crate::commands;
use crate::state::State;
use crate::views::{count, harmless};

/// How long a session may stand still.
const IDLE: Duration = Duration::from_secs(3600);

/// How long a command may go on after the end of the client's input.
const AFTER_END: Duration = Duration::from_secs(60);

const PROMPT: &str = "monitor> ";

/// What a session shows first.
pub(crate) fn greeting(state: &State) -> String {
    let loops = count(state.loops.open().len(), "loop");
    let process = std::process::id();
    format!("asyncio monitor of process {process}, {loops}; help shows the commands\n{PROMPT}")
}

/// Serves a console whose first line is there.
pub(crate) async fn serve(
    state: &Rc<State>,
    first: Bytes,
    mut reader: StreamReader,
    writer: &StreamWriter,
) -> std::io::Result<()> {
    let mut session = Session { is_known: state.access.token.is_none(), last: String::new() };
    let mut line = Some(first);
    while let Some(text) = line.take() {
        let Some(text) = typed(&text, state.is_unix) else { break };
        let work = session.line(state, text.trim());
        let Some(Some(answer)) = unless_gone(&mut reader, AFTER_END, work).await else { break };
        // Somebody who has typed ahead, or a program, needs no prompt.
        let prompt = if reader.buffered().is_empty() { PROMPT } else { "" };
        writer.write_bytes(harmless(answer));
        send(writer, prompt).await?;
        line = timeout(IDLE, reader.next_line()).await??;
    }
    Ok(())
}

/// The text of a line; `None` if nobody has typed it. What comes by a network may be something else
/// that a browser was made to send, such as the beginning of TLS with a name that was chosen with
/// care: its first line is no text.
fn typed(line: &[u8], is_unix: bool) -> Option<Cow<'_, str>> {
    if is_unix {
        return Some(String::from_utf8_lossy(line));
    }
    let text = std::str::from_utf8(line).ok()?;
    let is_typed = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    text.chars().all(is_typed).then_some(Cow::Borrowed(text))
}

struct Session {
    /// Whether it has given the token, if there is one.
    is_known: bool,
    /// The last command, which an empty line repeats.
    last: String,
}

impl Session {
    /// The answer to a line; `None` ends the session.
    async fn line(&mut self, state: &State, line: &str) -> Option<String> {
        if !self.is_known {
            return self.introduce(state, line);
        }
        if matches!(line, "quit" | "q" | "exit") {
            return None;
        }
        if !line.is_empty() {
            line.clone_into(&mut self.last);
        } else if self.last.is_empty() {
            return Some("help shows the commands\n".to_owned());
        }
        let mut text = commands::run(state, &self.last).await.text;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Some(text)
    }

    /// Takes the token. One try is enough for somebody who knows it.
    fn introduce(&mut self, state: &State, line: &str) -> Option<String> {
        let given = line.strip_prefix("token ").map(str::trim);
        self.is_known = state.access.is_token(given);
        self.is_known.then(|| "welcome\n".to_owned())
    }
}
