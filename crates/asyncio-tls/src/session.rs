//! [`Session`]: a rustls connection without buffers of its own.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

use crate::server::take_name_asked_for;

/// The TLS state of one side. All bytes are in its callers' buffers, so a waiting connection needs
/// no buffer.
///
/// The caller passes the received records, and the session processes them step by step. The caller
/// passes the unprocessed rest again, with more bytes appended.
pub(crate) struct Session {
    side: Side,
    /// On a server, the name that the client asked for.
    server_name: Option<Box<str>>,
    /// Whether the peer's closing alert was received and all text before it was returned.
    heard_end: bool,
}

enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What the caller does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another step.
    GoOn,
    /// Receive more before the next step.
    Receive,
}

/// The data to encrypt.
#[derive(Clone, Copy)]
pub(crate) enum Outgoing<'a> {
    Text(&'a [u8]),
    /// The closing alert, unless it was sent.
    End,
}

impl From<UnbufferedClientConnection> for Session {
    fn from(client: UnbufferedClientConnection) -> Self {
        Self { side: Side::Client(client), server_name: None, heard_end: false }
    }
}

impl From<UnbufferedServerConnection> for Session {
    fn from(server: UnbufferedServerConnection) -> Self {
        Self { side: Side::Server(server), server_name: None, heard_end: false }
    }
}

impl Session {
    pub(crate) fn common(&self) -> &CommonState {
        match &self.side {
            Side::Client(client) => client,
            Side::Server(server) => server,
        }
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(crate) fn heard_end(&self) -> bool {
        self.heard_end
    }

    /// Takes one step: passes the text of a record to `text`, or appends data to be sent to
    /// `records`. Returns how many bytes of `received` were processed.
    pub(crate) fn step(
        &mut self,
        received: &mut [u8],
        text: &mut dyn FnMut(&[u8]),
        records: &mut Vec<u8>,
    ) -> (usize, Result<Next, Error>) {
        match &mut self.side {
            Side::Client(client) => step(client, received, text, records, &mut self.heard_end),
            Side::Server(server) => {
                let done = step(server, received, text, records, &mut self.heard_end);
                if let Some(name) = take_name_asked_for() {
                    self.server_name = Some(name);
                }
                done
            }
        }
    }

    /// Encrypts into the front of `records`, which grows if necessary. Returns the number of bytes.
    /// `received` is what the last step left unprocessed.
    pub(crate) fn encrypt(
        &mut self,
        what: Outgoing<'_>,
        received: &mut [u8],
        records: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        match &mut self.side {
            Side::Client(client) => encrypt(client, what, received, records, &mut self.heard_end),
            Side::Server(server) => encrypt(server, what, received, records, &mut self.heard_end),
        }
    }
}

/// A client's or server's rustls connection.
trait Unbuffered {
    type Data;

    fn process<'c, 'r>(
        &'c mut self,
        received: &'r mut [u8],
    ) -> UnbufferedStatus<'c, 'r, Self::Data>;
}

impl Unbuffered for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'r>(
        &'c mut self,
        received: &'r mut [u8],
    ) -> UnbufferedStatus<'c, 'r, Self::Data> {
        self.process_tls_records(received)
    }
}

impl Unbuffered for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'r>(
        &'c mut self,
        received: &'r mut [u8],
    ) -> UnbufferedStatus<'c, 'r, Self::Data> {
        self.process_tls_records(received)
    }
}

fn step<C: Unbuffered>(
    connection: &mut C,
    received: &mut [u8],
    text: &mut dyn FnMut(&[u8]),
    records: &mut Vec<u8>,
    heard_end: &mut bool,
) -> (usize, Result<Next, Error>) {
    let UnbufferedStatus { mut discard, state } = connection.process(received);
    let next = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Next::GoOn),
                Some(Err(error)) => break Err(error),
                Some(Ok(record)) => {
                    discard += record.discard;
                    text(record.payload);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let end = records.len();
            encode(&mut data, records, end).map(|_| Next::GoOn)
        }
        // The caller has the data and will send it.
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Next::GoOn)
        }
        Ok(ConnectionState::PeerClosed) => {
            *heard_end = true;
            Ok(Next::GoOn)
        }
        Ok(
            ConnectionState::WriteTraffic(_)
            | ConnectionState::BlockedHandshake
            | ConnectionState::Closed,
        ) => Ok(Next::Receive),
        // These servers accept no early data.
        Ok(state) => Err(unexpected(&state)),
    };
    (discard, next)
}

fn encrypt<C: Unbuffered>(
    connection: &mut C,
    what: Outgoing<'_>,
    received: &mut [u8],
    records: &mut Vec<u8>,
    heard_end: &mut bool,
) -> Result<usize, Error> {
    let mut made = 0;
    loop {
        let UnbufferedStatus { discard, state } = connection.process(received);
        debug_assert_eq!(discard, 0, "what the last step left is not whole");
        match state? {
            ConnectionState::EncodeTlsData(mut data) => made += encode(&mut data, records, made)?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => *heard_end = true,
            ConnectionState::WriteTraffic(mut traffic) => {
                return Ok(made + encrypt_now(&mut traffic, what, records, made)?);
            }
            ConnectionState::Closed if matches!(what, Outgoing::End) => return Ok(made),
            state => return Err(unexpected(&state)),
        }
    }
}

fn encrypt_now<D>(
    traffic: &mut WriteTraffic<'_, D>,
    what: Outgoing<'_>,
    records: &mut Vec<u8>,
    at: usize,
) -> Result<usize, Error> {
    loop {
        let room = &mut records[at..];
        let encrypted = match what {
            Outgoing::Text(text) => traffic.encrypt(text, room),
            Outgoing::End => traffic.queue_close_notify(room),
        };
        match encrypted {
            Ok(count) => return Ok(count),
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                records.resize(at + required_size, 0);
            }
            Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
        }
    }
}

/// Writes the session's output at `at`.
fn encode<D>(
    data: &mut EncodeTlsData<'_, D>,
    records: &mut Vec<u8>,
    at: usize,
) -> Result<usize, Error> {
    loop {
        match data.encode(&mut records[at..]) {
            Ok(count) => return Ok(count),
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                records.resize(at + required_size, 0);
            }
            Err(error @ EncodeError::AlreadyEncoded) => {
                return Err(Error::General(error.to_string()));
            }
        }
    }
}

fn unexpected<D>(state: &ConnectionState<'_, '_, D>) -> Error {
    Error::General(format!("the session is in an unexpected state: {state:?}"))
}
