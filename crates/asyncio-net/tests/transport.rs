//! `Protocol` and `Transport`, over loopback.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use asyncio_net::{Protocol, Transport, create_connection, create_server};
use asyncio_task::{Promise, create_future, run};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }
}

struct Collect {
    data: Vec<u8>,
    until: usize,
    done: Promise<()>,
}

impl Protocol for Collect {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.data.extend_from_slice(data);
        if self.data.len() >= self.until {
            transport.close();
        }
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
        assert!(error.is_none());
        self.done.set_result(()).unwrap();
    }
}

#[test]
fn echo() {
    run(async {
        let server = create_server("127.0.0.1:0", || Echo).await?;
        for size in [1, 100, 10_000, 1_000_000, 5_000_000] {
            let done = create_future();
            let collect = Collect { data: Vec::new(), until: size, done: done.clone() };
            let collect = Rc::new(RefCell::new(collect));
            let sent: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let transport = create_connection(server.local_addr()?, || collect.clone()).await?;
            transport.write(&sent);
            done.await.unwrap();
            assert!(collect.borrow().data == sent);
        }
        server.close();
        server.wait_closed().await;
        io::Result::Ok(())
    })
    .unwrap();
}
