//! Answers.

use std::borrow::Cow;

use serde::Serialize;

use crate::access::Refusal;

/// The page's content security policy: it may run its own script and send requests to its own host.
const HEADERS: &str = "Connection: close\r\n\
    Cache-Control: no-store\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Referrer-Policy: no-referrer\r\n\
    X-Content-Type-Options: nosniff\r\n";

pub(crate) struct Response {
    status: u16,
    kind: &'static str,
    body: Cow<'static, [u8]>,
    /// The file name for the browser's download.
    pub(crate) file: Option<String>,
}

impl Response {
    pub(crate) fn new(
        status: u16,
        kind: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self { status, kind, body: body.into(), file: None }
    }

    pub(crate) fn text(status: u16, text: String) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into_bytes())
    }

    pub(crate) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(200, "application/json", body),
            Err(error) => Self::text(500, format!("{error}\n")),
        }
    }

    pub(crate) fn refusal((status, text): Refusal) -> Self {
        Self::text(status, format!("{text}\n"))
    }

    fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            411 => "Length Required",
            413 => "Content Too Large",
            422 => "Unprocessable Content",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Error",
        }
    }

    pub(crate) fn to_bytes(&self, has_body: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{HEADERS}",
            self.status,
            self.reason(),
            self.kind,
            self.body.len(),
        );
        match self.status {
            401 => head.push_str("WWW-Authenticate: Bearer\r\n"),
            405 => head.push_str("Allow: GET, HEAD, POST\r\n"),
            _ => {}
        }
        if let Some(file) = &self.file {
            head.push_str(&format!("Content-Disposition: attachment; filename=\"{file}\"\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if has_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}
