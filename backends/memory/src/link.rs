use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use incumbent_core::{Error, ErrorKind, Revision};
use tokio::sync::watch;

use crate::ensemble::Ensemble;

/// The way between one client and the ensemble, and what is wrong with it.
///
/// Everything a client does goes over its link, heartbeats and watches as well. Cloning gives the same link. Losses and
/// delays hold for what is sent after they are set.
///
/// ```
/// # use std::time::Duration;
/// # use incumbent_memory::{Loss, Memory};
/// let memory = Memory::new();
/// let (one, two) = (memory.client_named("one"), memory.client_named("two"));
/// one.link().cut();
/// two.link().delay_replies(Duration::from_millis(5)..=Duration::from_millis(80));
/// two.link().lose_replies(Loss::Percent(10));
/// // ... what must never happen does not happen; and now what must happen at last:
/// memory.faults().repair();
/// ```
#[derive(Clone)]
pub struct Link(Arc<Wire>);

struct Wire {
    name: String,
    ensemble: Weak<Ensemble>,
    contact: watch::Sender<Contact>,
    plan: Mutex<Plan>,
}

#[derive(Clone, Copy, Debug)]
struct Contact {
    cut: bool,
    /// How often the watches were broken.
    breaks: u64,
    /// No connection that stands now stood before.
    connected: Revision,
}

#[derive(Debug)]
struct Plan {
    refuses: bool,
    requests: Way,
    replies: Way,
    late: Option<Duration>,
    random: fastrand::Rng,
}

#[derive(Clone, Debug)]
struct Way {
    delay: RangeInclusive<Duration>,
    loss: Loss,
}

/// Which messages get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// None.
    Never,
    /// This many, beginning with the next.
    Next(usize),
    /// All of them.
    Always,
    /// Each with this chance, 0 to 100, by the link's [`seed`](Link::seed).
    Percent(u8),
}

impl Link {
    pub(crate) fn new(name: &str, ensemble: Weak<Ensemble>) -> Self {
        let contact = Contact { cut: false, breaks: 0, connected: Revision::new(0) };
        let random = randomness(name, 0);
        let plan = Plan { refuses: false, requests: Way::FREE, replies: Way::FREE, late: None, random };
        Self(Arc::new(Wire {
            name: name.into(),
            ensemble,
            contact: watch::Sender::new(contact),
            plan: Mutex::new(plan),
        }))
    }

    /// The client's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Cuts the client off: requests, replies and the events of its watches are held until [`heal`](Self::heal).
    ///
    /// A request held is no request lost: a write that its caller has given up as
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) lands when the link is healed. For one that is lost, add
    /// [`lose_requests`](Self::lose_requests); for one that is certainly never sent, [`refuse`](Self::refuse).
    pub fn cut(&self) {
        let connected = self.reconnected_at();
        self.0.contact.send_modify(|contact| {
            contact.cut = true;
            contact.connected = connected;
        });
    }

    /// Heals the link. What was held goes on; watches go on with `unbroken: false`.
    pub fn heal(&self) {
        self.0.contact.send_modify(|contact| contact.cut = false);
    }

    /// Whether it is cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.contact.borrow().cut
    }

    /// A new connection in place of the old one, at once: nothing is lost, and no watch is unbroken.
    pub fn reconnect(&self) {
        let connected = self.reconnected_at();
        self.0.contact.send_modify(|contact| contact.connected = connected);
    }

    /// Breaks every watch that stands now: it says [`Broken`](incumbent_core::PlaceEvent::Broken) and nothing more.
    pub fn break_watches(&self) {
        self.0.contact.send_modify(|contact| contact.breaks += 1);
    }

    /// Refuses each request at once with [`Unavailable`](ErrorKind::Unavailable), as a closed port does.
    pub fn refuse(&self, refuses: bool) {
        self.plan().refuses = refuses;
    }

    /// How long a request takes to the store: a duration of this range, by the link's [`seed`](Self::seed).
    pub fn delay_requests(&self, delay: RangeInclusive<Duration>) {
        self.plan().requests.delay = delay;
    }

    /// How long a reply, or the event of a watch, takes back.
    pub fn delay_replies(&self, delay: RangeInclusive<Duration>) {
        self.plan().replies.delay = delay;
    }

    /// Loses requests: nothing happens at the store, and the caller waits for its timeout.
    pub fn lose_requests(&self, loss: Loss) {
        self.plan().requests.loss = loss;
    }

    /// Loses replies: the request is done, and the caller never learns of it.
    pub fn lose_replies(&self, loss: Loss) {
        self.plan().replies.loss = loss;
    }

    /// Lets the next write land only this much later, and loses its reply.
    pub fn land_late(&self, delay: Duration) {
        self.plan().late = Some(delay);
    }

    /// Begins the link's random choices anew. Links of unlike names choose differently under one seed.
    pub fn seed(&self, seed: u64) {
        self.plan().random = randomness(self.name(), seed);
    }

    /// Takes back every delay, loss and refusal, and heals.
    pub fn repair(&self) {
        let mut plan = self.plan();
        (plan.refuses, plan.requests, plan.replies, plan.late) = (false, Way::FREE, Way::FREE, None);
        drop(plan);
        self.heal();
    }

    /// What becomes of a request that is sent now; `None`: it is refused.
    pub(crate) fn send(&self, writes: bool) -> Option<Passage> {
        let mut plan = self.plan();
        if plan.refuses {
            return None;
        }
        let Plan { requests, replies, late, random, .. } = &mut *plan;
        let late = if writes { late.take() } else { None };
        Some(Passage {
            there: requests.delay(random) + late.unwrap_or_default(),
            arrives: !requests.loses(random),
            back: replies.delay(random),
            returns: !replies.loses(random) && late.is_none(),
        })
    }

    pub(crate) fn reply_delay(&self) -> Duration {
        let mut plan = self.plan();
        let Plan { replies, random, .. } = &mut *plan;
        replies.delay(random)
    }

    pub(crate) async fn healed(&self) {
        self.until(|contact| !contact.cut).await;
    }

    pub(crate) fn breaks(&self) -> u64 {
        self.0.contact.borrow().breaks
    }

    pub(crate) async fn broken_since(&self, breaks: u64) {
        self.until(|contact| contact.breaks != breaks).await;
    }

    pub(crate) async fn changed_from(&self, cut: bool, breaks: u64) {
        self.until(|contact| contact.cut != cut || contact.breaks != breaks).await;
    }

    pub(crate) fn unbroken_since(&self, revision: Revision) -> bool {
        revision >= self.0.contact.borrow().connected
    }

    /// The error of a read that nobody answers.
    pub(crate) fn silence(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Unavailable, operation).because(format_args!("no answer over the link {:?}", self.name()))
    }

    fn reconnected_at(&self) -> Revision {
        // A revision of its own, so that whatever was read before is seen to be older.
        match self.0.ensemble.upgrade() {
            Some(ensemble) => ensemble.lock().advance(),
            None => Revision::new(u64::MAX),
        }
    }

    async fn until(&self, mut holds: impl FnMut(&Contact) -> bool) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.0.contact.subscribe().wait_for(|contact| holds(contact)).await;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way of one request and of its reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) there: Duration,
    pub(crate) arrives: bool,
    pub(crate) back: Duration,
    pub(crate) returns: bool,
}

impl Passage {
    pub(crate) const FREE: Self = Self { there: Duration::ZERO, arrives: true, back: Duration::ZERO, returns: true };
}

impl Way {
    const FREE: Self = Self { delay: Duration::ZERO..=Duration::ZERO, loss: Loss::Never };

    fn delay(&self, random: &mut fastrand::Rng) -> Duration {
        let (least, most) = (*self.delay.start(), *self.delay.end());
        if least >= most { least } else { least + (most - least).mul_f64(random.f64()) }
    }

    fn loses(&mut self, random: &mut fastrand::Rng) -> bool {
        match &mut self.loss {
            Loss::Never | Loss::Next(0) => false,
            Loss::Next(left) => {
                *left -= 1;
                true
            }
            Loss::Always => true,
            Loss::Percent(chance) => random.u8(..100) < *chance,
        }
    }
}

fn randomness(name: &str, seed: u64) -> fastrand::Rng {
    // FNV-1a: the same on every machine and in every version.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    fastrand::Rng::with_seed(hash ^ seed)
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("name", &self.name())
            .field("contact", &*self.0.contact.borrow())
            .field("plan", &*self.plan())
            .finish_non_exhaustive()
    }
}
