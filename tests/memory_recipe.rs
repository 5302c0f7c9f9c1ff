//! The recipe on the in-process ensemble.

use std::time::Duration;

use incumbent::connect;

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
