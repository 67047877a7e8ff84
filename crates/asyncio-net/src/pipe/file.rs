//! A file or device that is always ready: standard input or output that was redirected.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll};

use socket2::SockRef;

use super::End;
use crate::io::{ByteSource, ByteStream};

pub(super) struct PlainFile {
    /// `None` when the file is closed.
    file: RefCell<Option<File>>,
    end: End,
}

impl PlainFile {
    pub(super) fn new(file: File, end: End) -> Self {
        Self { file: RefCell::new(Some(file)), end }
    }
}

impl ByteSource for PlainFile {
    fn poll_read(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &*self.file.borrow() {
            Some(file) if self.end == End::Reading => Poll::Ready((&mut &*file).read(buffer)),
            _ => Poll::Ready(Ok(0)),
        }
    }
}

impl ByteStream for PlainFile {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &*self.file.borrow() {
            Some(file) => (&mut &*file).write_vectored(slices),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn can_read(&self) -> bool {
        self.end == End::Reading
    }

    fn can_write(&self) -> bool {
        self.end == End::Writing
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {
        drop(self.file.take());
    }

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        if let Some(file) = &*self.file.borrow() {
            look(SockRef::from(file));
        }
    }
}
