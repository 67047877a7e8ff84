//! `StreamReader` gives the same results however the bytes are split: those of a simple model that
//! has all bytes at once.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use asyncio_net::{LimitOverrunError, ReadError, StreamFeeder, StreamReader, feed_reader};
use bytes::Bytes;
use proptest::prelude::*;

const LIMIT: usize = 12;

/// An operation on a reader.
#[derive(Clone, Debug)]
enum Ask {
    /// Reads up to a number of bytes.
    Read(usize),
    /// The same, into the caller's buffer.
    ReadInto(usize),
    /// Borrows the buffered bytes, and consumes up to a number of them.
    Fill(usize),
    ToEnd,
    Exactly(usize),
    Line,
    /// Appends a line to a buffer that is not empty.
    LineInto,
    Until(Vec<Vec<u8>>),
    /// Drops a read that is pending, then goes on.
    GiveUp(Box<Ask>),
}

/// A result, in a form that does not depend on how the bytes were split.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    Bytes(Bytes),
    TooLong,
    End(Bytes),
}

fn separator() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(b'a'..=b'c', 1..4)
}

fn ask() -> impl Strategy<Value = Ask> {
    let leaf = prop_oneof![
        (0..20_usize).prop_map(Ask::Read),
        (0..20_usize).prop_map(Ask::ReadInto),
        (0..20_usize).prop_map(Ask::Fill),
        Just(Ask::ToEnd),
        (0..20_usize).prop_map(Ask::Exactly),
        Just(Ask::Line),
        Just(Ask::LineInto),
        prop::collection::vec(separator(), 1..4).prop_map(Ask::Until),
    ];
    leaf.prop_recursive(1, 2, 1, |ask| ask.prop_map(|ask| Ask::GiveUp(Box::new(ask))))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"abc\n"[..]), 0..80)
}

/// The bytes in pieces, then the end.
struct Peer<'a> {
    pieces: Vec<&'a [u8]>,
    feeder: StreamFeeder,
}

impl<'a> Peer<'a> {
    fn new(bytes: &'a [u8], cuts: &[usize], feeder: StreamFeeder) -> Self {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        ends.dedup();
        let pieces = ends.windows(2).rev().map(|range| &bytes[range[0]..range[1]]).collect();
        Self { pieces, feeder }
    }

    fn send_one(&mut self) {
        match self.pieces.pop() {
            Some(piece) => self.feeder.feed_data(piece),
            None => self.feeder.feed_eof(),
        }
    }

    fn send_until_done<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(value) => return value,
                Poll::Pending => self.send_one(),
            }
        }
    }
}

async fn read_line_into(reader: &mut StreamReader) -> io::Result<Bytes> {
    let mut line = b"before".to_vec();
    let result = reader.read_line_into(&mut line).await;
    let read = line.strip_prefix(b"before").expect("what was there stays");
    assert_eq!(read.len(), *result.as_ref().unwrap_or(&0));
    result.map(|_| Bytes::copy_from_slice(read))
}

/// The only error that reading a line can return here.
fn too_long(_: io::Error) -> ReadError {
    ReadError::LimitOverrun(LimitOverrunError { consumed: 0, limit: LIMIT })
}

async fn answer(reader: &mut StreamReader, ask: &Ask) -> Got {
    let result = match ask {
        Ask::Read(count) => reader.read(*count).await.map_err(ReadError::Io),
        Ask::ReadInto(count) => {
            let mut buffer = vec![0; *count];
            let read = reader.read_into(&mut buffer).await.map_err(ReadError::Io);
            read.map(|read| Bytes::copy_from_slice(&buffer[..read]))
        }
        Ask::Fill(most) => {
            let buffered = reader.fill_buf().await.map_err(ReadError::Io);
            let used = buffered
                .map(|buffered| Bytes::copy_from_slice(&buffered[..buffered.len().min(*most)]));
            if let Ok(used) = &used {
                reader.consume(used.len());
            }
            used
        }
        Ask::ToEnd => reader.read_to_end().await.map_err(ReadError::Io),
        Ask::Exactly(count) => reader.read_exactly(*count).await,
        Ask::Line => reader.read_line().await.map_err(too_long),
        Ask::LineInto => read_line_into(reader).await.map_err(too_long),
        Ask::Until(separators) => {
            let separators: Vec<&[u8]> = separators.iter().map(Vec::as_slice).collect();
            reader.read_until_any(&separators).await
        }
        Ask::GiveUp(_) => unreachable!("given up by the caller"),
    };
    match result {
        Ok(bytes) => Got::Bytes(bytes),
        Err(ReadError::LimitOverrun(_)) => Got::TooLong,
        Err(ReadError::Incomplete(error)) => Got::End(error.partial),
        Err(ReadError::Io(error)) => panic!("{error}"),
    }
}

/// A model of a reader that has all bytes from the start.
struct Model<'a>(&'a [u8]);

impl Model<'_> {
    /// The result of `ask`. The length of a read depends on how the bytes were split, so the model
    /// takes the length of `got` if it is possible.
    fn answer(&mut self, ask: &Ask, got: &Got) -> Got {
        match ask {
            Ask::Read(most) | Ask::ReadInto(most) | Ask::Fill(most) => self.some(*most, got),
            Ask::ToEnd => self.take(self.0.len()),
            Ask::Exactly(count) if *count <= self.0.len() => self.take(*count),
            Ask::Exactly(_) => self.end(),
            Ask::Line | Ask::LineInto => self.line(),
            Ask::Until(separators) => self.until(separators),
            Ask::GiveUp(ask) => self.answer(ask, got),
        }
    }

    fn take(&mut self, count: usize) -> Got {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        Got::Bytes(Bytes::copy_from_slice(taken))
    }

    fn end(&mut self) -> Got {
        Got::End(Bytes::copy_from_slice(std::mem::take(&mut self.0)))
    }

    fn some(&mut self, most: usize, got: &Got) -> Got {
        let Got::Bytes(got) = got else { return Got::TooLong };
        let least = usize::from(most > 0 && !self.0.is_empty());
        self.take(got.len().clamp(least, most).min(self.0.len()))
    }

    fn line(&mut self) -> Got {
        let newline = self.0.iter().position(|byte| *byte == b'\n');
        let end = newline.map_or(self.0.len(), |newline| newline + 1);
        let line = self.take(end);
        if newline.unwrap_or(end) > LIMIT { Got::TooLong } else { line }
    }

    fn until(&mut self, separators: &[Vec<u8>]) -> Got {
        let first = (0..=self.0.len()).find_map(|end| {
            let is_end = |separator: &&Vec<u8>| self.0[..end].ends_with(separator);
            // If several separators end here, the first in the list counts.
            Some((end - separators.iter().find(is_end)?.len(), end))
        });
        let longest = separators.iter().map(Vec::len).max().unwrap();
        match first {
            Some((start, end)) if start <= LIMIT => self.take(end),
            Some(_) => Got::TooLong,
            None if (self.0.len() + 1).saturating_sub(longest) > LIMIT => Got::TooLong,
            None => self.end(),
        }
    }
}

/// Performs the same operations on a reader that is fed in pieces and on the model, and compares
/// the results.
fn check(bytes: &[u8], cuts: &[usize], asks: &[Ask]) -> Result<(), TestCaseError> {
    let (feeder, mut reader) = feed_reader();
    reader.set_limit(LIMIT);
    let mut peer = Peer::new(bytes, cuts, feeder);
    let mut model = Model(bytes);
    for ask in asks {
        let got = match ask {
            Ask::GiveUp(inner) => {
                let mut first = Box::pin(answer(&mut reader, inner));
                match first.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(got) => got,
                    Poll::Pending => {
                        drop(first);
                        peer.send_until_done(answer(&mut reader, inner))
                    }
                }
            }
            ask => peer.send_until_done(answer(&mut reader, ask)),
        };
        let expected = model.answer(ask, &got);
        prop_assert_eq!(got, expected, "{:?}, then {:?}", ask, model.0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_gives_what_the_model_says(
        bytes in bytes(),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        asks in prop::collection::vec(ask(), 1..12),
    ) {
        let singly: Vec<usize> = (0..bytes.len()).collect();
        check(&bytes, &[], &asks)?;
        check(&bytes, &cuts, &asks)?;
        check(&bytes, &singly, &asks)?;
    }

    #[test]
    fn nothing_is_lost_and_nothing_invented(
        length in 0..600_000_usize,
        cuts in prop::collection::vec(0..600_000_usize, 0..20),
        counts in prop::collection::vec(1..200_000_usize, 1..12),
    ) {
        let bytes: Vec<u8> = (0..length).map(|at| (at ^ at >> 8) as u8).collect();
        let (feeder, mut reader) = feed_reader();
        reader.set_limit(LIMIT);
        let mut peer = Peer::new(&bytes, &cuts, feeder);
        let mut read = Vec::new();
        for count in counts.iter().cycle() {
            let piece = peer.send_until_done(reader.read(*count));
            let piece = piece.unwrap();
            prop_assert!(piece.len() <= *count);
            if piece.is_empty() {
                break;
            }
            read.extend_from_slice(&piece);
        }
        prop_assert!(read == bytes);
        prop_assert!(reader.at_eof());
    }
}
