//! [`Message`].

use bytes::Bytes;
use tungstenite::protocol::CloseFrame;

/// A message of a [`WebSocket`](super::WebSocket). Pings are answered automatically.
///
/// # Examples
///
/// ```
/// use asyncio_http::websocket::Message;
///
/// assert_eq!(Message::from("hello"), Message::Text("hello".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl Message {
    /// The text; `None` for bytes.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    pub(super) fn into_frame(self) -> tungstenite::Message {
        match self {
            Self::Text(text) => tungstenite::Message::Text(text.into()),
            Self::Binary(bytes) => tungstenite::Message::Binary(bytes),
        }
    }
}

/// A received frame.
pub(super) enum Received {
    Message(Message),
    Closing(Option<(u16, String)>),
    /// A ping or a pong.
    Sign,
}

impl From<tungstenite::Message> for Received {
    fn from(message: tungstenite::Message) -> Self {
        use tungstenite::Message as Frame;
        match message {
            Frame::Text(text) => Self::Message(Message::Text(text.as_str().to_owned())),
            Frame::Binary(bytes) => Self::Message(Message::Binary(bytes)),
            Frame::Close(frame) => Self::Closing(
                frame.map(|CloseFrame { code, reason }| (code.into(), reason.as_str().to_owned())),
            ),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Self::Sign,
        }
    }
}
