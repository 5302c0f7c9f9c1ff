//! Jobs of synchronous code, on real threads and in real time: `run_blocking`.

mod common;

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{Process, bounded, eventually};
use incumbent::{Backoff, LeadershipView, Options, Outcome, RunError};
use incumbent_memory::Memory;

const MILLI: Duration = Duration::from_millis(1);

fn process() -> Process {
    Process::of(Memory::new(), Options::new().ttl(Duration::from_secs(3)))
}

#[tokio::test]
async fn ok_finishes_and_resigns() {
    let process = process();
    let run = process.election.candidate().run_blocking(|view| {
        thread::sleep(20 * MILLI);
        Ok::<_, String>(view.is_valid())
    });
    assert_eq!(bounded("the run ends", run).await.unwrap(), Outcome::Finished(true));
    assert!(process.queue().is_empty());
}

#[tokio::test]
async fn an_error_resigns_and_is_returned() {
    let process = process();
    let run = process.election.candidate().run_blocking(|_| Err::<(), _>("disk full"));
    match bounded("the run ends", run).await {
        Err(RunError::Job(error)) => assert_eq!(error, "disk full"),
        other => panic!("{other:?}"),
    }
    assert!(process.queue().is_empty());
}

#[tokio::test]
async fn retry_runs_the_same_job_again() {
    let process = process();
    let mut tokens = Vec::new();
    let candidate = process.election.candidate().retry(Backoff::new(MILLI, 10 * MILLI).unwrap());
    let run = candidate.run_blocking(move |view| {
        tokens.push(view.token());
        if tokens.len() < 3 { Err("again") } else { Ok(tokens.clone()) }
    });
    let Outcome::Finished(tokens) = bounded("the run ends", run).await.unwrap() else { panic!() };
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
}

#[tokio::test]
async fn a_panic_resigns_and_goes_on() {
    let process = process();
    let run = tokio::spawn(process.election.candidate().run_blocking(|view| {
        assert!(!view.is_valid(), "out of cheese");
        Ok::<(), String>(())
    }));
    let panic = bounded("the run ends", run).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"out of cheese"));
    assert!(process.queue().is_empty());
}

#[tokio::test]
async fn until_asks_the_job_to_stop_and_waits_for_it() {
    let process = process();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let mut begins = Some(begins);
    let candidate = process.election.candidate().until(async {
        let _ = begun.await;
    });
    let run = candidate.run_blocking(move |view: LeadershipView| {
        begins.take().map(|begins| begins.send(()));
        let begun = Instant::now();
        while !view.is_stopping() && begun.elapsed() < Duration::from_secs(60) {
            thread::sleep(MILLI);
        }
        // Longer than it may take: nothing can drop it.
        thread::sleep(700 * MILLI);
        Ok::<_, String>("a value")
    });
    let outcome = bounded("the run ends", run).await.unwrap();
    assert!(matches!(outcome, Outcome::Stopped), "{outcome:?}");
    assert!(process.queue().is_empty());
}

#[tokio::test]
async fn after_a_loss_it_stands_again_when_the_job_has_ended() {
    let process = process();
    let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let running = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&running);
    let run = tokio::spawn(process.election.candidate().id("a").run_blocking(move |view: LeadershipView| {
        assert_eq!(counted.fetch_add(1, Ordering::SeqCst), 0, "two jobs at once");
        begins.send(view.clone()).unwrap();
        let _ = released.recv_timeout(Duration::from_secs(60));
        counted.fetch_sub(1, Ordering::SeqCst);
        Ok::<(), String>(())
    }));
    let lost = begun.recv().await.unwrap();
    process.memory.link().cut();
    bounded("the leadership is lost", lost.lost()).await;
    process.memory.link().heal();
    // Nobody is blocked by a job that does not hear: another one leads meanwhile, and it does not.
    let other = process.another();
    let leadership = bounded("another one leads", other.election.candidate().id("b").campaign()).await.unwrap();
    assert_eq!(process.queue(), ["b"]);
    assert!(!lost.is_valid() && running.load(Ordering::SeqCst) == 1);
    release.send(()).unwrap();
    eventually("it stands again", || process.queue() == ["b", "a"]).await;
    leadership.resign().await.unwrap();
    let again = bounded("it leads again", begun.recv()).await.unwrap();
    assert!(again.token() > lost.token() && again.is_valid());
    drop(release);
    bounded("the run ends", run).await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_run_ends_the_leadership_at_once() {
    let process = process();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let mut begins = Some(begins);
    let run = tokio::spawn(process.election.candidate().run_blocking(move |view: LeadershipView| {
        begins.take().map(|begins| begins.send(view));
        let _ = released.recv_timeout(Duration::from_secs(60));
        Ok::<(), String>(())
    }));
    let view = begun.await.unwrap();
    run.abort();
    eventually("the leadership ends", || !view.is_valid()).await;
    process.queue_becomes(&[]).await;
    drop(release);
}

#[tokio::test]
async fn a_job_that_blocks_starves_no_heartbeat() {
    let process = process();
    let run = process.election.candidate().run_blocking(|view: LeadershipView| {
        let until = view.valid_until();
        let begun = Instant::now();
        while view.valid_until() == until && begun.elapsed() < Duration::from_secs(60) {
            thread::sleep(MILLI);
        }
        Ok::<_, String>(view.valid_until() > until)
    });
    assert_eq!(bounded("the run ends", run).await.unwrap(), Outcome::Finished(true));
}

/// Not a test of its own: the process that the next one starts.
#[tokio::test]
async fn overrunning_process() {
    if std::env::var_os(OVERRUN).is_none() {
        return;
    }
    let process = process();
    let link = process.memory.link().clone();
    let run = process.election.candidate().abort_on_overrun(true).run_blocking(move |_| {
        link.cut();
        thread::sleep(Duration::from_secs(60));
        Ok::<(), String>(())
    });
    let _ = bounded("the process ends before the job", run).await;
}

#[tokio::test]
async fn abort_on_overrun_ends_the_process() {
    let program = std::env::current_exe().unwrap();
    let mut child = tokio::process::Command::new(program);
    child.args(["--exact", "overrunning_process"]).env(OVERRUN, "1").stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = bounded("the process ends", child.kill_on_drop(true).status()).await.unwrap();
    assert!(!status.success() && begun.elapsed() < Duration::from_secs(30), "{status} after {:?}", begun.elapsed());
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{status}");
}

const OVERRUN: &str = "INCUMBENT_OVERRUN";
