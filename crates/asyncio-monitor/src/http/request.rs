//! Reading requests, and refusing the forbidden ones.

use std::io;

use asyncio_net::{ReadError, StreamReader};

use crate::access::Refusal;
use crate::options::AccessOptions;

/// The maximum length of a head and of a body.
const HEAD_LIMIT: usize = 16 * 1024;
const BODY_LIMIT: usize = 4 * 1024;
const HEADERS: usize = 64;

/// The header that is required for requests that change something. No form can send it, and a
/// script of another origin needs permission by CORS, which the monitor never gives.
const CHANGE: &str = "x-asyncio-monitor";

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The reason for which reading a request failed.
pub(crate) enum Bad {
    Refused(Refusal),
    Io(io::Error),
}

impl From<Refusal> for Bad {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Request {
    /// Reads the rest of a request after its first line.
    pub(crate) async fn read(first: &[u8], reader: &mut StreamReader) -> Result<Self, Bad> {
        let mut head = first.to_vec();
        loop {
            let line = reader.read_line().await?;
            head.extend_from_slice(&line);
            if head.len() > HEAD_LIMIT {
                return Err((431, "the head is too long").into());
            }
            if line.trim_ascii().is_empty() {
                break;
            }
        }
        let mut request = Self::parse(&head)?;
        let length = request.body_length()?;
        let body = reader.read_exactly(length).await.map_err(|error| match error {
            ReadError::Io(error) => Bad::Io(error),
            _ => Bad::Refused((400, "the body is cut short")),
        })?;
        request.body = body.to_vec();
        Ok(request)
    }

    fn parse(head: &[u8]) -> Result<Self, Refusal> {
        const BAD: Refusal = (400, "this is no request");
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Err((431, "there are too many headers"));
            }
            Ok(httparse::Status::Partial) | Err(_) => return Err(BAD),
        }
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Err(BAD) };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Ok(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: serde_urlencoded::from_str(query).map_err(|_| BAD)?,
            headers: parsed
                .headers
                .iter()
                .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
                .collect(),
            body: Vec::new(),
        })
    }

    /// The value of the header with this lower-case name. If there are several, the first one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter of the query.
    pub(crate) fn word(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn is_change(&self) -> bool {
        self.method == "POST"
    }

    fn body_length(&self) -> Result<usize, Refusal> {
        if self.header("transfer-encoding").is_some() {
            return Err((501, "a body needs a length"));
        }
        let Some(length) = self.header("content-length") else {
            return if self.is_change() { Err((411, "a body needs a length")) } else { Ok(0) };
        };
        match length.parse() {
            Ok(length) if length <= BODY_LIMIT => Ok(length),
            Ok(_) => Err((413, "the body is too long")),
            Err(_) => Err((400, "this is no length")),
        }
    }

    /// Whether the client may make this request. The page itself needs no token: it asks the user
    /// for it.
    pub(crate) fn check(&self, access: &AccessOptions) -> Result<(), Refusal> {
        let has_two = |name: &str| self.headers.iter().filter(|(n, _)| n == name).count() > 1;
        if has_two("host") || has_two("origin") || has_two("content-length") {
            return Err((400, "a header is there twice"));
        }
        access.check_origin(self.header("host"), self.header("origin"))?;
        match self.method.as_str() {
            "GET" | "HEAD" => {}
            "POST" if self.header(CHANGE).is_some() => {}
            "POST" => return Err((403, "a change needs the header X-Asyncio-Monitor")),
            _ => return Err((405, "only GET, HEAD and POST are known")),
        }
        let given = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !is_page(&self.path) && !access.is_token(given) {
            return Err((401, "the token is missing or wrong"));
        }
        Ok(())
    }
}

/// The files of the page, which contain no data of the program.
fn is_page(path: &str) -> bool {
    matches!(path, "/" | "/monitor.css" | "/monitor.js" | "/timeline.js")
}
