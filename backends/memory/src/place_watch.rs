use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use incumbent_core::{ElectionName, EntryKey, Moment, Place, PlaceEvent, PlaceWatch, Revision, Token};
use tokio::sync::watch;

use crate::{ensemble::Ensemble, link::Link};

/// Who watches which entry. Tokens are unlike each other in the whole store, so they are the key.
#[derive(Debug, Default)]
pub(crate) struct Watched(BTreeMap<Token, Vec<Arc<Cell>>>);

/// One watch of a place, as the store knows it: the tokens that it still waits for, and what became of them.
#[derive(Debug)]
struct Cell {
    own: Option<Token>,
    ahead: Option<Token>,
    fate: watch::Sender<Fate>,
}

/// When the own entry and the one before it went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) own_gone: Option<Moment>,
    pub(crate) ahead_gone: Option<Moment>,
}

impl Watched {
    pub(crate) fn add(&mut self, own: Option<Token>, ahead: Option<Token>, fate: Fate) -> watch::Receiver<Fate> {
        let (sender, receiver) = watch::channel(fate);
        let cell = Arc::new(Cell { own, ahead, fate: sender });
        for token in own.into_iter().chain(ahead) {
            self.0.entry(token).or_default().push(Arc::clone(&cell));
        }
        receiver
    }

    /// Tells that these entries went together, and wakes each watch once.
    pub(crate) fn tell(&mut self, tokens: impl IntoIterator<Item = Token>, at: Moment) {
        let gone: BTreeMap<Token, Vec<Arc<Cell>>> =
            tokens.into_iter().filter_map(|token| Some((token, self.0.remove(&token)?))).collect();
        let went = |token: Option<Token>| token.is_some_and(|token| gone.contains_key(&token)).then_some(at);
        for cell in gone.values().flatten() {
            cell.fate.send_if_modified(|fate| {
                let before = (fate.own_gone, fate.ahead_gone);
                fate.own_gone = fate.own_gone.or(went(cell.own));
                fate.ahead_gone = fate.ahead_gone.or(went(cell.ahead));
                before != (fate.own_gone, fate.ahead_gone)
            });
        }
    }

    /// Forgets the watches of these entries that nobody holds any more.
    pub(crate) fn prune(&mut self, tokens: &[Token]) {
        for token in tokens {
            if let Some(cells) = self.0.get_mut(token) {
                cells.retain(|cell| cell.fate.receiver_count() > 0);
                if cells.is_empty() {
                    self.0.remove(token);
                }
            }
        }
    }
}

/// Follows one place, over the link of one client.
#[derive(Debug)]
pub(crate) struct PlaceFollower {
    ensemble: Arc<Ensemble>,
    link: Link,
    /// The link's breaks when this was made; one more and it is lost.
    breaks: u64,
    since: Revision,
    tokens: Vec<Token>,
    // In an Option, so that drop can let go of it before the store forgets its side.
    fate: Option<watch::Receiver<Fate>>,
    told: Told,
    /// When the next event is there: drawn once an event.
    due: Option<Moment>,
}

#[derive(Debug, Default)]
struct Told {
    own: bool,
    ahead: bool,
}

impl PlaceFollower {
    pub(crate) fn new(
        ensemble: Arc<Ensemble>,
        link: Link,
        election: &ElectionName,
        own: &EntryKey,
        place: &Place,
    ) -> Self {
        let ahead = place.next.as_ref();
        let (tokens, fate) = ensemble.apply(|store, now| store.watch_place(election, own, ahead, now));
        let breaks = link.breaks();
        Self {
            ensemble,
            link,
            breaks,
            since: place.revision,
            tokens,
            fate: Some(fate),
            told: Told::default(),
            due: None,
        }
    }

    /// What to tell next, and when it happened.
    fn pending(&self) -> Option<(Moment, Happened)> {
        let Fate { own_gone, ahead_gone } = *self.fate.as_ref()?.borrow();
        let own = own_gone.map(|at| (at, Happened::OwnGone));
        let ahead = ahead_gone.filter(|_| !self.told.ahead).map(|at| (at, Happened::AheadGone));
        // At the same moment the end of the own entry comes first: what it stood behind is no matter any more.
        if self.told.own { None } else { own.into_iter().chain(ahead).min_by_key(|(at, _)| *at) }
    }

    async fn changed(&mut self) {
        let told = match &mut self.fate {
            Some(fate) => fate.changed().await.is_ok(),
            None => false,
        };
        if !told {
            // Nothing is left to happen.
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Happened {
    OwnGone,
    AheadGone,
}

#[async_trait]
impl PlaceWatch for PlaceFollower {
    async fn next(&mut self) -> PlaceEvent {
        let (link, breaks) = (self.link.clone(), self.breaks);
        loop {
            let Some((at, what)) = self.pending() else {
                tokio::select! {
                    () = self.changed() => continue,
                    () = link.broken_since(breaks) => return PlaceEvent::Broken,
                }
            };
            let due = *self.due.get_or_insert_with(|| at + link.reply_delay());
            tokio::select! {
                biased;
                () = link.broken_since(breaks) => return PlaceEvent::Broken,
                () = self.ensemble.arrival(&link, due) => {}
            }
            self.due = None;
            return match what {
                Happened::OwnGone => {
                    self.told.own = true;
                    PlaceEvent::OwnGone
                }
                Happened::AheadGone => {
                    self.told.ahead = true;
                    PlaceEvent::AheadGone { unbroken: link.unbroken_since(self.since) }
                }
            };
        }
    }
}

impl Drop for PlaceFollower {
    fn drop(&mut self) {
        self.fate = None;
        self.ensemble.lock().unwatch_place(&self.tokens);
    }
}
