//! Streams with faulty reads and writes.

#![cfg(feature = "net")]

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;

use asyncio_net::{JoinedStream, StreamReader, StreamWriter, stream_over, upgrade_streams};
use asyncio_task::{create_task, run};
use asyncio_testing::{FailureKind, Faults, FaultyStream, Order, Simulation, memory_stream_pair};

/// Bytes that depend on their position.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place % 251) as u8).collect()
}

#[test]
fn bytes_arrive_whole_however_they_are_cut() {
    let faults = Faults::new().short_io(0.5).full_buffer(0.2);
    Simulation::new().seeds(100).faults(faults).run(async || {
        let (one, two) = FaultyStream::memory_pair(300);
        let ((_reader, writer), (mut reader, _writer)) = (stream_over(one), stream_over(two));
        let sent = pattern(5000);
        let sending = create_task({
            let sent = sent.clone();
            async move {
                for chunk in sent.chunks(700) {
                    writer.write(chunk);
                    writer.drain().await?;
                }
                writer.close().await
            }
        });
        assert_eq!(reader.read_to_end().await.unwrap(), sent);
        sending.await.unwrap().unwrap();
    });
}

#[test]
fn a_fault_resets_both_ends() {
    let simulation = Simulation::new().seeds(200).faults(Faults::new().io_error(0.1));
    let (mut whole, mut reset) = (0, 0);
    simulation.run(async || {
        let ((_r, writer), (mut reader, peer)) = memory_stream_pair();
        let sending = create_task(async move {
            for _ in 0..5 {
                writer.write([7; 100]);
                writer.drain().await?;
                asyncio_task::yield_now().await;
            }
            writer.close().await
        });
        match reader.read_to_end().await {
            Ok(bytes) if bytes.len() == 500 => whole += 1,
            Ok(bytes) => panic!("{} bytes without an error", bytes.len()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                reset += 1;
            }
        }
        drop(peer);
        let _ = sending.await.unwrap();
    });
    assert!(whole > 10 && reset > 10, "{whole} {reset}");
}

#[test]
fn an_end_that_is_closed_ends_the_other() {
    run(async {
        let ((mut reader, writer), (mut peer_reader, peer_writer)) = memory_stream_pair();
        writer.write(b"last words");
        writer.write_eof();
        assert_eq!(peer_reader.read_to_end().await.unwrap(), b"last words"[..]);
        peer_writer.write(b"answer");
        peer_writer.close().await.unwrap();
        assert_eq!(reader.read_to_end().await.unwrap(), b"answer"[..]);
    });
}

#[test]
fn streams_over_sockets_go_wrong_as_well() {
    let simulation = Simulation::new().seeds(20).faults(Faults::new().short_io(0.5));
    simulation.run(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_reader, writer) = faulty(ours).await;
        let (mut reader, _writer) = faulty(theirs).await;
        let sent = pattern(3000);
        writer.write(&sent);
        writer.close().await.unwrap();
        assert_eq!(reader.read_to_end().await.unwrap(), sent);
    });
}

/// Streams over a socket that go wrong.
async fn faulty(socket: UnixStream) -> (StreamReader, StreamWriter) {
    let (mut reader, mut writer) = JoinedStream::from_std(socket).unwrap().split();
    let wrap = async |plain| Ok(FaultyStream::new(plain));
    upgrade_streams(&mut reader, &mut writer, wrap).await.unwrap();
    (reader, writer)
}

#[test]
fn two_ends_that_wait_for_each_other_are_a_deadlock() {
    let failure = Simulation::new().order(Order::Fifo).check(async || {
        let ((mut reader, _writer), (mut peer_reader, _peer_writer)) = memory_stream_pair();
        let peer = create_task(async move { peer_reader.read_line().await.map(drop) });
        let _ = reader.read_line().await;
        let _ = peer.await;
    });
    assert_eq!(failure.unwrap_err().kind(), FailureKind::Deadlock);
}
