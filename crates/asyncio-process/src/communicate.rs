//! `communicate`: input, output and errors of a process at the same time.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_loop::machinery::Share;
use asyncio_net::{Bytes, StreamReader, StreamWriter};

use crate::pipe::Pipe;

/// The minimum size of a read: the default capacity of a pipe.
const CHUNK: usize = 64 * 1024;

/// Types of input for [`communicate`](crate::Process::communicate): text, bytes or `None`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a process",
    label = "neither text nor bytes nor `None`",
    note = "an `Option` is one of `&[u8]`, as in `text.as_deref().map(str::as_bytes)`"
)]
pub trait ProcessInput {
    /// The bytes. `None` is the same as no bytes.
    #[doc(hidden)]
    fn bytes(&self) -> &[u8];
}

macro_rules! input {
    ($($type:ty),*) => {$(
        impl ProcessInput for $type {
            fn bytes(&self) -> &[u8] {
                self.as_ref()
            }
        }
    )*};
}

input!(str, String, [u8], Vec<u8>, Bytes);

impl<const N: usize> ProcessInput for [u8; N] {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl<T: ProcessInput + ?Sized> ProcessInput for &T {
    fn bytes(&self) -> &[u8] {
        (**self).bytes()
    }
}

impl ProcessInput for Option<&[u8]> {
    fn bytes(&self) -> &[u8] {
        self.unwrap_or_default()
    }
}

/// A running exchange. It works on the pipes themselves, so bytes are copied only once, by the
/// system.
pub(crate) struct Communication<'a> {
    input: Feed<'a>,
    stdout: Option<Collect>,
    stderr: Option<Collect>,
}

/// Standard output and standard error.
type Collected = (Vec<u8>, Vec<u8>);

impl<'a> Communication<'a> {
    pub(crate) fn new(
        input: &'a [u8],
        stdin: Option<(StreamWriter, Rc<Pipe>)>,
        stdout: Option<(StreamReader, Rc<Pipe>)>,
        stderr: Option<(StreamReader, Rc<Pipe>)>,
        limit: usize,
    ) -> Self {
        let collect = |(reader, pipe)| Collect::new(reader, pipe, limit);
        Communication {
            input: Feed::new(input, stdin),
            stdout: stdout.map(collect),
            stderr: stderr.map(collect),
        }
    }

    pub(crate) async fn run(mut self) -> io::Result<Collected> {
        poll_fn(|cx| self.poll(cx)).await?;
        let bytes = |output: Option<Collect>| output.map(|output| output.bytes).unwrap_or_default();
        Ok((bytes(self.stdout), bytes(self.stderr)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut all = self.input.poll(cx).is_ready();
        for output in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            all &= output.poll(cx)?.is_ready();
        }
        if all { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// The input of the process.
struct Feed<'a> {
    left: &'a [u8],
    stdin: Option<(StreamWriter, Rc<Pipe>)>,
    share: Share,
}

impl<'a> Feed<'a> {
    fn new(input: &'a [u8], stdin: Option<(StreamWriter, Rc<Pipe>)>) -> Self {
        let (left, stdin) = match stdin {
            // After bytes that were written before and not sent yet.
            Some((writer, _)) if writer.transport().write_buffer_size() > 0 => {
                writer.write(input);
                writer.write_eof();
                (&[][..], None)
            }
            Some(_) if input.is_empty() => (input, None),
            stdin => (input, stdin),
        };
        Feed { left, stdin, share: Share::default() }
    }

    /// Errors are ignored, because a process need not read its input.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((_, pipe)) = &self.stdin else { return Poll::Ready(()) };
        while let Ok(count) = ready!(self.share.poll(cx, |cx| pipe.poll_write(cx, self.left))) {
            self.left = &self.left[count..];
            if self.left.is_empty() {
                break;
            }
        }
        self.stdin = None;
        Poll::Ready(())
    }
}

/// One output of the process.
struct Collect {
    /// Dropped at the end of the stream.
    stream: Option<(StreamReader, Rc<Pipe>)>,
    bytes: Vec<u8>,
    limit: usize,
    share: Share,
}

impl Collect {
    fn new(mut reader: StreamReader, pipe: Rc<Pipe>, limit: usize) -> Self {
        let bytes = reader.buffered().to_vec();
        reader.consume(bytes.len());
        Collect { stream: Some((reader, pipe)), bytes, limit, share: Share::default() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.bytes.len() > self.limit {
                return Poll::Ready(Err(too_much(self.limit)));
            }
            let Some((_, pipe)) = &self.stream else { return Poll::Ready(Ok(())) };
            if self.bytes.capacity() - self.bytes.len() < CHUNK {
                self.bytes.reserve(CHUNK);
            }
            if ready!(self.share.poll(cx, |cx| pipe.poll_append(cx, &mut self.bytes)))? == 0 {
                self.stream = None;
            }
        }
    }
}

fn too_much(limit: usize) -> io::Error {
    let text = format!("process wrote more than the limit of {limit} bytes");
    io::Error::new(ErrorKind::FileTooLarge, text)
}
