use std::sync::Arc;

use async_trait::async_trait;
use incumbent_core::{ElectionName, Moment, QueueEvent, QueueWatch, Revision};
use tokio::sync::watch;

use crate::{ensemble::Ensemble, link::Link, queue::Seen};

/// Follows one queue, over the link of one client.
#[derive(Debug)]
pub(crate) struct QueueFollower {
    ensemble: Arc<Ensemble>,
    link: Link,
    breaks: u64,
    election: ElectionName,
    seen: Revision,
    changed: watch::Receiver<Revision>,
    suspended: bool,
    due: Option<(Revision, Moment)>,
}

impl QueueFollower {
    pub(crate) fn new(ensemble: Arc<Ensemble>, link: Link, election: &ElectionName, from: Revision) -> Self {
        let changed = ensemble.apply(|store, _| store.watch_queue(election));
        let breaks = link.breaks();
        Self { ensemble, link, breaks, election: election.clone(), seen: from, changed, suspended: false, due: None }
    }

    /// The next change: its revision, when it happened, and what.
    fn pending(&mut self) -> Option<(Revision, Moment, QueueEvent)> {
        self.changed.borrow_and_update();
        let store = self.ensemble.lock();
        match store.change_after(&self.election, self.seen) {
            Seen::Change(change) => Some((change.revision, change.at, change.event())),
            Seen::Nothing => None,
            Seen::Forgotten => Some((self.seen, Moment::ORIGIN, QueueEvent::Broken)),
        }
    }
}

#[async_trait]
impl QueueWatch for QueueFollower {
    async fn next(&mut self) -> QueueEvent {
        let link = self.link.clone();
        loop {
            if link.breaks() != self.breaks {
                return QueueEvent::Broken;
            }
            if link.is_cut() != self.suspended {
                self.suspended = !self.suspended;
                return match self.pending() {
                    _ if self.suspended => QueueEvent::Suspended(link.silence("watch the queue")),
                    Some((.., QueueEvent::Broken)) => QueueEvent::Broken,
                    _ => QueueEvent::Resumed,
                };
            }
            let Some((revision, at, event)) = self.pending() else {
                tokio::select! {
                    _ = self.changed.changed() => continue,
                    () = link.changed_from(self.suspended, self.breaks) => continue,
                }
            };
            let due = match self.due {
                Some((of, due)) if of == revision => due,
                _ => at + link.reply_delay(),
            };
            self.due = Some((revision, due));
            tokio::select! {
                biased;
                () = link.changed_from(self.suspended, self.breaks) => {}
                () = self.ensemble.arrival(&link, due) => {
                    self.seen = revision;
                    self.due = None;
                    return event;
                }
            }
        }
    }
}

impl Drop for QueueFollower {
    fn drop(&mut self) {
        self.ensemble.lock().unwatch_queue(&self.election);
    }
}
