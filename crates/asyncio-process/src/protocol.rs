//! Protocols: the callbacks of a subprocess.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::transport::SubprocessTransport;

/// The callbacks of a subprocess: its start, its output, the closing of pipes, its end.
///
/// The loop calls these methods; they must not block. The order is: `connection_made` first; then
/// per descriptor its data, and after that its `pipe_connection_lost`; `process_exited` once;
/// `connection_lost` last, when the process has ended and all pipes are closed. Between
/// descriptors, and between them and `process_exited`, there is no order.
///
/// Descriptor 0 is standard input, 1 standard output, 2 standard error.
///
/// If a method panics, the panic is reported, and the transport is closed.
///
/// # From asyncio
///
/// Every method gets the transport. The data is lent: copy it to keep it.
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use asyncio_process::{Command, Stdio, SubprocessProtocol, SubprocessTransport, subprocess_exec};
///
/// #[derive(Default)]
/// struct Collect(Vec<u8>);
///
/// impl SubprocessProtocol for Collect {
///     fn pipe_data_received(&mut self, _: &SubprocessTransport, fd: i32, data: &[u8]) {
///         assert_eq!(fd, 1);
///         self.0.extend_from_slice(data);
///     }
/// }
///
/// asyncio_task::run(async {
///     let collect = Rc::new(RefCell::new(Collect::default()));
///     let command = Command::new("echo").arg("hello").stdout(Stdio::piped());
///     let transport = subprocess_exec(command, || collect.clone()).await?;
///     transport.wait_closed().await;
///     assert_eq!(collect.borrow().0, b"hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub trait SubprocessProtocol {
    /// The process has been started.
    fn connection_made(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// The process has written to standard output (1) or standard error (2): at least one byte.
    fn pipe_data_received(&mut self, transport: &SubprocessTransport, fd: i32, data: &[u8]) {
        let _ = (transport, fd, data);
    }

    /// A pipe is closed: with an error, or without one at its end or when this program closed it.
    fn pipe_connection_lost(
        &mut self,
        transport: &SubprocessTransport,
        fd: i32,
        error: Option<io::Error>,
    ) {
        let _ = (transport, fd, error);
    }

    /// The process has ended; the transport has its status.
    fn process_exited(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// The process has ended and all pipes are closed.
    fn connection_lost(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }
}

/// A protocol that other code shares. It must not stay borrowed while the loop runs.
impl<P: SubprocessProtocol> SubprocessProtocol for Rc<RefCell<P>> {
    fn connection_made(&mut self, transport: &SubprocessTransport) {
        self.borrow_mut().connection_made(transport);
    }

    fn pipe_data_received(&mut self, transport: &SubprocessTransport, fd: i32, data: &[u8]) {
        self.borrow_mut().pipe_data_received(transport, fd, data);
    }

    fn pipe_connection_lost(
        &mut self,
        transport: &SubprocessTransport,
        fd: i32,
        error: Option<io::Error>,
    ) {
        self.borrow_mut().pipe_connection_lost(transport, fd, error);
    }

    fn process_exited(&mut self, transport: &SubprocessTransport) {
        self.borrow_mut().process_exited(transport);
    }

    fn connection_lost(&mut self, transport: &SubprocessTransport) {
        self.borrow_mut().connection_lost(transport);
    }
}
