//! Many connections, one after another and concurrently, leave no memory or file descriptors
//! behind. These tests run in a process of their own and one after another, since they count both.
//! The counts come from /proc.

#![cfg(target_os = "linux")]

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Mutex;

use asyncio_net::{
    Server, StreamReader, StreamWriter, create_server, open_connection, start_server,
};
use asyncio_task::gather;
use common::{Echo, open_sockets, run, settle, until};
use rustix::thread::disable_transparent_huge_pages;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[track_caller]
fn run_alone(test: impl AsyncFnOnce() -> io::Result<()>) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // A huge page would count as two megabytes of growth.
    disable_transparent_huge_pages(true).unwrap();
    run(test);
}

/// Resident anonymous memory in bytes, summed from the page tables: the counter in
/// `/proc/self/statm` may be off by many pages for each core.
fn memory() -> usize {
    let sums = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = sums.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    let kilobytes: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Connections that exchange a little, eight at a time. Every third one is closed by a reset.
async fn connect_and_close(server: &Server, times: usize) -> io::Result<()> {
    let address = server.local_addr()?;
    let one = async |number: usize| {
        let (mut reader, writer) = open_connection(address).await?;
        writer.write(b"hello");
        assert_eq!(reader.read_exactly(5).await?, "hello");
        if number % 3 == 0 {
            writer.transport().abort();
        }
        writer.close().await
    };
    for _ in 0..times / 8 {
        let eight = gather((one(0), one(1), one(2), one(3), one(4), one(5), one(6), one(7))).await;
        let results = [eight.0, eight.1, eight.2, eight.3, eight.4, eight.5, eight.6, eight.7];
        results.into_iter().collect::<io::Result<()>>()?;
    }
    until(|| server.client_count() == 0).await;
    settle().await;
    Ok(())
}

#[test]
fn short_connections_leave_nothing_behind() {
    run_alone(async || {
        let by_protocol = create_server("127.0.0.1:0", || Echo).await?;
        let by_streams = start_server("127.0.0.1:0", async |mut reader, writer| {
            loop {
                let data = reader.read(100).await?;
                if data.is_empty() {
                    return writer.close().await;
                }
                writer.write(&data);
            }
        })
        .await?;
        for server in [by_protocol, by_streams] {
            connect_and_close(&server, 1000).await?;
            let before = (open_sockets(), memory());
            connect_and_close(&server, 8000).await?;
            let after = (open_sockets(), memory());
            assert_eq!(after.0, before.0);
            // Less than a hundred bytes for each connection.
            let grown = after.1.saturating_sub(before.1);
            assert!(grown < 700_000, "{grown} bytes more after 8000 connections");
        }
        Ok(())
    });
}

#[test]
fn peers_that_do_not_read_cost_no_more_than_the_mark_and_one_write_each() {
    const PEERS: usize = 200;
    const WRITE: usize = 50_000;
    const HIGH: usize = 64 * 1024;
    run_alone(async || {
        let waiting = Rc::new(Cell::new(0));
        let most = Rc::new(Cell::new(0));
        let server = start_server("127.0.0.1:0", {
            let (waiting, most) = (waiting.clone(), most.clone());
            async move |_: StreamReader, writer: StreamWriter| {
                loop {
                    writer.write([7; WRITE]);
                    most.set(most.get().max(writer.transport().write_buffer_size()));
                    waiting.set(waiting.get() + 1);
                    writer.drain().await?;
                    waiting.set(waiting.get() - 1);
                }
                #[expect(unreachable_code, reason = "says what it would return")]
                io::Result::Ok(())
            }
        })
        .await?;
        let before = memory();
        let address = server.local_addr()?;
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            peers.push(open_connection(address).await?);
        }
        until(|| waiting.get() == PEERS).await;
        settle().await;
        assert_eq!(waiting.get(), PEERS, "no writer goes on");
        assert!(most.get() > HIGH && most.get() <= HIGH + WRITE, "{most:?}");
        let grown = memory().saturating_sub(before);
        assert!(grown < PEERS * (HIGH + WRITE) + 2_000_000, "{grown} bytes");
        drop(peers);
        server.abort_clients();
        until(|| server.client_count() == 0).await;
        Ok(())
    });
}
