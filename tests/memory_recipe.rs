//! The recipe on the in-process ensemble.

use std::{error::Error, sync::Arc, time::Duration};

use incumbent::{Change, Ensemble, Options, connect};
use incumbent_memory::Memory;
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_next_takes_over() {
    let ensemble = connect("memory://").await.unwrap();
    let election = ensemble.election("jobs/a").unwrap();
    let first = election.candidate().id("a").campaign().await.unwrap();
    assert!(first.is_valid());
    let waiting = tokio::spawn(election.candidate().id("b").campaign());
    while election.candidates().await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let third = election.candidate().id("c").try_campaign(Duration::from_secs(5)).await.unwrap();
    assert!(third.is_none());
    let ids: Vec<_> = election.candidates().await.unwrap().into_iter().map(|entry| entry.profile.id).collect();
    assert_eq!(ids[..2], ["a", "b"]);
    let token = first.token();
    first.resign().await.unwrap();
    let second = waiting.await.unwrap().unwrap();
    assert!(second.token() > token);
    drop(second);
    ensemble.close(Duration::from_secs(5)).await.unwrap();
}

#[test]
fn a_guard_that_outlives_its_runtime_is_invalid() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let leadership = runtime.block_on(async {
        let election = connect("memory://").await.unwrap().election("jobs/a").unwrap();
        election.candidate().campaign().await.unwrap()
    });
    assert!(leadership.is_valid());
    drop(runtime);
    assert!(!leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_process_is_ready_while_nobody_in_it_needs_the_session_it_lost() {
    let memory = Memory::new();
    let ensemble = Ensemble::with_backend(Arc::new(memory.client()), Options::new()).unwrap();
    let election = ensemble.election("jobs/a").unwrap();
    let leadership = election.candidate().campaign().await.unwrap();
    let session = ensemble.status().session.unwrap().id;
    memory.faults().expire(session);
    leadership.lost().await;
    drop(leadership);
    // The next heartbeat tells that it is over.
    while ensemble.status().candidates > 0 || !ensemble.status().session.unwrap().ended {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(ensemble.status().is_ready());
    election.candidate().campaign().await.unwrap();
    assert!(ensemble.status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn an_observer_waits_for_a_leader() {
    let election = connect("memory://").await.unwrap().election("jobs/a").unwrap();
    let mut observer = election.observe();
    assert!(timeout(Duration::from_secs(1), observer.leader()).await.is_err());
    let leadership = election.candidate().campaign().await.unwrap();
    assert_eq!(observer.leader().await.unwrap().key.token, leadership.token());
    // It took no change away.
    assert!(matches!(observer.next().await.unwrap(), Change::Snapshot(entries) if entries.len() == 1));
}

#[tokio::test]
async fn a_job_with_any_error_can_be_asked_with_a_question_mark() {
    async fn work() -> Result<(), Box<dyn Error + Send + Sync>> {
        let election = connect("memory://").await?.election("jobs/a")?;
        election.candidate().run(|_| async { Err::<(), Box<dyn Error + Send + Sync>>("no paper".into()) }).await?;
        Ok(())
    }
    assert_eq!(work().await.unwrap_err().to_string(), "the job failed: no paper");
}
