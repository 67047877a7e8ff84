//! `StreamReader`, fed by hand.

mod common;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use asyncio_loop::running_loop;
use asyncio_net::{LimitOverrunError, ReadError, StreamFeeder, StreamReader, feed_reader};
use bytes::Bytes;

fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match poll(future) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future should be ready at once"),
    }
}

fn feed(limit: usize) -> (StreamFeeder, StreamReader) {
    let (feeder, mut reader) = feed_reader();
    reader.set_limit(limit);
    (feeder, reader)
}

fn fed(pieces: &[&str]) -> StreamReader {
    fed_with_limit(pieces, 64 * 1024)
}

fn fed_with_limit(pieces: &[&str], limit: usize) -> StreamReader {
    let (feeder, reader) = feed(limit);
    for piece in pieces {
        feeder.feed_data(piece.as_bytes());
    }
    reader
}

fn incomplete<T: std::fmt::Debug>(result: Result<T, ReadError>) -> (Bytes, Option<usize>) {
    match result {
        Err(ReadError::Incomplete(error)) => (error.partial, error.expected),
        other => panic!("expected an early end, got {other:?}"),
    }
}

fn overrun<T: std::fmt::Debug>(result: Result<T, ReadError>) -> usize {
    match result {
        Err(ReadError::LimitOverrun(error)) => error.consumed,
        other => panic!("expected an overrun, got {other:?}"),
    }
}

fn is_too_long(error: io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<LimitOverrunError>())
}

// S-002
#[test]
fn reading_nothing_consumes_nothing() {
    let mut reader = fed(&["abc"]);
    assert_eq!(now(reader.read(0)).unwrap(), "");
    assert_eq!(now(reader.read(9)).unwrap(), "abc");
}

// S-003
#[test]
fn at_the_end_every_read_is_empty() {
    let mut reader = fed(&[]);
    for _ in 0..2 {
        assert_eq!(now(reader.read(9)).unwrap(), "");
        assert_eq!(now(reader.read_to_end()).unwrap(), "");
        assert_eq!(now(reader.read_line()).unwrap(), "");
        assert_eq!(now(reader.next_line()).unwrap(), None);
        assert_eq!(now(reader.read_exactly(0)).unwrap(), "");
        assert_eq!(now(reader.fill_buf()).unwrap(), b"");
        assert_eq!(now(reader.read_into(&mut [0; 4])).unwrap(), 0);
    }
}

// S-004
#[test]
fn reading_to_the_end_knows_no_limit() {
    let (feeder, mut reader) = feed(4);
    let mut reading = pin!(reader.read_to_end());
    let mut cx = Context::from_waker(Waker::noop());
    let mut sent = Vec::new();
    for round in 0..40_u8 {
        let piece = vec![round; 20_000];
        feeder.feed_data(&piece);
        sent.extend(piece);
        assert!(reading.as_mut().poll(&mut cx).is_pending());
    }
    feeder.feed_eof();
    // The read yields to other tasks from time to time.
    let read = (0..99).find_map(|_| match reading.as_mut().poll(&mut cx) {
        Poll::Ready(read) => Some(read),
        Poll::Pending => None,
    });
    assert!(read.unwrap().unwrap() == sent);
}

// S-006
#[test]
#[should_panic(expected = "limit cannot be zero")]
fn a_limit_of_zero_is_refused() {
    feed(0);
}

// S-007
#[test]
fn after_set_error_every_read_fails() {
    let mut reader = fed(&["abc"]);
    assert_eq!(now(reader.read(1)).unwrap(), "a");
    reader.set_error(io::ErrorKind::ConnectionReset.into());
    for _ in 0..2 {
        let errors = [
            now(reader.read(1)).unwrap_err(),
            now(reader.read_to_end()).unwrap_err(),
            now(reader.read_line()).unwrap_err(),
            now(reader.read_exactly(1)).unwrap_err().into(),
            now(reader.read_until(b"c")).unwrap_err().into(),
            now(reader.fill_buf()).unwrap_err(),
            now(reader.read_into(&mut [0])).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }
}

// S-007
#[test]
fn a_read_that_waits_fails_with_the_error() {
    let (feeder, mut reader) = feed_reader();
    let mut reading = pin!(reader.read(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(reading.as_mut().poll(&mut cx).is_pending());
    feeder.set_error(io::Error::from_raw_os_error(5));
    let Poll::Ready(Err(error)) = reading.as_mut().poll(&mut cx) else { panic!("no error") };
    assert_eq!(error.raw_os_error(), Some(5));
}

// S-009
#[test]
fn a_read_that_is_given_up_loses_nothing() {
    let (feeder, mut reader) = feed_reader();
    feeder.feed_data(b"abc");
    assert!(poll(reader.read_exactly(100_000)).is_pending());
    feeder.feed_data(b"def");
    assert!(poll(reader.read_until(b"\n")).is_pending());
    feeder.feed_data(b"ghi");
    assert!(poll(reader.read_to_end()).is_pending());
    feeder.feed_data(b"\n");
    assert!(poll(reader.read_exactly(11)).is_pending());
    assert_eq!(now(reader.read_line()).unwrap(), "abcdefghi\n");
}

// S-010
#[test]
fn at_eof_when_ended_and_read() {
    let (feeder, mut reader) = feed_reader();
    assert!(!reader.at_eof());
    feeder.feed_data(b"ab");
    feeder.feed_eof();
    assert_eq!(now(reader.read(1)).unwrap(), "a");
    assert!(!reader.at_eof());
    assert_eq!(now(reader.read_to_end()).unwrap(), "b");
    assert!(reader.at_eof());
}

// S-011
#[test]
fn read_exactly_takes_no_more() {
    let (feeder, mut reader) = feed_reader();
    feeder.feed_data(b"ab");
    assert!(poll(reader.read_exactly(3)).is_pending());
    feeder.feed_data(b"cdef");
    assert_eq!(now(reader.read_exactly(3)).unwrap(), "abc");
    assert_eq!(reader.buffered(), b"def");
    feeder.feed_eof();
    assert_eq!(incomplete(now(reader.read_exactly(9))), ("def".into(), Some(9)));
    assert!(reader.at_eof());
}

// S-013
#[test]
fn read_exactly_goes_beyond_the_limit_and_the_pool() {
    let (feeder, mut reader) = feed(8);
    for count in [9, 20_000, 300_000, 1_000_000] {
        let sent: Vec<u8> = (0..count).map(|at| at as u8).collect();
        feeder.feed_data(&sent);
        feeder.feed_data(b"more");
        assert!(now(reader.read_exactly(count)).unwrap() == sent);
        assert_eq!(now(reader.read_exactly(4)).unwrap(), "more");
    }
}

// S-013
#[test]
fn a_length_that_nobody_can_mean_takes_no_memory() {
    let (feeder, mut reader) = feed_reader();
    feeder.feed_data(b"abc");
    feeder.feed_eof();
    assert_eq!(incomplete(now(reader.read_exactly(usize::MAX))), ("abc".into(), Some(usize::MAX)));

    let (feeder, mut reader) = feed_reader();
    let sent: Vec<u8> = (0..20_000_000).map(|at| at as u8).collect();
    feeder.feed_data(&sent);
    feeder.feed_data(b"more");
    assert!(asyncio_task::run(reader.read_exactly(sent.len())).unwrap() == sent);
    assert_eq!(now(reader.read_exactly(4)).unwrap(), "more");
}

// S-014
#[test]
fn a_line_comes_in_as_many_pieces_as_it_likes() {
    let (feeder, mut reader) = feed_reader();
    for piece in ["chunk1 ", "chunk2 ", "chunk3 "] {
        feeder.feed_data(piece.as_bytes());
        assert!(poll(reader.read_line()).is_pending());
    }
    feeder.feed_data(b"\n chunk4");
    assert_eq!(now(reader.read_line()).unwrap(), "chunk1 chunk2 chunk3 \n");
    assert_eq!(reader.buffered(), b" chunk4");
}

// S-015 S-019
#[test]
fn the_last_line_may_lack_its_newline() {
    let mut reader = fed(&["one\n\ntwo\nlast"]);
    assert_eq!(now(reader.next_line()).unwrap().unwrap(), "one\n");
    assert_eq!(now(reader.next_line()).unwrap().unwrap(), "\n");
    assert_eq!(now(reader.next_line()).unwrap().unwrap(), "two\n");
    assert_eq!(now(reader.next_line()).unwrap().unwrap(), "last");
    assert_eq!(now(reader.next_line()).unwrap(), None);
}

// S-016
#[test]
fn the_limit_counts_a_line_without_its_newline() {
    let mut reader = fed_with_limit(&["1234567\n", "12345678\n", "next\n"], 7);
    assert_eq!(now(reader.read_line()).unwrap(), "1234567\n");
    let error = now(reader.read_line()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(is_too_long(error));
    assert_eq!(now(reader.read_line()).unwrap(), "next\n");
}

// S-018
#[test]
fn a_line_too_long_is_dropped_with_what_is_still_to_come_of_it() {
    let (feeder, mut reader) = feed(3);
    feeder.feed_data(b"line1");
    assert!(now(reader.read_line()).is_err());
    assert_eq!(reader.buffered(), b"");
    feeder.feed_data(b" goes on");
    assert!(poll(reader.read_line()).is_pending());
    feeder.feed_data(b" and on\nab\n");
    assert_eq!(now(reader.read_line()).unwrap(), "ab\n");

    for round in 0..3 {
        feeder.feed_data(b"line2 ");
        assert!(now(reader.read_line()).is_err());
        feeder.feed_data(b"rest");
        assert!(poll(reader.read_into(&mut [0; 9])).is_pending());
        feeder.feed_data(b"rest\nab");
        match round {
            0 => assert_eq!(now(reader.read(9)).unwrap(), "ab"),
            1 => assert_eq!(now(reader.read_into(&mut [0; 9])).unwrap(), 2),
            _ => assert_eq!(now(reader.read_exactly(2)).unwrap(), "ab"),
        }
    }
}

// S-021
#[test]
fn an_empty_separator_is_refused() {
    for separators in [&[][..], &[&b""[..]], &[b"a", b""]] {
        let refused = std::panic::catch_unwind(|| {
            let mut reader = fed(&["abc"]);
            poll(reader.read_until_any(separators)).is_ready()
        });
        assert!(refused.is_err());
    }
}

// S-022
#[test]
fn the_end_before_the_separator_gives_everything_that_came() {
    let mut reader = fed(&["some data"]);
    assert_eq!(incomplete(now(reader.read_until(b"AAA"))), ("some data".into(), None));
    assert_eq!(reader.buffered(), b"");
}

// S-023
#[test]
fn over_the_limit_the_bytes_stay() {
    let (feeder, mut reader) = feed(3);
    feeder.feed_data(b"some data");
    assert_eq!(overrun(now(reader.read_until(b"AAA"))), 7);
    assert_eq!(reader.buffered(), b"some data");
    feeder.feed_data(b"AAA");
    assert_eq!(now(reader.read_exactly(7)).unwrap(), "some da");
    assert_eq!(now(reader.read_until(b"AAA")).unwrap(), "taAAA");

    feeder.feed_data(b"dataAAA");
    assert_eq!(overrun(now(reader.read_until(b"AAA"))), 4);
    assert_eq!(reader.buffered(), b"dataAAA");
}

// S-024
#[test]
fn the_separator_that_ends_first_wins() {
    let mut reader = fed(&["ABCDEFG"]);
    assert_eq!(now(reader.read_until_any(&[b"DEF", b"BCDE"])).unwrap(), "ABCDE");
    assert_eq!(reader.buffered(), b"FG");
}

// S-025
#[test]
fn separators_of_different_length_are_found_across_pieces() {
    let (feeder, mut reader) = feed_reader();
    let separators: [&[u8]; 2] = [b"A", b"long sep"];
    let mut cx = Context::from_waker(Waker::noop());
    let mut reading = pin!(reader.read_until_any(&separators));
    for piece in [b"data", &b"Z"[..]] {
        feeder.feed_data(piece);
        assert!(reading.as_mut().poll(&mut cx).is_pending());
    }
    feeder.feed_data(b"Aaaa");
    let Poll::Ready(Ok(read)) = reading.as_mut().poll(&mut cx) else { panic!("not found") };
    assert_eq!(read, "dataZA");
}

// S-026
#[test]
fn the_limit_is_for_what_stands_before_the_separator_that_matched() {
    let mut reader = fed_with_limit(&["some dataA"], 3);
    assert_eq!(overrun(now(reader.read_until_any(&[b"A", b"ome dataA"]))), 9);
    let mut reader = fed_with_limit(&["abcSEP"], 3);
    assert_eq!(now(reader.read_until_any(&[b"SEP", b"XY"])).unwrap(), "abcSEP");
}

// S-027
#[test]
fn a_reader_asks_for_no_more_than_a_buffer_ahead() {
    let (feeder, mut reader) = feed_reader();
    feeder.feed_data(&vec![0; 4 << 20]);
    now(reader.read(1)).unwrap();
    assert!(reader.buffered().len() < 256 * 1024);
}

#[test]
fn large_reads_come_whole() {
    let (feeder, mut reader) = feed_reader();
    feeder.feed_data(&[7; 70_000]);
    assert_eq!(now(reader.read(65_536)).unwrap().len(), 65_536);
    assert_eq!(now(reader.read(65_536)).unwrap().len(), 70_000 - 65_536);
    assert_eq!(reader.buffered(), b"");
}

// Case `starvation`
#[test]
fn a_peer_that_is_always_ahead_lets_others_run() {
    common::run(async || {
        let (feeder, mut reader) = feed_reader();
        feeder.feed_data(&vec![0; 64 << 20]);
        let before = running_loop().turns();
        for _ in 0..100 {
            let count = reader.fill_buf().await?.len();
            reader.consume(count);
        }
        let turns = running_loop().turns() - before;
        assert!((5..20).contains(&turns), "{turns}");
        Ok(())
    });
}
