//! A connect that is given up, in a process of its own: it counts descriptors.

mod common;

use std::net::{Ipv4Addr, SocketAddr};

use asyncio_net::open_connection;
use asyncio_task::create_task;
use common::{run, settle};
use socket2::{Domain, Socket, Type};

/// An address that neither refuses nor accepts: its backlog is full.
fn silent_address() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let clients = (0..4)
        .map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&address);
            client
        })
        .collect();
    (listener, clients, address.as_socket().unwrap())
}

// T-035
#[test]
fn giving_up_closes_the_socket() {
    run(async || {
        let (listener, clients, address) = silent_address();
        let before = open_descriptors();
        let connecting = create_task(open_connection(address));
        settle().await;
        assert!(!connecting.is_done());
        assert_eq!(open_descriptors(), before + 1);
        connecting.cancel();
        assert!(connecting.await.unwrap_err().is_cancelled());
        assert_eq!(open_descriptors(), before);
        drop((listener, clients));
        Ok(())
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| {
        entries
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    })
}
