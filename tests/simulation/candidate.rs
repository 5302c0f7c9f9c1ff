//! A candidate that does all that the API allows, at random.

use std::{pin::pin, sync::Arc, time::Duration};

use incumbent::{Backoff, Candidate, Election, ErrorKind, Leadership, LeadershipView, Outcome, RunError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    checkers::{deadline, orphans},
    world::World,
};

/// What the nemesis makes a candidate do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    /// Resign, or end the run.
    Resign,
    /// Drop the guard, the campaign or the run, whatever there is.
    Drop,
    /// Look at nothing for so long, then write as if nothing had happened.
    Pause(Duration),
}

/// One candidate, again and again.
pub(crate) struct Seat {
    client: usize,
    id: String,
    election: usize,
    stands_for: Election,
    world: Arc<World>,
    rng: fastrand::Rng,
    commands: mpsc::UnboundedReceiver<Command>,
}

impl Seat {
    pub(crate) fn new(
        client: usize,
        id: String,
        election: usize,
        stands_for: Election,
        world: Arc<World>,
        rng: fastrand::Rng,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self { client, id, election, stands_for, world, rng, commands }
    }

    /// Until the ensemble is closed.
    pub(crate) async fn live(mut self) {
        while !self.stands_for.ensemble().status().closed {
            match self.rng.u8(..10) {
                _ if self.world.is_settled() => self.by_hand().await,
                0..4 => self.by_hand().await,
                4..6 => self.for_a_while().await,
                _ => self.with_a_job().await,
            }
            sleep(self.span(0..=300)).await;
        }
    }

    async fn by_hand(&mut self) {
        let mut campaign = pin!(self.candidate().campaign());
        loop {
            let led = tokio::select! {
                biased;
                led = &mut campaign => led,
                command = self.commands.recv() => match command {
                    Some(Command::Drop) => return,
                    Some(_) => continue,
                    None => return,
                },
            };
            return match led {
                Ok(leadership) => self.hold(leadership).await,
                Err(error) => self.failed(&error),
            };
        }
    }

    async fn for_a_while(&mut self) {
        let limit = self.span(0..=4_000);
        match self.candidate().try_campaign(limit).await {
            Ok(Some(leadership)) => self.hold(leadership).await,
            Ok(None) => self.note("gives up"),
            Err(error) => self.failed(&error),
        }
    }

    /// Works under a guard until it is lost, or somebody says otherwise.
    async fn hold(&mut self, leadership: Leadership) {
        let view = leadership.view();
        self.world.granted(self.client, self.election, &view);
        loop {
            self.world.act(self.election, &view);
            let step = self.span(5..=400);
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Resign) => return self.resign(leadership).await,
                    Some(Command::Drop) | None => return self.note(format_args!("drops {}", view.token())),
                    Some(Command::Pause(span)) => self.pause(&view, span).await,
                },
                reason = view.lost() => {
                    self.note(format_args!("lost {}: {reason}", view.token()));
                    // A slow user: the guard is held on to, and is worth nothing.
                    sleep(self.span(0..=1_500)).await;
                    return;
                }
                () = sleep(step) => {}
            }
        }
    }

    async fn resign(&mut self, leadership: Leadership) {
        let token = leadership.token();
        self.note(format_args!("resigns {token}"));
        // Whoever has no patience drops the future; the removal goes on.
        let patience = self.span(500..=20_000);
        if let Ok(resigned) = timeout(patience, leadership.resign()).await {
            self.note(format_args!("resigned {token}: {resigned:?}"));
            orphans::after_resign(&self.world, self.election, token, &resigned);
        }
    }

    /// A process that stands still, and then finishes the sentence it was in.
    async fn pause(&mut self, view: &LeadershipView, span: Duration) {
        sleep(span).await;
        self.world.write(self.election, view.token(), false);
    }

    async fn with_a_job(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let retry = Backoff::new(Duration::from_millis(50), Duration::from_millis(400)).unwrap();
        let mut candidate = self.candidate().until(async {
            let _ = stopped.await;
        });
        if self.rng.bool() {
            candidate = candidate.retry(retry);
        }
        let (world, client, election, mut rng) = (Arc::clone(&self.world), self.client, self.election, self.rng.fork());
        let mut run = pin!(candidate.run(move |view| {
            let job = job(Arc::clone(&world), client, election, view.clone(), rng.fork());
            deadline::guarded(Arc::clone(&world), view, job)
        }));
        let mut stop = Some(stop);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut run => break ended,
                command = self.commands.recv() => match command {
                    Some(Command::Resign) => drop(stop.take()),
                    Some(Command::Drop) | None => return self.note("drops its run"),
                    Some(Command::Pause(_)) => {}
                },
            }
        };
        match ended {
            Ok(Outcome::Finished(())) => self.note("finished"),
            Ok(Outcome::Stopped) => self.note("stopped"),
            Err(RunError::Job(error)) => self.note(error),
            Err(RunError::Election(error)) => self.failed(&error),
        }
    }

    fn candidate(&self) -> Candidate {
        self.stands_for.candidate().id(&self.id)
    }

    /// Nothing that the nemesis does is for good.
    fn failed(&self, error: &incumbent::Error) {
        if error.kind() == ErrorKind::Closed {
            self.note(error);
        } else {
            self.world.violated("liveness", format_args!("{} gave up: {error}", self.id));
        }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.world.note(format_args!("{} {what}", self.id));
    }

    fn span(&mut self, millis: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(millis))
    }
}

/// Works for a while, then returns, fails, or waits to be stopped.
async fn job(
    world: Arc<World>,
    client: usize,
    election: usize,
    view: LeadershipView,
    mut rng: fastrand::Rng,
) -> Result<(), &'static str> {
    world.granted(client, election, &view);
    let steps = rng.usize(1..=40);
    let deaf = rng.u8(..3) == 0;
    let mut done = 0;
    loop {
        world.act(election, &view);
        let step = Duration::from_millis(rng.u64(1..=400));
        tokio::select! {
            biased;
            () = stopping(&view, deaf) => return Ok(()),
            () = sleep(step) => {}
        }
        done += 1;
        if done >= steps && !world.is_settled() {
            return if rng.bool() { Ok(()) } else { Err("failed") };
        }
    }
}

/// A deaf job is never told.
async fn stopping(view: &LeadershipView, deaf: bool) {
    if deaf {
        std::future::pending::<()>().await;
    } else {
        view.stopping().await;
    }
}
