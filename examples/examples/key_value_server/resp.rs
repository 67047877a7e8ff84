//! The protocol of Redis, version 2: requests from a stream, replies to bytes.

use std::io;

use asyncio::{Bytes, ReadError, StreamReader};

/// The maximum length of a line: an inline command, or a length.
pub const MAX_LINE: usize = 64 * 1024;
/// The maximum number of words in a request.
const MAX_WORDS: usize = 1024;
/// The maximum number of bytes of all words together.
const MAX_REQUEST: usize = 1024 * 1024;

/// The reason for which reading a request failed.
#[derive(Debug)]
pub enum RequestError {
    /// The client violates the protocol. It gets an error, and its connection is closed.
    Protocol(&'static str),
    /// The client has disconnected, perhaps in the middle of a request.
    Gone,
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Protocol("too big inline request"),
            _ => Self::Gone,
        }
    }
}

impl From<ReadError> for RequestError {
    fn from(error: ReadError) -> Self {
        io::Error::from(error).into()
    }
}

/// Reads the words of a request, which is an array (from a program) or a line (typed by a person).
/// Returns `None` at the end of the stream.
pub async fn read_request(reader: &mut StreamReader) -> Result<Option<Vec<Bytes>>, RequestError> {
    let Some(line) = reader.next_line().await? else { return Ok(None) };
    match line.first() {
        Some(b'*') => read_array(reader, number(&line)?).await.map(Some),
        _ => Ok(Some(words(&line))),
    }
}

async fn read_array(reader: &mut StreamReader, count: i64) -> Result<Vec<Bytes>, RequestError> {
    let count = usize::try_from(count).unwrap_or(0);
    if count > MAX_WORDS {
        return Err(RequestError::Protocol("invalid multibulk length"));
    }
    let mut room = MAX_REQUEST;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let word = read_bulk(reader, room).await?;
        room -= word.len();
        words.push(word);
    }
    Ok(words)
}

/// Reads one word: `$`, its length, a line end, the word, and a line end.
async fn read_bulk(reader: &mut StreamReader, limit: usize) -> Result<Bytes, RequestError> {
    let line = reader.read_line().await?;
    if line.first() != Some(&b'$') {
        return Err(RequestError::Protocol("expected '$'"));
    }
    let length = usize::try_from(number(&line)?).unwrap_or(usize::MAX);
    if length > limit {
        return Err(RequestError::Protocol("invalid bulk length"));
    }
    let mut word = reader.read_exactly(length + 2).await?;
    if !word.ends_with(b"\r\n") {
        return Err(RequestError::Protocol("expected a line end after a bulk"));
    }
    word.truncate(length);
    Ok(word)
}

/// The number after the first byte of a line.
fn number(line: &[u8]) -> Result<i64, RequestError> {
    let digits =
        line[1..].strip_suffix(b"\r\n").and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or(RequestError::Protocol("invalid length"))
}

fn words(line: &Bytes) -> Vec<Bytes> {
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(|word| line.slice_ref(word)).collect()
}

/// A reply to a client.
#[derive(Debug)]
pub enum Reply {
    Status(&'static str),
    Error(String),
    Integer(i64),
    /// A value, or the null value.
    Bulk(Option<Bytes>),
    Array(Vec<Bytes>),
}

impl Reply {
    pub const OK: Self = Self::Status("OK");

    /// Appends the encoded reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Status(text) => out.extend(format!("+{text}\r\n").bytes()),
            Self::Error(text) => out.extend(format!("-{text}\r\n").bytes()),
            Self::Integer(number) => out.extend(format!(":{number}\r\n").bytes()),
            Self::Bulk(None) => out.extend(b"$-1\r\n"),
            Self::Bulk(Some(word)) => encode_bulk(word, out),
            Self::Array(words) => {
                out.extend(format!("*{}\r\n", words.len()).bytes());
                words.iter().for_each(|word| encode_bulk(word, out));
            }
        }
    }
}

fn encode_bulk(word: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("${}\r\n", word.len()).bytes());
    out.extend(word);
    out.extend(b"\r\n");
}
