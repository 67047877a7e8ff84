//! The lines of a reader as a stream.

use std::time::Duration;

use asyncio_net::feed_reader;
use asyncio_task::{Runner, create_task, run, timeout, yield_now};
use futures::{StreamExt, TryStreamExt};

#[test]
fn lines_come_as_they_are_complete() {
    run(async {
        let (feeder, mut reader) = feed_reader();
        let lines = create_task(async move {
            let lines: Vec<_> = reader.line_stream().try_collect().await.unwrap();
            (lines, reader.at_eof())
        });
        for part in ["on", "e\ntwo", "\n\nth", "ree"] {
            feeder.feed_data(part.as_bytes());
            yield_now().await;
        }
        feeder.feed_eof();
        let (lines, at_eof) = lines.await.unwrap();
        assert_eq!(lines, ["one\n", "two\n", "\n", "three"]);
        assert!(at_eof);
    });
}

// S-018
#[test]
fn a_line_over_the_limit_is_an_item_and_the_next_one_comes() {
    run(async {
        let (feeder, mut reader) = feed_reader();
        reader.set_limit(4);
        feeder.feed_data(b"much too long\nok\n");
        feeder.feed_eof();
        let lines: Vec<_> = reader.line_stream().collect().await;
        assert_eq!(lines.len(), 2);
        assert!(lines[0].is_err());
        assert_eq!(lines[1].as_ref().unwrap(), "ok\n");
    });
}

#[test]
fn a_stream_that_is_dropped_leaves_what_it_has_not_given() {
    Runner::builder().virtual_time(true).run(async {
        let (feeder, mut reader) = feed_reader();
        feeder.feed_data(b"one\nbegin");
        let mut lines = reader.line_stream();
        assert_eq!(lines.next().await.unwrap().unwrap(), "one\n");
        assert!(timeout(Duration::from_secs(1), lines.next()).await.is_err());
        drop(lines);
        feeder.feed_data(b"ning\n");
        assert_eq!(reader.read_line().await.unwrap(), "beginning\n");
    });
}
