//! Decompressing answers as they arrive.

use std::io;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, header};

/// The largest piece of output.
#[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
const PIECE: usize = 64 * 1024;

/// The value of `Accept-Encoding`.
pub(super) fn accepted() -> Option<HeaderValue> {
    let mut names = Vec::new();
    if cfg!(feature = "gzip") {
        names.extend(["gzip", "deflate"]);
    }
    if cfg!(feature = "brotli") {
        names.push("br");
    }
    if cfg!(feature = "zstd") {
        names.push("zstd");
    }
    HeaderValue::from_str(&names.join(", ")).ok().filter(|_| !names.is_empty())
}

/// The decoder of one answer, with the bytes that were received and not decoded yet.
pub(super) struct Decoder {
    kind: Kind,
    input: Bytes,
}

enum Kind {
    Identity,
    #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
    Compressed(Compressed),
}

impl Decoder {
    pub(super) fn identity() -> Self {
        Self { kind: Kind::Identity, input: Bytes::new() }
    }

    /// The decoder for an answer with these headers. Changes the headers so that they describe the
    /// decoded body. The caller receives an unknown encoding, or several encodings, as they are.
    pub(super) fn for_headers(headers: &mut HeaderMap) -> Self {
        let kind = match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
            Some(name) => Compressed::of(name).map_or(Kind::Identity, Kind::Compressed),
            _ => Kind::Identity,
        };
        if !matches!(kind, Kind::Identity) {
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
        }
        Self { kind, input: Bytes::new() }
    }

    /// Adds received bytes. All earlier bytes have been decoded.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        self.input = bytes;
    }

    /// The next piece; `None` when more has to be received.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.kind {
            Kind::Identity => {
                let bytes = std::mem::take(&mut self.input);
                Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
            }
            #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
            Kind::Compressed(decoder) => decoder.next(&mut self.input),
        }
    }

    /// At the end of the input: the remaining output, or an error if the input is incomplete.
    pub(super) fn end(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.kind {
            Kind::Identity => Ok(None),
            #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
            Kind::Compressed(decoder) => decoder.end(),
        }
    }
}

#[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
struct Compressed {
    decoder: Box<dyn compression_codecs::DecodeV2>,
    /// Several compressed texts may follow one another (RFC 1952, section 2.2).
    has_members: bool,
    was_fed: bool,
    is_done: bool,
    /// The last piece filled its buffer, so the decoder may have more output.
    may_hold: bool,
}

#[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
impl Compressed {
    fn of(name: &[u8]) -> Option<Self> {
        let mut has_members = false;
        let decoder: Box<dyn compression_codecs::DecodeV2> =
            match name.to_ascii_lowercase().trim_ascii() {
                #[cfg(feature = "gzip")]
                b"gzip" | b"x-gzip" => {
                    has_members = true;
                    Box::new(compression_codecs::GzipDecoder::new())
                }
                #[cfg(feature = "gzip")]
                b"deflate" => Box::new(compression_codecs::ZlibDecoder::new()),
                #[cfg(feature = "brotli")]
                b"br" => Box::new(compression_codecs::BrotliDecoder::new()),
                #[cfg(feature = "zstd")]
                b"zstd" => {
                    has_members = true;
                    Box::new(compression_codecs::ZstdDecoder::new())
                }
                _ => return None,
            };
        Some(Self { decoder, has_members, was_fed: false, is_done: false, may_hold: false })
    }

    fn next(&mut self, input: &mut Bytes) -> io::Result<Option<Bytes>> {
        while self.may_hold || !input.is_empty() {
            self.was_fed = true;
            if self.is_done {
                if !self.has_members {
                    // Trailing bytes are ignored, as in browsers.
                    input.clear();
                    return Ok(None);
                }
                self.decoder.reinit()?;
                self.is_done = false;
            }
            let (piece, is_full) = self.step(input)?;
            self.may_hold = is_full && !self.is_done;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Decodes one piece. Returns whether the piece filled its buffer.
    fn step(&mut self, input: &mut Bytes) -> io::Result<(Bytes, bool)> {
        use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
        let mut room = vec![0; PIECE];
        let mut output = WriteBuffer::new_initialized(&mut room);
        let mut partial = PartialBuffer::new(&input[..]);
        self.is_done = self.decoder.decode(&mut partial, &mut output)?;
        let (taken, count) = (partial.written_len(), output.written_len());
        input.advance(taken);
        room.truncate(count);
        Ok((room.into(), count == PIECE))
    }

    fn end(&mut self) -> io::Result<Option<Bytes>> {
        if self.is_done || !self.was_fed {
            return Ok(None);
        }
        use compression_codecs::core::util::WriteBuffer;
        let mut room = vec![0; PIECE];
        let mut output = WriteBuffer::new_initialized(&mut room);
        self.is_done = self.decoder.finish(&mut output)?;
        let count = output.written_len();
        if count == 0 && !self.is_done {
            let text = "the compressed answer ends too early";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        room.truncate(count);
        Ok(Some(Bytes::from(room)).filter(|bytes| !bytes.is_empty()))
    }
}
