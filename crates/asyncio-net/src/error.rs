use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

/// The error of a read when the stream ended before all the bytes had come.
///
/// # Examples
///
/// ```
/// let (feeder, mut reader) = asyncio_net::feed_reader();
/// feeder.feed_data(b"abc");
/// feeder.feed_eof();
/// # asyncio_task::run(async {
/// match reader.read_exactly(5).await {
///     Err(asyncio_net::ReadError::Incomplete(error)) => assert_eq!(error.partial, "abc"),
///     other => panic!("{other:?}"),
/// }
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompleteReadError {
    /// The bytes that came before the end.
    pub partial: Bytes,
    /// The number of bytes that were asked for, if the read asked for a number.
    pub expected: Option<usize>,
}

impl fmt::Display for IncompleteReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes read on a total of ", self.partial.len())?;
        match self.expected {
            Some(expected) => write!(f, "{expected} expected bytes"),
            None => f.write_str("unknown expected bytes"),
        }
    }
}

impl Error for IncompleteReadError {}

/// The error of a read that found no separator within the reader's limit.
///
/// # Examples
///
/// ```
/// use asyncio_net::{ReadError, feed_reader};
///
/// let (feeder, mut reader) = feed_reader();
/// reader.set_limit(4);
/// feeder.feed_data(b"a long record;");
/// # asyncio_task::run(async {
/// match reader.read_until(b";").await {
///     Err(ReadError::LimitOverrun(error)) => assert_eq!(error.limit, 4),
///     other => panic!("{other:?}"),
/// }
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOverrunError {
    /// The number of bytes that certainly come before the separator.
    pub consumed: usize,
    /// The reader's limit.
    pub limit: usize,
}

impl fmt::Display for LimitOverrunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no separator within the limit of {} bytes", self.limit)
    }
}

impl Error for LimitOverrunError {}

/// The error of a read that asked for a fixed number of bytes or for a separator.
///
/// With `?` it becomes an [`io::Error`]: [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for an
/// early end, [`InvalidData`](io::ErrorKind::InvalidData) for an overrun, with the original inside.
///
/// # Examples
///
/// ```
/// use std::io;
/// use asyncio_net::StreamReader;
///
/// async fn header(reader: &mut StreamReader) -> io::Result<asyncio_net::Bytes> {
///     Ok(reader.read_exactly(4).await?)
/// }
///
/// let (feeder, mut reader) = asyncio_net::feed_reader();
/// feeder.feed_data(b"abc");
/// feeder.feed_eof();
/// # asyncio_task::run(async {
/// let error = header(&mut reader).await.unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
/// # });
/// ```
#[derive(Debug)]
pub enum ReadError {
    /// The stream ended too early.
    Incomplete(IncompleteReadError),
    /// The separator is too far away. Nothing was consumed.
    LimitOverrun(LimitOverrunError),
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete(error) => error.fmt(f),
            Self::LimitOverrun(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Incomplete(_) | Self::LimitOverrun(_) => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Incomplete(error) => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            ReadError::LimitOverrun(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            ReadError::Io(error) => error,
        }
    }
}

/// An error that several callers get, each a copy of its own.
#[derive(Clone, Debug)]
pub(crate) struct SharedError(Arc<io::Error>);

impl SharedError {
    pub(crate) fn new(error: io::Error) -> Self {
        Self(Arc::new(error))
    }

    /// An error equal in kind, system code and text.
    pub(crate) fn to_io(&self) -> io::Error {
        match self.0.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.0.kind(), self.clone()),
        }
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.get_ref().map(|inner| inner as _)
    }
}

/// An error of the system together with the operation that failed, which names an address. The
/// system's error is its source.
pub(crate) fn explain(error: io::Error, tried: impl fmt::Display) -> io::Error {
    io::Error::new(error.kind(), Explained { text: format!("{tried}: {error}"), error })
}

#[derive(Debug)]
struct Explained {
    text: String,
    error: io::Error,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
