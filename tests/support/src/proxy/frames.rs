//! HTTP/2 frames out of a stream of bytes (RFC 9113, section 4.1).

use std::ops::Range;

/// Cuts the bytes of one direction into frames. Says nothing of bytes that are not HTTP/2.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// What must come first, as far as it has not come yet.
    preface: &'static [u8],
    begun: bool,
    foreign: bool,
}

impl Frames {
    pub(crate) fn from_client() -> Self {
        Self::after(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    }

    pub(crate) fn from_server() -> Self {
        Self::after(b"")
    }

    fn after(preface: &'static [u8]) -> Self {
        Self { buffer: Vec::new(), preface, begun: false, foreign: false }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if !self.foreign {
            self.buffer.extend(bytes);
        }
    }

    /// The next frame, if all of it has come.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        self.skip_preface();
        let head = self.buffer.first_chunk::<HEAD>().filter(|_| self.preface.is_empty())?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        // Each side begins with SETTINGS.
        if !self.begun && kind != SETTINGS {
            self.give_up();
            return None;
        }
        self.begun = true;
        let end = HEAD + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.buffer.get(HEAD..end)?.to_vec();
        self.buffer.drain(..end);
        // The highest bit is reserved.
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }

    fn skip_preface(&mut self) {
        let come = self.preface.len().min(self.buffer.len());
        if self.buffer[..come] != self.preface[..come] {
            self.give_up();
            return;
        }
        self.buffer.drain(..come);
        self.preface = &self.preface[come..];
    }

    fn give_up(&mut self) {
        self.foreign = true;
        self.buffer = Vec::new();
    }
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    flags: u8,
    payload: Vec<u8>,
}

impl Frame {
    /// The payload without padding and priority.
    pub(crate) fn content(&self) -> &[u8] {
        self.payload.get(self.content_range()).unwrap_or_default()
    }

    pub(crate) fn ends_headers(&self) -> bool {
        self.has(END_HEADERS)
    }

    fn content_range(&self) -> Range<usize> {
        let mut range = 0..self.payload.len();
        if matches!(self.kind, DATA | HEADERS) && self.has(PADDED) {
            let padding = self.payload.first().copied().unwrap_or_default();
            range = 1..range.end.saturating_sub(padding.into());
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            range.start += 5;
        }
        range
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Length, type, flags and stream of a frame.
const HEAD: usize = 9;
