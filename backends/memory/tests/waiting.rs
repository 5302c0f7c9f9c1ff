//! What waits costs nothing until what it waits for happens.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use incumbent_core::{Backend, ElectionName, EntryKey, Guid, PlaceEvent, PlaceWatch, Profile, Session, SessionOptions};
use incumbent_memory::Memory;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Somebody in line, who waits.
struct Waiter {
    key: EntryKey,
    next: Pin<Box<dyn Future<Output = PlaceEvent>>>,
    wakes: Arc<Wakes>,
}

impl Waiter {
    async fn join(session: &Arc<dyn Session>, election: &ElectionName) -> Self {
        let (key, place) = session.enqueue(election, Guid::random(), &Profile::new("worker")).await.unwrap();
        let mut watch: Box<dyn PlaceWatch> = session.watch(election, &key, &place);
        Self { key, next: Box::pin(async move { watch.next().await }), wakes: Arc::default() }
    }

    fn poll(&mut self) -> Poll<PlaceEvent> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.next.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_wakes_the_one_behind_and_nobody_else() {
    let memory = Memory::new();
    let session = memory.open_session(&SessionOptions::new(Duration::from_secs(5))).await.unwrap();
    let election = ElectionName::new("jobs/nightly").unwrap();
    let mut line = Vec::new();
    for _ in 0..200 {
        let mut waiter = Waiter::join(&session, &election).await;
        // A task that polls this much must give tokio its turn, or is woken to.
        tokio::task::yield_now().await;
        assert_eq!(waiter.poll(), Poll::Pending);
        line.push(waiter);
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(line.iter().all(|waiter| waiter.wakes() == 0), "an idle hour wakes nobody");

    let middle = line.remove(100);
    session.remove(&election, &middle.key).await.unwrap();
    drop(middle);
    let woken: Vec<_> = line.iter().enumerate().filter(|(_, waiter)| waiter.wakes() > 0).map(|(at, _)| at).collect();
    assert_eq!(woken, [100]);
    let told = line.get_mut(100).map(Waiter::poll);
    assert_eq!(told, Some(Poll::Ready(PlaceEvent::AheadGone { unbroken: true })));
}
