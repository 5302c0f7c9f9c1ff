//! The memory backend keeps the contract, and the suite finds those who do not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod broken;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt, future::join_all};
use incumbent_core::{
    Backend, ElectionName, EntryKey, SessionId,
    conformance::{self, Scissors, Subject},
};
use incumbent_memory::{Link, Memory};

use broken::{Break, Broken};

/// Everything that the suite can ask for.
struct Whole {
    memory: Memory,
    ttl: Duration,
    broken: Option<Break>,
}

impl Whole {
    fn subject(ttl: Duration, broken: Option<Break>) -> Arc<dyn Subject> {
        Arc::new(Self { memory: Memory::new(), ttl, broken })
    }

    fn client(&self) -> (Arc<dyn Backend>, Link) {
        let client = self.memory.client();
        let link = client.link().clone();
        match self.broken {
            Some(how) => (Arc::new(Broken { inner: client, how }), link),
            None => (Arc::new(client), link),
        }
    }
}

#[async_trait]
impl Subject for Whole {
    async fn connect(&self) -> Arc<dyn Backend> {
        self.client().0
    }

    fn ttl(&self) -> Duration {
        self.ttl
    }

    async fn connect_cuttable(&self) -> Option<(Arc<dyn Backend>, Box<dyn Scissors>)> {
        let (client, link) = self.client();
        Some((client, Box::new(Cutter(link))))
    }

    async fn expire(&self, session: SessionId) -> bool {
        assert!(self.memory.faults().expire(session), "it lives until it is ended");
        true
    }

    async fn evict(&self, election: &ElectionName, entry: &EntryKey) -> bool {
        assert!(self.memory.faults().evict(election, &entry.name), "it stands until it is deleted");
        true
    }
}

struct Cutter(Link);

#[async_trait]
impl Scissors for Cutter {
    async fn cut(&self) {
        self.0.cut();
    }

    async fn heal(&self) {
        self.0.heal();
    }
}

#[tokio::test(start_paused = true)]
async fn on_paused_time() {
    conformance::run_all(Whole::subject(Duration::from_secs(15), None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_real_clock() {
    conformance::run_all(Whole::subject(Duration::from_secs(2), None)).await;
}

#[tokio::test(start_paused = true)]
async fn every_case_is_checked_in_full() {
    let subject = Whole::subject(Duration::from_secs(5), None);
    for case in conformance::cases() {
        assert_eq!(case.run(&subject).await, [] as [&str; 0], "{}", case.name);
    }
}

/// Requests and replies that take their time, unlike each other.
#[tokio::test(start_paused = true)]
async fn over_slow_links() {
    let slow = Whole { memory: Memory::new(), ttl: Duration::from_secs(5), broken: None };
    let delay = Duration::from_millis(1)..=Duration::from_millis(120);
    for number in 1..200 {
        let link = slow.memory.faults().link(&format!("client-{number}"));
        link.seed(number);
        link.delay_requests(delay.clone());
        link.delay_replies(delay.clone());
    }
    conformance::run_all(Arc::new(slow)).await;
}

/// What the subject cannot do is said, and nothing else fails for it.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_checked_is_said() {
    struct Least(Memory);

    #[async_trait]
    impl Subject for Least {
        async fn connect(&self) -> Arc<dyn Backend> {
            Arc::new(self.0.client())
        }
    }

    let subject: Arc<dyn Subject> = Arc::new(Least(Memory::new()));
    let unchecked = join_all(conformance::cases().iter().map(|case| case.run(&subject))).await;
    assert!(unchecked.concat().len() > 3, "{unchecked:?}");
}

/// Each way to break the contract fails the case of that clause.
#[tokio::test(start_paused = true)]
async fn the_suite_finds_what_is_broken() {
    for (how, clauses) in Break::ALL {
        let subject = Whole::subject(Duration::from_secs(5), Some(*how));
        for case in conformance::cases().iter().filter(|case| clauses.contains(&case.name)) {
            let outcome = std::panic::AssertUnwindSafe(case.run(&subject)).catch_unwind().await;
            assert!(outcome.is_err(), "{} does not find {how:?}", case.name);
        }
        let whole = std::panic::AssertUnwindSafe(conformance::run_all(Arc::clone(&subject))).catch_unwind().await;
        let panic = whole.expect_err("the whole suite finds it too");
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(clauses.iter().all(|clause| text.contains(&format!("\n{clause}: "))), "{how:?}: {text}");
    }
}

#[test]
fn every_case_is_seen_to_fail() {
    let seen: BTreeSet<_> = Break::ALL.iter().flat_map(|(_, clauses)| clauses.iter().copied()).collect();
    assert_eq!(seen, conformance::cases().iter().map(|case| case.name).collect());
}
