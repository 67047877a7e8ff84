//! The messages between a pool and its workers: a length, then that many bytes.
//!
//! A request has a tag, the function's name and the encoded arguments; a reply has a tag and its
//! contents.

use std::io::{self, ErrorKind, Read, Write};

/// The answer of a worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The function's encoded result.
    Value(Vec<u8>),
    /// The message of its panic.
    Panicked(String),
    /// The arguments or the result could not be encoded or decoded; the text gives the reason.
    Unreadable(String),
    /// The worker knows no such function.
    Unknown,
}

const VALUE: u8 = 0;
const PANICKED: u8 = 1;
const UNREADABLE: u8 = 2;
const UNKNOWN: u8 = 3;

/// How often a request calls its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// Once.
    One,
    /// With each argument of a list; the reply has the list of the values.
    Each,
}

const ONE: u8 = 0;
const EACH: u8 = 1;

/// Splits a request into the number of calls, the function's name and the arguments.
pub(super) fn parse_request(frame: &[u8]) -> io::Result<(Calls, &str, &[u8])> {
    let (&tag, rest) = frame.split_first().ok_or(ErrorKind::InvalidData)?;
    let calls = match tag {
        ONE => Calls::One,
        EACH => Calls::Each,
        _ => return Err(ErrorKind::InvalidData.into()),
    };
    let (length, rest) = rest.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (name, arguments) = rest.split_at_checked(length).ok_or(ErrorKind::InvalidData)?;
    let name = std::str::from_utf8(name).map_err(io::Error::other)?;
    Ok((calls, name, arguments))
}

/// Makes a request to call `name`.
pub(super) fn request(calls: Calls, name: &str, arguments: &[u8]) -> io::Result<Vec<u8>> {
    let tag = match calls {
        Calls::One => ONE,
        Calls::Each => EACH,
    };
    let length = u16::try_from(name.len()).map_err(io::Error::other)?;
    Ok(frame(&[&[tag], &length.to_le_bytes(), name.as_bytes(), arguments]))
}

impl Reply {
    pub(super) fn to_frame(&self) -> Vec<u8> {
        let (tag, body) = match self {
            Reply::Value(bytes) => (VALUE, bytes.as_slice()),
            Reply::Panicked(text) => (PANICKED, text.as_bytes()),
            Reply::Unreadable(text) => (UNREADABLE, text.as_bytes()),
            Reply::Unknown => (UNKNOWN, &[][..]),
        };
        frame(&[&[tag], body])
    }

    pub(super) fn parse(mut frame: Vec<u8>) -> io::Result<Reply> {
        let tag = *frame.first().ok_or(ErrorKind::InvalidData)?;
        frame.remove(0);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        match tag {
            VALUE => Ok(Reply::Value(frame)),
            PANICKED => Ok(Reply::Panicked(text(frame))),
            UNREADABLE => Ok(Reply::Unreadable(text(frame))),
            UNKNOWN => Ok(Reply::Unknown),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// The header of a frame: the length of the rest, the lowest byte first.
const HEADER: usize = size_of::<u64>();

/// Puts the length before the parts.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(HEADER + length);
    frame.extend_from_slice(&(length as u64).to_le_bytes());
    parts.iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

/// Reads one frame, without its length. `None` if the peer has closed between frames.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER];
    let first = loop {
        match from.read(&mut header) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[first..])?;
    let length = u64::from_le_bytes(header);
    let mut frame = Vec::new();
    let read = from.take(length).read_to_end(&mut frame)?;
    if (read as u64) < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(frame))
}

/// Writes a frame that [`request`] or [`Reply::to_frame`] made.
pub(super) fn write(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    to.write_all(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_as_they_were() {
        for calls in [Calls::One, Calls::Each] {
            let frame = request(calls, "name", b"arguments").unwrap();
            let body = read(&mut &frame[..]).unwrap().unwrap();
            assert_eq!(parse_request(&body).unwrap(), (calls, "name", &b"arguments"[..]));
        }
    }

    #[test]
    fn replies_come_back_as_they_were() {
        let text = || "text".to_owned();
        let replies = [
            Reply::Value(vec![1, 2]),
            Reply::Panicked(text()),
            Reply::Unreadable(text()),
            Reply::Unknown,
        ];
        for reply in replies {
            let frame = reply.to_frame();
            let body = read(&mut &frame[..]).unwrap().unwrap();
            assert_eq!(Reply::parse(body).unwrap(), reply);
        }
    }

    #[test]
    fn an_end_between_frames_is_none_and_within_one_an_error() {
        let frame = request(Calls::One, "name", b"arguments").unwrap();
        assert!(read(&mut &frame[..0]).unwrap().is_none());
        for length in 1..frame.len() {
            let error = read(&mut &frame[..length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(parse_request(&[]).is_err());
        assert!(parse_request(&[ONE, 9, 0, b'x']).is_err());
        assert!(parse_request(&[ONE, 1, 0, 0xff]).is_err());
        assert!(parse_request(&[77, 1, 0, b'x']).is_err());
        assert!(Reply::parse(vec![]).is_err());
        assert!(Reply::parse(vec![77]).is_err());
    }
}
