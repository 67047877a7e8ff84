//! The state of a file: input that was read ahead, output to be written, and the job under way.
//!
//! At most one job works on the file. The job belongs to the file and not to the future that
//! started it, so a dropped future loses nothing: the next operation waits for the job first, and
//! takes over its result.

use std::error::Error;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use asyncio_loop::machinery::report_unclosed;
use asyncio_loop::{
    ErrorContext, JobError, LoopHandle, WrapFuture, running_loop, try_running_loop,
};

use crate::job;

/// The size of the first read. It doubles while reads come back full.
const FIRST_CHUNK: usize = 16 * 1024;
/// The largest read, and how many bytes a write waits for.
const CHUNK: usize = 256 * 1024;

pub(super) struct Core {
    std: Arc<std::fs::File>,
    /// Where it was opened. `None` if it is a temporary file.
    site: Option<&'static Location<'static>>,
    input: Input,
    output: Output,
    job: Option<WrapFuture<Done>>,
    /// Whether the job under way reads.
    reading: bool,
    /// The position that the job under way moves to.
    seeking: Option<SeekFrom>,
    /// An error that has not been returned to a caller yet.
    error: Option<io::Error>,
    /// The position after the last seek.
    position: u64,
}

/// Bytes that were read and not consumed yet: `bytes[start..end]`.
struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The size of the next read.
    chunk: usize,
}

/// Bytes that the caller wrote and no job has taken yet.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// The buffer of the previous write, for reuse.
    spare: Vec<u8>,
    /// How far the file's position is ahead of the caller's, because of input that was read and
    /// discarded.
    ahead: usize,
}

/// The result of a job.
enum Done {
    Read { whole: bool, bytes: Vec<u8>, end: usize, result: io::Result<()> },
    Written { bytes: Vec<u8>, result: io::Result<()> },
    Moved(io::Result<u64>),
}

impl Core {
    pub(super) fn new(std: std::fs::File, site: Option<&'static Location<'static>>) -> Self {
        let input = Input { bytes: Vec::new(), start: 0, end: 0, chunk: FIRST_CHUNK };
        Self {
            std: Arc::new(std),
            site,
            input,
            output: Output::default(),
            job: None,
            reading: false,
            seeking: None,
            error: None,
            position: 0,
        }
    }

    #[cfg(feature = "tempfile")]
    pub(super) fn set_site(&mut self, site: &'static Location<'static>) {
        self.site = Some(site);
    }

    pub(super) fn std(&self) -> &Arc<std::fs::File> {
        &self.std
    }

    /// The bytes that were read and not consumed yet.
    #[inline]
    pub(super) fn buffered(&self) -> &[u8] {
        &self.input.bytes[self.input.start..self.input.end]
    }

    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.input.start = (self.input.start + count).min(self.input.end);
    }

    /// Waits for input or the end of the file.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read(cx, false)
    }

    /// Waits until the input holds everything up to the end of the file.
    pub(super) fn poll_fill_whole(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read(cx, true)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, whole: bool) -> Poll<io::Result<()>> {
        loop {
            if !self.buffered().is_empty() && !whole {
                return Poll::Ready(Ok(()));
            }
            let read = ready!(self.poll_job(cx));
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(error));
            }
            if read.is_some_and(|read_whole| read_whole || !whole) {
                return Poll::Ready(Ok(()));
            }
            if self.has_output() {
                self.start_write();
            } else {
                self.start_read(whole);
            }
        }
    }

    /// Takes bytes to be written: as many as the chunk has room for, at least one.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_before_write(cx))?;
        let count = data.len().min(CHUNK - self.output.bytes.len());
        self.output.bytes.extend_from_slice(&data[..count]);
        if self.output.bytes.len() == CHUNK && self.job.is_none() {
            self.start_write();
        }
        Poll::Ready(Ok(count))
    }

    /// Waits until there is room for output, and discards input: output starts at the caller's
    /// position.
    fn poll_before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_full = self.output.bytes.len() == CHUNK;
        if is_full || self.reading {
            ready!(self.poll_job(cx));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        self.give_up_input();
        if is_full {
            self.start_write();
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the operating system has all output.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_job(cx));
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(error));
            }
            if !self.has_output() {
                return Poll::Ready(Ok(()));
            }
            self.start_write();
        }
    }

    /// Starts to move to `to`. The caller makes sure that there is neither output nor a job.
    pub(super) fn start_seek(&mut self, to: SeekFrom) {
        self.give_up_input();
        let ahead = std::mem::take(&mut self.output.ahead);
        let file = Arc::clone(&self.std);
        self.seeking = Some(to);
        self.start(move || {
            let moved = step_back(&file, ahead).and_then(|()| (&*file).seek(to));
            drop(file);
            Done::Moved(moved)
        });
    }

    /// Waits until the seek is done. Returns the position.
    pub(super) fn poll_seek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        ready!(self.poll_flush(cx))?;
        Poll::Ready(Ok(self.position))
    }

    /// Takes the input out, without a copy.
    pub(super) fn take_input(&mut self) -> Vec<u8> {
        let Input { bytes, start, end, .. } = &mut self.input;
        let mut taken = std::mem::take(bytes);
        taken.truncate(*end);
        taken.drain(..*start);
        (*start, *end) = (0, 0);
        taken
    }

    /// Waits for the job under way, if any. If it was a read, returns whether it read up to the end
    /// of the file.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<Option<bool>> {
        let Some(job) = &mut self.job else { return Poll::Ready(None) };
        let done = ready!(Pin::new(job).poll(cx));
        (self.job, self.reading, self.seeking) = (None, false, None);
        match done {
            Ok(Done::Read { whole, bytes, end, result }) => {
                self.error = result.err();
                // After a full read, the next one is larger.
                if end == self.input.chunk {
                    self.input.chunk = (self.input.chunk * 2).min(CHUNK);
                }
                (self.input.bytes, self.input.start, self.input.end) = (bytes, 0, end);
                return Poll::Ready(Some(whole));
            }
            Ok(Done::Written { bytes, result }) => {
                (self.output.spare, self.error) = (bytes, result.err());
            }
            Ok(Done::Moved(Ok(position))) => self.position = position,
            Ok(Done::Moved(Err(error))) => self.error = Some(error),
            Err(error) => self.error = Some(error.into()),
        }
        Poll::Ready(None)
    }

    fn start(&mut self, work: impl FnOnce() -> Done + Send + 'static) {
        self.job = Some(job::start(work));
    }

    fn start_read(&mut self, whole: bool) {
        let kept = if whole { self.take_input() } else { std::mem::take(&mut self.input.bytes) };
        (self.input.start, self.input.end) = (0, 0);
        let (file, chunk) = (Arc::clone(&self.std), self.input.chunk);
        self.reading = true;
        self.start(move || {
            let done = if whole { read_rest(&file, kept) } else { read_chunk(&file, kept, chunk) };
            // The caller may want the file back when it has the result.
            drop(file);
            done
        });
    }

    fn start_write(&mut self) {
        let work = self.write_work();
        self.start(work);
    }

    /// Takes the output out, and returns the job that writes it.
    fn write_work(&mut self) -> impl FnOnce() -> Done + Send + use<> {
        let Output { bytes, spare, ahead } = &mut self.output;
        let mut bytes = std::mem::replace(bytes, std::mem::take(spare));
        let ahead = std::mem::take(ahead);
        let file = Arc::clone(&self.std);
        move || {
            let result = step_back(&file, ahead).and_then(|()| (&*file).write_all(&bytes));
            bytes.clear();
            drop(file);
            Done::Written { bytes, result }
        }
    }

    #[inline]
    fn has_output(&self) -> bool {
        !self.output.bytes.is_empty() || self.output.ahead > 0
    }

    /// Whether a job is under way or output waits for one.
    #[cfg(feature = "tokio")]
    pub(super) fn is_busy(&self) -> bool {
        self.job.is_some() || self.has_output()
    }

    /// Reports, in debug mode, output that was not flushed. Dropping a file that was only read, or
    /// that was flushed, loses nothing.
    fn report_unflushed(&self, is_writing: bool) {
        let Some(site) = self.site.filter(|_| is_writing || !self.output.bytes.is_empty()) else {
            return;
        };
        let message = "a file was dropped with output that was not flushed";
        report_unclosed(message, site, |context| {
            context.field("file", format_args!("{:?}", self.std))
        });
    }

    /// The position that the job under way moves to, if it is a seek.
    #[cfg(feature = "futures-io")]
    pub(super) fn seeking(&self) -> Option<SeekFrom> {
        self.seeking
    }

    /// Drops the input that was read ahead, and notes how far the file is ahead.
    fn give_up_input(&mut self) {
        self.output.ahead += self.buffered().len();
        self.input.start = self.input.end;
    }

    /// Waits until no job is under way, and moves the file back to the caller's position.
    pub(super) fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.give_up_input();
        self.poll_flush(cx)
    }
}

/// The job that moves a file that was read ahead back to its caller's position.
fn step_back(mut file: &std::fs::File, ahead: usize) -> io::Result<()> {
    if ahead > 0 {
        let ahead = i64::try_from(ahead).map_err(io::Error::other)?;
        file.seek(SeekFrom::Current(-ahead))?;
    }
    Ok(())
}

fn read_chunk(mut file: &std::fs::File, mut bytes: Vec<u8>, chunk: usize) -> Done {
    if bytes.len() < chunk {
        bytes.resize(chunk, 0);
    }
    let read = loop {
        match file.read(&mut bytes[..chunk]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    let end = *read.as_ref().unwrap_or(&0);
    Done::Read { whole: false, bytes, end, result: read.map(drop) }
}

fn read_rest(mut file: &std::fs::File, mut bytes: Vec<u8>) -> Done {
    let result = file.read_to_end(&mut bytes).map(drop);
    Done::Read { whole: true, end: bytes.len(), bytes, result }
}

impl Drop for Core {
    /// Hands the remaining output to the executor. Without a loop, writes it on this thread.
    fn drop(&mut self) {
        let writes = !self.reading && self.seeking.is_none();
        self.report_unflushed(writes && self.job.is_some());
        let before = self.job.take().and_then(WrapFuture::into_thread_future);
        let reporter = Reporter::of_this_thread();
        if self.output.bytes.is_empty() {
            // The job under way goes on, since it has its own handle of the file.
            if let Some(before) = before.filter(|_| writes) {
                before.add_done_callback(move |before| reporter.look_at(before.result(None)));
            }
            return;
        }
        let write = self.write_work();
        job::start_detached(move || {
            // Jobs start in their order, so the previous one is under way or done.
            let earlier = before.map(|before| before.result(None)).filter(|_| writes);
            let done = write();
            reporter.look_at(earlier.filter(is_lost).unwrap_or(Ok(done)));
        });
    }
}

/// Whether the job has lost output.
fn is_lost(done: &Result<Done, JobError>) -> bool {
    matches!(done, Err(_) | Ok(Done::Written { result: Err(_), .. }))
}

/// Reports, on the loop that was running when the file was dropped, that its output is lost.
struct Reporter(Option<LoopHandle>);

impl Reporter {
    fn of_this_thread() -> Self {
        Self(try_running_loop().ok().map(|event_loop| event_loop.handle()))
    }

    fn look_at(&self, done: Result<Done, JobError>) {
        let error: Box<dyn Error + Send> = match done {
            Ok(Done::Written { result: Err(error), .. }) => Box::new(error),
            Err(error) => Box::new(error),
            Ok(_) => return,
        };
        let report = move || {
            let context = ErrorContext::new("the output of a dropped file was not written");
            running_loop().report(&context.with_error(error as Box<dyn Error>));
        };
        if let Some(event_loop) = &self.0 {
            // A closed loop has no exception handler to report to.
            let _ = event_loop.call_soon_threadsafe(report);
        }
    }
}
