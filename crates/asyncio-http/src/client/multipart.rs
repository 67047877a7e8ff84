//! [`Multipart`]: forms with files (RFC 7578).

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::content::Content;

/// A form with files.
///
/// # From aiohttp
///
/// `FormData`.
///
/// # Examples
///
/// ```
/// use asyncio_http::{App, Multipart, Part};
/// use asyncio_http::testing::TestClient;
///
/// asyncio_task::run(async {
///     let app = App::new().post("/upload", async |body: String| body);
///     let client = TestClient::new(app);
///     let form = Multipart::new()
///         .text("title", "holidays")
///         .part("photo", Part::new(b"...").file_name("sea.jpg").content_type("image/jpeg"));
///     let sent = client.post("/upload").multipart(form).await?.text().await?;
///     assert!(sent.contains("name=\"photo\"; filename=\"sea.jpg\"\r\ncontent-type: image/jpeg"));
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "FormData")]
pub struct Multipart {
    parts: Vec<(String, Part)>,
    boundary: String,
}

impl Default for Multipart {
    fn default() -> Self {
        Self::new()
    }
}

impl Multipart {
    /// A form without fields.
    #[must_use]
    pub fn new() -> Self {
        Self { parts: Vec::new(), boundary: boundary() }
    }

    /// Adds a text field.
    #[must_use]
    pub fn text(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.part(name, Part::new(value.into()))
    }

    /// Adds a field.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, part: Part) -> Self {
        self.parts.push((name.into(), part));
        self
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub(super) fn into_content(self) -> Content {
        let mut body = BytesMut::new();
        for (name, part) in &self.parts {
            let mut head = format!("--{}\r\n", self.boundary);
            let _ = write!(head, "content-disposition: form-data; name=\"{}\"", quoted(name));
            if let Some(file_name) = &part.file_name {
                let _ = write!(head, "; filename=\"{}\"", quoted(file_name));
            }
            if let Some(content_type) = &part.content_type {
                let _ = write!(head, "\r\ncontent-type: {}", one_line(content_type));
            }
            head.push_str("\r\n\r\n");
            body.put_slice(head.as_bytes());
            body.put_slice(&part.bytes);
            body.put_slice(b"\r\n");
        }
        body.put_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        body.freeze().into()
    }
}

/// One field of a [`Multipart`].
///
/// # Examples
///
/// See [`Multipart`].
#[derive(Clone, Debug)]
pub struct Part {
    bytes: Bytes,
    file_name: Option<String>,
    content_type: Option<String>,
}

impl Part {
    /// A field with these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into().into(), file_name: None, content_type: None }
    }

    /// Makes the field a file with this name.
    #[must_use]
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Sets the content type of the field.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }
}

/// Escapes a name as browsers do (WHATWG HTML, "multipart/form-data encoding algorithm"), so that a
/// name cannot contain a line break.
fn quoted(name: &str) -> String {
    name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22")
}

fn one_line(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

/// A random boundary, so that no content can contain it on purpose.
fn boundary() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}
