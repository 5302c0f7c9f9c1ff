//! Jobs that run under leadership.

use std::{
    any::Any,
    error, fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    process,
    task::Poll,
    time::Duration,
};

use futures::FutureExt;
use incumbent_core::{Error, ErrorKind};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    Backoff, Candidate, Leadership, LeadershipView, LossReason, campaign::LONGEST_JITTER, candidate::Until,
    ensemble::Closing,
};

/// How a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The job returned this.
    Finished(T),
    /// The run was ended by `until`, or the ensemble was closed.
    Stopped,
}

/// Why a run failed.
#[derive(Clone, Debug)]
pub enum RunError<E> {
    /// The job returned this error.
    Job(E),
    /// The candidate cannot stand for the election.
    Election(Error),
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(error) => write!(f, "the job failed: {error}"),
            Self::Election(error) => error.fmt(f),
        }
    }
}

/// For jobs with any error that can be shown, `Box<dyn Error>` and its like included, which have no source to give.
impl<E: fmt::Debug + fmt::Display> error::Error for RunError<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Job(_) => None,
            Self::Election(error) => error.source(),
        }
    }
}

impl Candidate {
    /// Runs `job` while leading, on this replica only, until it returns.
    ///
    /// ```
    /// # use incumbent::Outcome;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = incumbent::connect("memory://").await?;
    /// let election = ensemble.election("billing/nightly-report")?;
    /// let outcome = election.candidate().run(|leadership| async move {
    ///     let report = format!("written under token {}", leadership.token());
    ///     Ok::<_, std::io::Error>(report)
    /// });
    /// assert_eq!(outcome.await?, Outcome::Finished("written under token 1".into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// | what happens | what follows |
    /// |---|---|
    /// | the job returns `Ok` | resigns, returns [`Outcome::Finished`] |
    /// | the job returns `Err` | resigns, returns [`RunError::Job`]; with [`retry`](Self::retry) pauses and stands again |
    /// | the job panics | resigns, resumes the panic |
    /// | `until` completes | asks the job to stop, waits `stop_within` at most, drops it, resigns, returns [`Outcome::Stopped`] |
    /// | leadership nears its deadline | asks the job to stop; if it returns `Ok`, that counts as stopped, not as finished |
    /// | leadership is lost | drops the job's future at once, stands again, runs the job again when leading |
    ///
    /// The future of a job is dropped at the deadline at the latest. What cannot be dropped goes on: code that never
    /// yields, and whatever the job has spawned. Let such code look at [`LeadershipView::is_valid`], and give the token to
    /// every resource that can check it.
    ///
    /// # Errors
    /// [`RunError::Job`] with the job's error; [`RunError::Election`] as for [`campaign`](Self::campaign).
    ///
    /// # Cancel safety
    /// Dropping the future drops the job and resigns in the background.
    pub async fn run<J, F, T, E>(self, mut job: J) -> Result<Outcome<T>, RunError<E>>
    where
        J: FnMut(LeadershipView) -> F,
        F: Future<Output = Result<T, E>>,
    {
        let mut run = Run::new(self);
        while let Some(leadership) = run.lead().await? {
            let work = async { job(leadership.view()).await };
            let verdict = run.work(&leadership, work).await;
            if let Some(end) = run.conclude(leadership, verdict).await {
                return end;
            }
        }
        Ok(Outcome::Stopped)
    }

    /// As [`run`](Self::run), for a job of synchronous code, on tokio's threads for blocking work.
    ///
    /// ```
    /// # use std::{thread, time::Duration};
    /// # use incumbent::Outcome;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = incumbent::connect("memory://").await?;
    /// let election = ensemble.election("billing/nightly-report")?;
    /// let outcome = election.candidate().run_blocking(|leadership| {
    ///     let mut steps = 0;
    ///     while steps < 3 && !leadership.is_stopping() {
    ///         thread::sleep(Duration::from_millis(10)); // one step
    ///         steps += 1;
    ///     }
    ///     Ok::<_, std::io::Error>(steps)
    /// });
    /// assert_eq!(outcome.await?, Outcome::Finished(3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Such a job cannot be dropped: it has to look at [`LeadershipView::is_stopping`] often enough to end within
    /// `stop_within`. After a loss, this waits for it before it stands again;
    /// [`abort_on_overrun`](Self::abort_on_overrun) ends the process instead.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    ///
    /// # Cancel safety
    /// Dropping the future resigns in the background at once, while the job still runs; its view says that it is invalid.
    pub async fn run_blocking<J, T, E>(self, job: J) -> Result<Outcome<T>, RunError<E>>
    where
        J: FnMut(LeadershipView) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let mut run = Run::new(self);
        let mut idle = Some(job);
        while let Some(leadership) = run.lead().await? {
            let view = leadership.view();
            // The job is back whenever a run of it has ended.
            let Some(mut job) = idle.take() else { return Ok(Outcome::Stopped) };
            let running = tokio::task::spawn_blocking(move || {
                let result = catch_unwind(AssertUnwindSafe(|| job(view)));
                (job, result)
            });
            let verdict = run.work_blocking(&leadership, running, &mut idle).await;
            if let Some(end) = run.conclude(leadership, verdict).await {
                return end;
            }
        }
        Ok(Outcome::Stopped)
    }
}

/// A run, between and during its terms.
struct Run {
    candidate: Candidate,
    until: Until,
    retry: Option<Backoff>,
    /// Since when it leads, or led last.
    led: Instant,
    rng: fastrand::Rng,
}

/// How one term ended.
enum Verdict<T, E> {
    Returned(Result<T, E>),
    Panicked(Box<dyn Any + Send>),
    Stopped,
    Lost,
}

/// What a blocking job leaves behind: itself and its result.
type Finished<J, T, E> = (J, Result<Result<T, E>, Box<dyn Any + Send>>);

impl Run {
    fn new(mut candidate: Candidate) -> Self {
        let until = std::mem::replace(&mut candidate.until, Box::pin(std::future::pending()));
        Self { until, retry: candidate.retry.clone(), candidate, led: Instant::now(), rng: fastrand::Rng::new() }
    }

    /// Stands until it leads; `None` if the run is to end.
    async fn lead<E>(&mut self) -> Result<Option<Leadership>, RunError<E>> {
        let led = tokio::select! {
            biased;
            () = &mut self.until => return Ok(None),
            led = self.candidate.stand() => led,
        };
        match led {
            Ok(leadership) => {
                self.led = Instant::now();
                Ok(Some(leadership))
            }
            Err(error) if error.kind() == ErrorKind::Closed => Ok(None),
            Err(error) => Err(RunError::Election(error)),
        }
    }

    /// Runs the job while leadership holds. The job is dropped when this returns.
    async fn work<T, E>(&mut self, view: &LeadershipView, job: impl Future<Output = Result<T, E>>) -> Verdict<T, E> {
        let mut job = pin!(AssertUnwindSafe(job).catch_unwind());
        // A job must not be polled once its leadership is over, not even by a runtime that stalled and gets to the job
        // before it gets to the timer of the deadline.
        let mut job = poll_fn(|context| if view.is_valid() { job.as_mut().poll(context) } else { Poll::Pending });
        tokio::select! {
            biased;
            reason = view.lost() => return lost(reason),
            result = &mut job => return judge(view, result),
            () = &mut self.until => self.stop(view),
        }
        tokio::select! {
            biased;
            _ = view.lost() => Verdict::Stopped,
            result = &mut job => judge_stopped(result),
            () = tokio::time::sleep(view.stop_within()) => Verdict::Stopped,
        }
    }

    /// Waits for a blocking job to end, and puts it back.
    async fn work_blocking<J, T, E>(
        &mut self,
        view: &LeadershipView,
        mut running: JoinHandle<Finished<J, T, E>>,
        idle: &mut Option<J>,
    ) -> Verdict<T, E> {
        let (mut stopped, mut overrun) = (false, false);
        loop {
            tokio::select! {
                biased;
                ended = &mut running => {
                    let result = match ended {
                        Ok((job, result)) => {
                            *idle = Some(job);
                            result
                        }
                        Err(error) => Err(Box::new(error) as Box<dyn Any + Send>),
                    };
                    return match () {
                        () if stopped => judge_stopped(result),
                        () if overrun || !view.is_valid() => judge_lost(view, result).await,
                        () => judge(view, result),
                    };
                }
                reason = view.lost(), if !overrun => {
                    overrun = true;
                    self.overrun(&reason);
                }
                () = &mut self.until, if !stopped => {
                    stopped = true;
                    self.stop(view);
                }
            }
        }
    }

    /// `until` has completed: the job is asked to stop, and whoever looks at `until` again finds it complete.
    fn stop(&mut self, view: &LeadershipView) {
        view.ask_to_stop();
        self.until = Box::pin(std::future::ready(()));
    }

    fn overrun(&self, reason: &LossReason) {
        tracing::error!(election = %self.candidate.election, %reason, "a blocking job works on without leadership");
        if self.candidate.abort_on_overrun {
            process::abort();
        }
    }

    /// Lets go of the leadership and says how the run ends, or nothing if it goes on.
    async fn conclude<T, E>(
        &mut self,
        leadership: Leadership,
        verdict: Verdict<T, E>,
    ) -> Option<Result<Outcome<T>, RunError<E>>> {
        let resigned = self.resign(leadership);
        match verdict {
            Verdict::Returned(Ok(value)) => {
                resigned.await;
                Some(Ok(Outcome::Finished(value)))
            }
            Verdict::Returned(Err(error)) => {
                resigned.await;
                let Some(backoff) = &mut self.retry else { return Some(Err(RunError::Job(error))) };
                if self.led.elapsed() > backoff.cap() {
                    backoff.reset();
                }
                let pause = backoff.next(&mut self.rng);
                self.pause(pause).await
            }
            Verdict::Panicked(panic) => {
                resigned.await;
                resume_unwind(panic)
            }
            Verdict::Stopped => {
                resigned.await;
                Some(Ok(Outcome::Stopped))
            }
            Verdict::Lost => {
                // The entry goes in the background; others are let in first.
                drop(resigned);
                let ttl = self.candidate.ensemble.0.options.session.ttl;
                let pause = (ttl / 10).min(LONGEST_JITTER).mul_f64(self.rng.f64());
                self.pause(pause).await
            }
        }
    }

    /// Resigns, waiting no longer than the entry can stand without it.
    fn resign(&self, leadership: Leadership) -> impl Future<Output = ()> + use<> {
        let ttl = self.candidate.ensemble.0.options.session.ttl;
        async move {
            match tokio::time::timeout(ttl, leadership.resign()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "resigning failed; the entry goes with its session"),
                Err(_) => tracing::warn!("resigning is not confirmed; the entry goes with its session"),
            }
        }
    }

    async fn pause<T, E>(&mut self, pause: Duration) -> Option<Result<Outcome<T>, RunError<E>>> {
        let mut closing = self.candidate.ensemble.0.closing.subscribe();
        tokio::select! {
            () = &mut self.until => Some(Ok(Outcome::Stopped)),
            _ = closing.wait_for(|closing| *closing != Closing::Open) => Some(Ok(Outcome::Stopped)),
            () = tokio::time::sleep(pause) => None,
        }
    }
}

type Caught<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

/// A job that ended by itself. One that was asked to stop before may have ended early: that is no finish.
fn judge<T, E>(view: &LeadershipView, result: Caught<T, E>) -> Verdict<T, E> {
    match result {
        Ok(Ok(_)) if view.is_stopping() => Verdict::Lost,
        Ok(result) => Verdict::Returned(result),
        Err(panic) => Verdict::Panicked(panic),
    }
}

/// A job that ended after `until`.
fn judge_stopped<T, E>(result: Caught<T, E>) -> Verdict<T, E> {
    match result {
        Ok(Ok(_)) => Verdict::Stopped,
        Ok(Err(error)) => Verdict::Returned(Err(error)),
        Err(panic) => Verdict::Panicked(panic),
    }
}

/// A blocking job that ended after its leadership.
async fn judge_lost<T, E>(view: &LeadershipView, result: Caught<T, E>) -> Verdict<T, E> {
    match result {
        Ok(_) => lost(view.lost().await),
        Err(panic) => Verdict::Panicked(panic),
    }
}

fn lost<T, E>(reason: LossReason) -> Verdict<T, E> {
    match reason {
        LossReason::Closed => Verdict::Stopped,
        _ => Verdict::Lost,
    }
}
