//! All watches of a backend, on one stream.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use etcd_client::{EventType, KeyValue, WatchFilterType, WatchOptions, WatchResponse};
use incumbent_core::{Error, Revision};
use tokio::sync::Notify;

use crate::{members::Members, stream};

/// Keeps watches on one stream to the current member, and puts them on another when it fails: each goes on after what it
/// was last told, so that nothing is missed.
///
/// The task that does it ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Owner>);

/// What to watch.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) key: String,
    /// Whether all keys that begin with it are meant.
    pub(crate) prefix: bool,
    /// Events of one kind only.
    pub(crate) only: Option<EventType>,
    /// Everything after this is told.
    pub(crate) after: Revision,
}

/// Who is told. Called under the hub's lock: keeps it short and calls nothing of the hub.
pub(crate) trait Sink: Send + Sync {
    fn tell(&self, watch: WatchId, news: News<'_>);
}

/// What a sink is told.
#[derive(Debug)]
pub(crate) enum News<'a> {
    Event(EventType, &'a KeyValue),
    /// The stream broke; another takes over.
    Lost(&'a Error),
    /// The watch stands on another stream, without a gap.
    Resumed,
    /// The watch is over, and may have missed something.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WatchId(i64);

/// A registered watch; dropping it cancels it.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: WatchId,
    hub: Hub,
}

#[derive(Debug)]
struct Owner(Arc<Shared>);

/// The hub's side of the task that serves it.
#[derive(Debug)]
pub(crate) struct Shared {
    table: Mutex<Table>,
    /// The outbox has something, or the hub is closed.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// Ids are never used again.
    last: i64,
    watches: BTreeMap<i64, Watch>,
    outbox: VecDeque<Request>,
    closed: bool,
}

struct Watch {
    target: Target,
    sink: Arc<dyn Sink>,
    /// Asked for on the present stream.
    sent: bool,
    /// Told that the stream was lost, and not yet that it is back.
    lost: bool,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Create(i64),
    Cancel(i64),
}

impl Hub {
    /// Starts the task on the present runtime; the stream comes with the first watch.
    pub(crate) fn start(members: Arc<Members>, bound: Duration) -> Self {
        let shared = Arc::new(Shared { table: Mutex::default(), changed: Notify::new() });
        tokio::spawn(stream::run(Arc::clone(&shared), members, bound));
        Self(Arc::new(Owner(shared)))
    }

    /// Watches a target. Waits for nothing: the registration is queued.
    pub(crate) fn watch(&self, target: Target, sink: Arc<dyn Sink>) -> Registration {
        let shared = &self.0.0;
        let mut table = shared.table();
        table.last += 1;
        let id = table.last;
        if table.closed {
            sink.tell(WatchId(id), News::Broken);
        } else {
            table.watches.insert(id, Watch { target, sink, sent: false, lost: false });
            table.outbox.push_back(Request::Create(id));
            shared.changed.notify_one();
        }
        Registration { id: WatchId(id), hub: self.clone() }
    }

    /// Ends the task and breaks all watches.
    pub(crate) fn close(&self) {
        self.0.0.close();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let shared = &self.hub.0.0;
        let mut table = shared.table();
        let id = self.id.0;
        if table.watches.remove(&id).is_some_and(|watch| watch.sent) {
            table.outbox.push_back(Request::Cancel(id));
            shared.changed.notify_one();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No critical section panics halfway through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.table().closed
    }

    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        table.outbox.clear();
        for (id, watch) in std::mem::take(&mut table.watches) {
            watch.sink.tell(WatchId(id), News::Broken);
        }
        self.changed.notify_one();
    }

    /// Queues all watches for a new stream; `false` if there are none.
    pub(crate) fn renew(&self) -> bool {
        let mut table = self.table();
        for watch in table.watches.values_mut() {
            watch.sent = false;
        }
        // In the order of their making: the own entry's watch stands before that of the entry ahead.
        table.outbox = table.watches.keys().map(|id| Request::Create(*id)).collect();
        !table.outbox.is_empty()
    }

    /// Tells all watches that the stream is lost.
    pub(crate) fn lose(&self, why: &Error) {
        for (id, watch) in &mut self.table().watches {
            if !std::mem::replace(&mut watch.lost, true) {
                watch.sink.tell(WatchId(*id), News::Lost(why));
            }
        }
    }

    /// The next thing to send; `None` if there is nothing.
    pub(crate) fn next_request(&self) -> Option<Wire> {
        let mut table = self.table();
        loop {
            match table.outbox.pop_front()? {
                Request::Cancel(id) => return Some(Wire::Cancel(id)),
                Request::Create(id) => {
                    // Gone again before it was sent?
                    let Some(watch) = table.watches.get_mut(&id) else { continue };
                    watch.sent = true;
                    return Some(Wire::Create(watch.target.key.clone(), watch.target.options(id)));
                }
            }
        }
    }

    /// Hands an answer to its watch.
    pub(crate) fn deliver(&self, answer: &WatchResponse) -> Result<(), String> {
        let mut table = self.table();
        let id = answer.watch_id();
        let Some(watch) = table.watches.get_mut(&id) else {
            // An answer to a cancellation of ours, or one that crossed it; but a watch that was refused may come without
            // its id.
            return if answer.created() && answer.canceled() && id < 0 {
                Err(answer.cancel_reason().into())
            } else {
                Ok(())
            };
        };
        if answer.canceled() {
            tracing::warn!(
                key = watch.target.key,
                compacted = answer.compact_revision(),
                reason = answer.cancel_reason(),
                "a watch was cancelled by the server"
            );
            if let Some(watch) = table.watches.remove(&id) {
                watch.sink.tell(WatchId(id), News::Broken);
            }
            return Ok(());
        }
        if answer.created() && std::mem::replace(&mut watch.lost, false) {
            watch.sink.tell(WatchId(id), News::Resumed);
        }
        for event in answer.events() {
            let Some(kv) = event.kv() else { continue };
            watch.target.after = watch.target.after.max(Revision::new(kv.mod_revision().cast_unsigned()));
            watch.sink.tell(WatchId(id), News::Event(event.event_type(), kv));
        }
        Ok(())
    }
}

/// A request in the client crate's terms.
pub(crate) enum Wire {
    Create(String, WatchOptions),
    Cancel(i64),
}

impl Target {
    fn options(&self, id: i64) -> WatchOptions {
        let from = self.after.get().cast_signed().saturating_add(1);
        let mut options = WatchOptions::new().with_watch_id(id).with_start_revision(from);
        if self.prefix {
            options = options.with_prefix();
        }
        match self.only {
            Some(EventType::Put) => options.with_filters([WatchFilterType::NoDelete]),
            Some(EventType::Delete) => options.with_filters([WatchFilterType::NoPut]),
            None => options,
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("target", &self.target).field("sent", &self.sent).finish_non_exhaustive()
    }
}
