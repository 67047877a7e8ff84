//! Input, output and errors of a process, all at once.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::process::ExitStatus;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_net::{StreamReader, StreamWriter};

use crate::pipe::Pipe;

/// Read at least this much at once: what a pipe holds by default.
const CHUNK: usize = 64 * 1024;
/// After so many system calls in a row on one pipe the loop gets its turn.
const IN_A_ROW: u32 = 16;

/// What a process left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output, if that was piped.
    pub stdout: Option<Vec<u8>>,
    /// What it wrote to standard error, if that was piped.
    pub stderr: Option<Vec<u8>>,
}

/// An exchange under way. It works on the pipes themselves, so bytes are copied once: by the system.
pub(crate) struct Communication<'a> {
    input: Feed<'a>,
    stdout: Option<Collect>,
    stderr: Option<Collect>,
}

type Collected = (Option<Vec<u8>>, Option<Vec<u8>>);

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
        Ok((self.stdout.map(|stdout| stdout.bytes), self.stderr.map(|stderr| stderr.bytes)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut all = self.input.poll(cx).is_ready();
        for output in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            all &= output.poll(cx)?.is_ready();
        }
        if all { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// The way in.
struct Feed<'a> {
    left: &'a [u8],
    stdin: Option<(StreamWriter, Rc<Pipe>)>,
}

impl<'a> Feed<'a> {
    fn new(input: &'a [u8], stdin: Option<(StreamWriter, Rc<Pipe>)>) -> Self {
        match stdin {
            // Behind what was written before and has not left.
            Some((writer, _)) if writer.transport().write_buffer_size() > 0 => {
                writer.write(input);
                writer.write_eof();
                Feed { left: &[], stdin: None }
            }
            Some(_) if input.is_empty() => Feed { left: input, stdin: None },
            stdin => Feed { left: input, stdin },
        }
    }

    /// Errors don't matter: a process need not read its input.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((_, pipe)) = &self.stdin else { return Poll::Ready(()) };
        for _ in 0..IN_A_ROW {
            match pipe.poll_write(cx, self.left) {
                Poll::Ready(Ok(count)) if count < self.left.len() => {
                    self.left = &self.left[count..];
                }
                Poll::Ready(_) => {
                    self.stdin = None;
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One way out.
struct Collect {
    /// Dropped at the end of the stream.
    stream: Option<(StreamReader, Rc<Pipe>)>,
    bytes: Vec<u8>,
    limit: usize,
}

impl Collect {
    fn new(mut reader: StreamReader, pipe: Rc<Pipe>, limit: usize) -> Self {
        let bytes = reader.buffered().to_vec();
        reader.consume(bytes.len());
        Collect { stream: Some((reader, pipe)), bytes, limit }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..IN_A_ROW {
            if self.bytes.len() > self.limit {
                return Poll::Ready(Err(too_much(self.limit)));
            }
            let Some((_, pipe)) = &self.stream else { return Poll::Ready(Ok(())) };
            if self.bytes.capacity() - self.bytes.len() < CHUNK {
                self.bytes.reserve(CHUNK);
            }
            match pipe.poll_append(cx, &mut self.bytes) {
                Poll::Ready(Ok(0)) => self.stream = None,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn too_much(limit: usize) -> io::Error {
    let text = format!("process wrote more than the limit of {limit} bytes");
    io::Error::new(ErrorKind::FileTooLarge, text)
}
