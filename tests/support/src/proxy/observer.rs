//! Which RPCs pass: gRPC over HTTP/2, read along.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use fluke_hpack::Decoder;
use tokio::sync::watch;

use super::counts::Counts;
use super::frames::{CONTINUATION, DATA, Frame, Frames, HEADERS};
use super::switches::Direction;

/// Counts what passes on one connection.
pub(crate) struct Observer {
    counts: Arc<watch::Sender<Counts>>,
    from_client: Frames,
    from_server: Frames,
    rpcs: Rpcs,
}

impl Observer {
    pub(crate) fn new(counts: Arc<watch::Sender<Counts>>) -> Self {
        Self { counts, from_client: Frames::from_client(), from_server: Frames::from_server(), rpcs: Rpcs::default() }
    }

    pub(crate) fn observe(&mut self, direction: Direction, bytes: &[u8]) {
        let frames = match direction {
            Direction::Requests => &mut self.from_client,
            Direction::Replies => &mut self.from_server,
        };
        frames.feed(bytes);
        self.counts.send_modify(|counts| {
            counts.bytes += bytes.len() as u64;
            while let Some(frame) = frames.next() {
                match direction {
                    Direction::Requests => self.rpcs.sent(&frame, counts),
                    Direction::Replies => self.rpcs.received(&frame, counts),
                }
            }
        });
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

/// The RPCs of one connection. Streams are never forgotten: a test is short.
#[derive(Default)]
struct Rpcs {
    // Has a state of its own: it must see every block of headers, in order.
    decoder: Decoder<'static>,
    block: Vec<u8>,
    streams: HashMap<u32, Rpc>,
}

impl Rpcs {
    fn sent(&mut self, frame: &Frame, counts: &mut Counts) {
        match frame.kind {
            HEADERS | CONTINUATION => {
                self.block.extend(frame.content());
                if frame.ends_headers() {
                    self.begin(frame.stream, counts);
                }
            }
            DATA => {
                let rpc = self.streams.entry(frame.stream).or_default();
                add(&mut counts.messages, &rpc.method, rpc.sent.completed_by(frame.content()));
            }
            _ => {}
        }
    }

    fn received(&mut self, frame: &Frame, counts: &mut Counts) {
        if frame.kind == DATA {
            let rpc = self.streams.entry(frame.stream).or_default();
            add(&mut counts.events, &rpc.method, rpc.received.completed_by(frame.content()));
        }
    }

    fn begin(&mut self, stream: u32, counts: &mut Counts) {
        let method = self.decoder.decode(&self.block).map_or(Some(unknown()), |headers| method(&headers));
        self.block.clear();
        // Trailers have none.
        if let Some(method) = method {
            add(&mut counts.requests, &method, 1);
            self.streams.insert(stream, Rpc { method, ..Rpc::default() });
        }
    }
}

struct Rpc {
    method: String,
    sent: Messages,
    received: Messages,
}

impl Default for Rpc {
    fn default() -> Self {
        Self { method: unknown(), sent: Messages::default(), received: Messages::default() }
    }
}

/// The gRPC messages in one direction of an RPC. They need not start and end with frames: each begins with a flag and
/// four bytes of length.
#[derive(Default)]
struct Messages {
    prefix: Vec<u8>,
    missing: usize,
}

impl Messages {
    fn completed_by(&mut self, mut bytes: &[u8]) -> u64 {
        let mut completed = 0;
        while !bytes.is_empty() {
            if self.prefix.len() < PREFIX {
                let (prefix, rest) = split(bytes, PREFIX - self.prefix.len());
                self.prefix.extend(prefix);
                bytes = rest;
                let Ok([_, length @ ..]) = <[u8; PREFIX]>::try_from(&*self.prefix) else { break };
                self.missing = u32::from_be_bytes(length) as usize;
            } else {
                let (content, rest) = split(bytes, self.missing);
                self.missing -= content.len();
                bytes = rest;
            }
            if self.missing == 0 {
                self.prefix.clear();
                completed += 1;
            }
        }
        completed
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// `KV/Txn` of `:path: /etcdserverpb.KV/Txn`.
fn method(headers: &[(Vec<u8>, Vec<u8>)]) -> Option<String> {
    let (_, path) = headers.iter().find(|(name, _)| name == b":path")?;
    let path = String::from_utf8_lossy(path);
    let (service, method) = path.rsplit_once('/')?;
    let service = service.trim_start_matches('/').rsplit('.').next()?;
    Some(format!("{service}/{method}"))
}

fn unknown() -> String {
    "?".into()
}

fn add(counts: &mut BTreeMap<String, u64>, method: &str, more: u64) {
    if more > 0 {
        *counts.entry(method.to_owned()).or_default() += more;
    }
}

const PREFIX: usize = 5;
