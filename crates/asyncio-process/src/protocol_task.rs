//! The task that calls the protocol of a subprocess.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{ErrorContext, running_loop};
use asyncio_net::ByteSource;

use crate::protocol::SubprocessProtocol;
use crate::transport::{Inner, SubprocessTransport};

/// The longest piece of data that a protocol gets.
const CHUNK: usize = 64 * 1024;

/// A buffer that all protocols of a loop share; it is lent to `pipe_data_received`.
#[derive(Default)]
struct SharedBuffer(RefCell<Vec<u8>>);

pub(crate) struct ProtocolTask<P> {
    transport: SubprocessTransport,
    protocol: P,
    /// The events that the protocol has not got yet: the end of each pipe, and of the process.
    input_open: bool,
    outputs_open: [bool; 2],
    running: bool,
    /// The output that is read first. It alternates with each step, because both outputs share the
    /// budget of the step.
    first: usize,
}

/// Wakes the futures that wait for the end of the transport, however the task ends.
struct Over(Rc<Inner>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over();
    }
}

impl<P: SubprocessProtocol> ProtocolTask<P> {
    pub(crate) fn new(transport: SubprocessTransport, protocol: P) -> Self {
        let inner = &transport.0;
        let input_open = inner.input.is_some();
        let outputs_open = [inner.outputs[0].is_some(), inner.outputs[1].is_some()];
        ProtocolTask { transport, protocol, input_open, outputs_open, running: true, first: 0 }
    }

    pub(crate) async fn work(mut self) {
        let inner = Rc::clone(&self.transport.0);
        let _over = Over(Rc::clone(&inner));
        self.tell(|protocol, transport| protocol.connection_made(transport));
        let mut exit = std::pin::pin!(inner.child.wait());
        poll_fn(|cx| self.poll(cx, &inner, exit.as_mut())).await;
        self.tell(|protocol, transport| protocol.connection_lost(transport));
    }

    fn poll<W: Future>(
        &mut self,
        cx: &mut Context<'_>,
        inner: &Inner,
        exit: Pin<&mut W>,
    ) -> Poll<()> {
        self.first = 1 - self.first;
        self.poll_output(cx, inner, self.first);
        self.poll_output(cx, inner, 1 - self.first);
        self.poll_input(cx, inner);
        if self.running && exit.poll(cx).is_ready() {
            self.running = false;
            self.tell(|protocol, transport| protocol.process_exited(transport));
        }
        if self.running || self.input_open || self.outputs_open.contains(&true) {
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_output(&mut self, cx: &mut Context<'_>, inner: &Inner, index: usize) {
        let Some(outlet) = &inner.outputs[index] else { return };
        let shared = running_loop().local::<SharedBuffer>();
        let mut buffer = shared.0.take();
        buffer.resize(CHUNK, 0);
        while self.outputs_open[index] && (outlet.pipe.is_closed() || !outlet.paused.get()) {
            match outlet.share.poll(cx, |cx| outlet.pipe.poll_read(cx, &mut buffer)) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) if count > 0 => self.received(index, &buffer[..count]),
                Poll::Ready(result) => {
                    outlet.pipe.close();
                    self.outputs_open[index] = false;
                    self.lost(descriptor(index), result.err());
                }
            }
        }
        shared.0.replace(buffer);
    }

    fn poll_input(&mut self, cx: &Context<'_>, inner: &Inner) {
        let Some(input) = inner.input.as_ref().filter(|_| self.input_open) else { return };
        if let Poll::Ready(closed) = input.poll_broken(cx) {
            self.input_open = false;
            input.close();
            self.lost(0, (!closed).then(|| io::ErrorKind::BrokenPipe.into()));
        }
    }

    fn received(&mut self, index: usize, data: &[u8]) {
        self.tell(|protocol, transport| {
            protocol.pipe_data_received(transport, descriptor(index), data);
        });
    }

    fn lost(&mut self, fd: i32, error: Option<io::Error>) {
        self.tell(|protocol, transport| protocol.pipe_connection_lost(transport, fd, error));
    }

    /// Calls the protocol; a panic is reported, and closes the transport.
    fn tell(&mut self, call: impl FnOnce(&mut P, &SubprocessTransport)) {
        let ProtocolTask { protocol, transport, .. } = self;
        let called = catch_unwind(AssertUnwindSafe(|| call(protocol, transport)));
        if let Err(payload) = called {
            let context = ErrorContext::new("unhandled panic in a subprocess protocol")
                .with_panic(&*payload)
                .field("process", transport.id());
            running_loop().report(&context);
            transport.close();
        }
    }
}

/// Standard output is 1, standard error 2.
fn descriptor(index: usize) -> i32 {
    if index == 0 { 1 } else { 2 }
}
