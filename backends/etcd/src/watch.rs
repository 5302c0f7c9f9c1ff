//! Watches of a place and of a queue.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use etcd_client::{EventType, KeyValue};
use incumbent_core::{ElectionName, EntryKey, Place, PlaceEvent, PlaceWatch, QueueEvent, QueueWatch, Revision};
use tokio::sync::Notify;

use crate::{
    hub::{Hub, News, Registration, Sink, Target, WatchId},
    layout::{self, Row},
};

/// Follows the own entry and the one ahead.
#[derive(Debug)]
pub(crate) struct EtcdPlaceWatch {
    place: Arc<PlaceState>,
    _own: Registration,
    _ahead: Option<Registration>,
}

#[derive(Debug)]
struct PlaceState {
    known: Mutex<Known>,
    changed: Notify,
}

/// No queue of events: what there is to know fits a few bits, and thousands wait.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    own_gone: bool,
    ahead_gone: bool,
    ahead_told: bool,
    gap: bool,
    broken: bool,
}

/// Which of the two watches is told.
struct Own(Arc<PlaceState>);
struct Next(Arc<PlaceState>);

impl EtcdPlaceWatch {
    pub(crate) fn new(hub: &Hub, election: &ElectionName, own: &EntryKey, place: &Place) -> Self {
        let deletion_of = |name: &str| Target {
            key: layout::key(election, name),
            prefix: false,
            only: Some(EventType::Delete),
            after: place.revision,
        };
        // Entries of one session end at one revision, and the events of one revision come in any order: that the one ahead
        // went does not prove that the own one stands.
        let together = place.next.as_ref().is_some_and(|next| layout::lease(&next.name) == layout::lease(&own.name));
        let known = Known { gap: together, ..Known::default() };
        let state = Arc::new(PlaceState { known: Mutex::new(known), changed: Notify::new() });
        // The own entry first, so that of two deletions its own is told first.
        let own = hub.watch(deletion_of(&own.name), Arc::new(Own(Arc::clone(&state))));
        let ahead =
            place.next.as_ref().map(|next| hub.watch(deletion_of(&next.name), Arc::new(Next(Arc::clone(&state)))));
        Self { place: state, _own: own, _ahead: ahead }
    }
}

#[async_trait]
impl PlaceWatch for EtcdPlaceWatch {
    async fn next(&mut self) -> PlaceEvent {
        loop {
            let changed = self.place.changed.notified();
            if let Some(event) = self.place.known().next() {
                return event;
            }
            changed.await;
        }
    }
}

impl PlaceState {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, news: &News<'_>, gone: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        match news {
            News::Event(EventType::Delete, _) => gone(&mut known),
            News::Event(EventType::Put, _) | News::Resumed => return,
            News::Lost(_) => {
                known.gap = true;
                return;
            }
            News::Broken => known.broken = true,
        }
        self.changed.notify_one();
    }
}

impl Known {
    /// The end of the place, once known, is told again and again.
    fn next(&mut self) -> Option<PlaceEvent> {
        if self.own_gone {
            return Some(PlaceEvent::OwnGone);
        }
        if self.ahead_gone && !self.ahead_told {
            self.ahead_told = true;
            return Some(PlaceEvent::AheadGone { unbroken: !self.gap && !self.broken });
        }
        self.broken.then_some(PlaceEvent::Broken)
    }
}

impl Sink for Own {
    fn tell(&self, _: WatchId, news: News<'_>) {
        self.0.learn(&news, |known| known.own_gone = true);
    }
}

impl Sink for Next {
    fn tell(&self, _: WatchId, news: News<'_>) {
        self.0.learn(&news, |known| known.ahead_gone = true);
    }
}

/// Follows a queue.
#[derive(Debug)]
pub(crate) struct EtcdQueueWatch {
    queue: Arc<QueueState>,
    _registration: Registration,
}

#[derive(Debug)]
struct QueueState {
    prefix: String,
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    events: VecDeque<QueueEvent>,
    broken: bool,
}

/// Events that wait for a reader who does not come; beyond it the watch is broken instead of growing.
const MOST_PENDING: usize = 10_000;

impl EtcdQueueWatch {
    pub(crate) fn new(hub: &Hub, election: &ElectionName, from: Revision) -> Self {
        let prefix = layout::prefix(election);
        let target = Target { key: prefix.clone(), prefix: true, only: None, after: from };
        let queue = Arc::new(QueueState { prefix, pending: Mutex::default(), changed: Notify::new() });
        let registration = hub.watch(target, Arc::clone(&queue) as Arc<dyn Sink>);
        Self { queue, _registration: registration }
    }
}

#[async_trait]
impl QueueWatch for EtcdQueueWatch {
    async fn next(&mut self) -> QueueEvent {
        loop {
            let changed = self.queue.changed.notified();
            if let Some(event) = self.queue.pending().next() {
                return event;
            }
            changed.await;
        }
    }
}

impl QueueState {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, kind: EventType, kv: &KeyValue) -> Option<QueueEvent> {
        let row = Row::from(kv);
        match kind {
            EventType::Delete => row.name(&self.prefix).map(|name| QueueEvent::Left(name.into())),
            EventType::Put if kv.create_revision() == kv.mod_revision() => {
                row.entry(&self.prefix).map(QueueEvent::Joined)
            }
            EventType::Put => row.entry(&self.prefix).map(QueueEvent::Updated),
        }
    }
}

impl Pending {
    fn push(&mut self, event: QueueEvent) {
        if self.events.len() >= MOST_PENDING {
            self.break_off();
        }
        if !self.broken {
            self.events.push_back(event);
        }
    }

    fn break_off(&mut self) {
        self.events.clear();
        self.broken = true;
    }

    /// What came before the break is told before it; the break again and again.
    fn next(&mut self) -> Option<QueueEvent> {
        self.events.pop_front().or_else(|| self.broken.then_some(QueueEvent::Broken))
    }
}

impl Sink for QueueState {
    fn tell(&self, _: WatchId, news: News<'_>) {
        let event = match news {
            News::Event(kind, kv) => self.event(kind, kv),
            News::Lost(why) => Some(QueueEvent::Suspended(why.clone())),
            News::Resumed => Some(QueueEvent::Resumed),
            News::Broken => {
                self.pending().broken = true;
                None
            }
        };
        if let Some(event) = event {
            self.pending().push(event);
        }
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_end_is_told_before_that_of_the_one_ahead() {
        let mut known = Known { own_gone: true, ahead_gone: true, ..Known::default() };
        assert_eq!(known.next(), Some(PlaceEvent::OwnGone));
        assert_eq!(known.next(), Some(PlaceEvent::OwnGone));
    }

    #[test]
    fn a_gap_is_told_with_the_end_of_the_one_ahead() {
        for (gap, unbroken) in [(false, true), (true, false)] {
            let mut known = Known { ahead_gone: true, gap, ..Known::default() };
            assert_eq!(known.next(), Some(PlaceEvent::AheadGone { unbroken }));
            assert_eq!(known.next(), None);
        }
    }

    #[test]
    fn a_reader_who_does_not_come_breaks_the_watch() {
        let mut pending = Pending::default();
        for _ in 0..=MOST_PENDING {
            pending.push(QueueEvent::Resumed);
        }
        assert!(matches!(pending.next(), Some(QueueEvent::Broken)));
        assert!(matches!(pending.next(), Some(QueueEvent::Broken)));
    }
}
