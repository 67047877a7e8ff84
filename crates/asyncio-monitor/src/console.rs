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

/// How long a session may be idle.
const IDLE: Duration = Duration::from_secs(3600);

/// How long a command may continue after the end of the client's input.
const AFTER_END: Duration = Duration::from_secs(60);

const PROMPT: &str = "monitor> ";

/// The greeting of a session.
pub(crate) fn greeting(state: &State) -> String {
    let loops = count(state.loops.open().len(), "loop");
    let process = std::process::id();
    format!("asyncio monitor of process {process}, {loops}; help shows the commands\n{PROMPT}")
}

/// Serves a console whose first line was received.
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
        // A client that has sent further input, such as a program, needs no prompt.
        let prompt = if reader.buffered().is_empty() { PROMPT } else { "" };
        writer.write_bytes(harmless(answer));
        send(writer, prompt).await?;
        line = timeout(IDLE, reader.next_line()).await??;
    }
    Ok(())
}

/// The text of a line; `None` if the line is not text. A page can make a browser send other bytes
/// over the network, such as a TLS handshake with a chosen host name; its first line is not text.
fn typed(line: &[u8], is_unix: bool) -> Option<Cow<'_, str>> {
    if is_unix {
        return Some(String::from_utf8_lossy(line));
    }
    let text = std::str::from_utf8(line).ok()?;
    let is_typed = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    text.chars().all(is_typed).then_some(Cow::Borrowed(text))
}

struct Session {
    /// Whether the session has sent the token, if one is needed.
    is_known: bool,
    /// The last command. An empty line repeats it.
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

    /// Checks the token. A client has one attempt.
    fn introduce(&mut self, state: &State, line: &str) -> Option<String> {
        let given = line.strip_prefix("token ").map(str::trim);
        self.is_known = state.access.is_token(given);
        self.is_known.then(|| "welcome\n".to_owned())
    }
}
