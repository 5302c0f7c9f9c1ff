//! Jobs under leadership: `run`.

mod common;

use std::sync::Arc;

use common::{Process, TTL, bounded};
use incumbent::LeadershipView;
use tokio::sync::Notify;

#[tokio::test(start_paused = true)]
async fn a_job_is_not_polled_after_its_deadline_when_the_runtime_stalled() {
    let process = Process::first();
    let (wake, step) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (woken, stepped) = (Arc::clone(&wake), Arc::clone(&step));
    let run = tokio::spawn(process.election.candidate().run(move |view: LeadershipView| {
        let (woken, stepped) = (Arc::clone(&woken), Arc::clone(&stepped));
        async move {
            while view.is_valid() {
                stepped.notify_one();
                woken.notified().await;
            }
            Err::<(), _>("polled after its deadline")
        }
    }));
    bounded("the job begins", step.notified()).await;
    // The job is due before the timers: they fire only when every task waits.
    wake.notify_one();
    tokio::time::advance(2 * TTL).await;
    bounded("the job begins again", step.notified()).await;
    assert!(!run.is_finished(), "{:?}", run.await);
    run.abort();
}
