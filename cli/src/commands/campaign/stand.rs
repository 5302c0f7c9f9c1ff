//! Standing, leading and standing again.

use std::{
    future::pending,
    mem,
    pin::{Pin, pin},
    time::Duration,
};

use incumbent::{Candidate, CandidateEvent, Election, Entry, Leadership, LossReason, Result};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Campaign,
    event::{Event, Lines, millis},
    orders::Order,
    stop::Stop,
};
use crate::{exit::Failure, output, record::Record};

/// A candidate that stands until it is stopped.
pub(crate) struct Stand {
    campaign: Campaign,
    election: Election,
    lines: Lines,
    phase: Phase,
    /// What happens to the present candidacy.
    events: mpsc::UnboundedReceiver<CandidateEvent>,
    /// Whether the guard is on its way; what comes after it has to wait for it.
    granted: bool,
    /// The trouble told last, until something else happens.
    trouble: Option<String>,
    /// A question of the person at the terminal.
    question: Option<Pending<Option<Entry>>>,
}

type Pending<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

enum Phase {
    Standing(Pending<Leadership>),
    Leading(Leadership),
    Resigning(u64, Pending<()>),
    /// So that all who lost at the same time do not come back at the same time.
    Pausing(Instant),
}

enum Step {
    Led(Result<Leadership>),
    Lost(LossReason),
    Resigned(u64, Result<()>),
    Paused,
}

impl Stand {
    pub(crate) fn new(campaign: Campaign, election: &Election) -> Result<Self, Failure> {
        let mut candidate = election.candidate();
        if let Some(id) = &campaign.id {
            candidate = candidate.id(id);
        }
        let id = candidate.profile().id.clone();
        let lines = Lines { json: campaign.json, election: election.name().clone(), candidate: id };
        lines.write(&Event::Joining)?;
        let (_, events) = mpsc::unbounded_channel();
        let phase = Phase::Pausing(Instant::now());
        Ok(Self {
            campaign,
            election: election.clone(),
            lines,
            phase,
            events,
            granted: false,
            trouble: None,
            question: None,
        })
    }

    /// Returns when told to stop.
    pub(crate) async fn run(&mut self, mut orders: mpsc::Receiver<Order>, mut stop: Stop) -> Result<(), Failure> {
        loop {
            tokio::select! {
                biased;
                () = stop.asked() => return Ok(()),
                step = self.phase.step() => self.advance(step)?,
                Some(event) = self.events.recv(), if !self.granted => self.tell(event)?,
                answer = answered(&mut self.question) => self.answer(answer)?,
                // One after the other: what is asked before `quit` is answered.
                Some(order) = orders.recv(), if self.question.is_none() => match order {
                    Order::Quit => return Ok(()),
                    Order::Resign => self.resign(),
                    Order::Who => self.ask(),
                },
            }
        }
    }

    /// Steps down if it leads, and waits, bounded, until the entry is gone.
    pub(crate) async fn leave(self) -> Result<(), Failure> {
        let mut leaving = pin!(self.release());
        if let Ok(left) = timeout(PATIENCE, &mut leaving).await {
            return left;
        }
        output::note("waiting until the entry is known to be gone; a second signal ends this at once");
        leaving.await
    }

    async fn release(mut self) -> Result<(), Failure> {
        let bound = self.ttl().map_or(LONGEST_LEAVE, |ttl| ttl.min(LONGEST_LEAVE));
        let deadline = Instant::now() + bound;
        self.resign_if_leading();
        let mut resigned = None;
        if let Phase::Resigning(token, resigning) = &mut self.phase {
            let gone = timeout(bound / 2, resigning).await.is_ok_and(|result| result.is_ok());
            resigned = Some((*token, gone));
        }
        drop(mem::replace(&mut self.phase, Phase::Pausing(deadline)));
        let closed = self.election.ensemble().close(deadline.saturating_duration_since(Instant::now())).await;
        match (resigned, closed) {
            // With its session, if not before, the entry is gone.
            (Some((token, true)), _) | (Some((token, _)), Ok(())) => self.lines.write(&Event::Resigned { token }),
            (_, closed) => Ok(closed?),
        }
    }

    fn advance(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Led(leadership) => {
                self.tell_all()?;
                self.granted = false;
                self.trouble = None;
                let leadership = leadership?;
                let (token, remaining_ms) = (leadership.token().get(), millis(leadership.remaining()));
                self.phase = Phase::Leading(leadership);
                self.note_ttl();
                self.lines.write(&Event::Leading { token, remaining_ms })
            }
            Step::Lost(reason) => {
                self.tell_all()?;
                if let Phase::Leading(leadership) = &self.phase {
                    let token = leadership.token().get();
                    self.lines.write(&Event::Lost { token, reason: reason.to_string() })?;
                }
                let pause =
                    self.ttl().map_or(LONGEST_JITTER, |ttl| LONGEST_JITTER.min(ttl / 10)).mul_f64(fastrand::f64());
                self.phase = Phase::Pausing(Instant::now() + pause);
                self.lines.write(&Event::Rejoining { reason: "leadership was lost".into() })
            }
            Step::Resigned(token, result) => {
                self.phase = Phase::Pausing(Instant::now());
                self.tell_all()?;
                self.lines.write(&match result {
                    Ok(()) => Event::Resigned { token },
                    Err(error) => Event::Troubled { reason: error.to_string() },
                })?;
                self.lines.write(&Event::Rejoining { reason: "it resigned".into() })
            }
            Step::Paused => {
                let (sender, events) = mpsc::unbounded_channel();
                self.events = events;
                self.phase = Phase::Standing(Box::pin(self.candidate().events(sender).campaign()));
                Ok(())
            }
        }
    }

    fn candidate(&self) -> Candidate {
        let mut candidate = self.election.candidate().id(&self.lines.candidate);
        if let Some(address) = &self.campaign.advertise {
            candidate = candidate.advertise(address);
        }
        self.campaign.metadata.iter().fold(candidate, |candidate, (key, value)| candidate.metadata(key, value))
    }

    fn tell_all(&mut self) -> Result<(), Failure> {
        while !self.granted
            && let Ok(event) = self.events.try_recv()
        {
            self.tell(event)?;
        }
        Ok(())
    }

    fn tell(&mut self, event: CandidateEvent) -> Result<(), Failure> {
        let (token, remaining_ms) = match &self.phase {
            Phase::Leading(leadership) => (leadership.token().get(), millis(leadership.remaining())),
            _ => (0, 0),
        };
        let event = match event {
            CandidateEvent::Waiting { ahead } => {
                self.note_ttl();
                Event::Waiting { ahead }
            }
            CandidateEvent::Leading { .. } => {
                self.granted = true;
                return Ok(());
            }
            CandidateEvent::Rejoining { reason } => Event::Rejoining { reason },
            // An outage may be long.
            CandidateEvent::Troubled { reason } if self.trouble.as_ref() == Some(&reason) => return Ok(()),
            CandidateEvent::Troubled { reason } => {
                self.trouble = Some(reason.clone());
                return self.lines.write(&Event::Troubled { reason });
            }
            CandidateEvent::Suspended { reason } if token > 0 => Event::Suspended { token, remaining_ms, reason },
            CandidateEvent::Confirmed if token > 0 => Event::Confirmed { token, remaining_ms },
            // Loss and resignation are told when the guard itself says so.
            _ => return Ok(()),
        };
        self.trouble = None;
        self.lines.write(&event)
    }

    /// Says, once, that the ensemble has granted another TTL than asked for.
    fn note_ttl(&mut self) {
        if let Some(granted) = self.ttl()
            && let Some(asked) = self.campaign.ttl.take().filter(|asked| *asked != granted)
        {
            output::note(format!("the ensemble granted a TTL of {granted:?}, not the {asked:?} asked for"));
        }
    }

    fn resign(&mut self) {
        if !self.resign_if_leading() {
            output::complain("could not resign: this candidate does not lead; quit takes it out of the queue");
        }
    }

    fn resign_if_leading(&mut self) -> bool {
        match mem::replace(&mut self.phase, Phase::Pausing(Instant::now())) {
            Phase::Leading(leadership) if leadership.is_valid() => {
                let token = leadership.token().get();
                self.phase = Phase::Resigning(token, Box::pin(leadership.resign()));
                true
            }
            other => {
                self.phase = other;
                false
            }
        }
    }

    fn ask(&mut self) {
        let election = self.election.clone();
        let deadline = Instant::now() + LONGEST_ANSWER;
        self.question = Some(Box::pin(async move {
            timeout_at(deadline, election.leader()).await.unwrap_or_else(|_| {
                Err(incumbent::Error::new(incumbent::ErrorKind::Unavailable, "read who leads")
                    .because(format!("no answer within {LONGEST_ANSWER:?}; ask again when the ensemble is back")))
            })
        }));
    }

    fn answer(&mut self, answer: Result<Option<Entry>>) -> Result<(), Failure> {
        self.question = None;
        match answer {
            Ok(leader) => {
                let leader = leader.as_ref().map(|leader| Record::new(0, leader));
                self.lines.write(&Event::Leader { leader })
            }
            Err(error) => {
                output::complain(error);
                Ok(())
            }
        }
    }

    /// The granted one.
    fn ttl(&self) -> Option<Duration> {
        self.election.ensemble().status().session.map(|session| session.ttl)
    }
}

impl Phase {
    /// What ends this phase.
    async fn step(&mut self) -> Step {
        match self {
            Self::Standing(standing) => Step::Led(standing.await),
            Self::Leading(leadership) => Step::Lost(leadership.lost().await),
            Self::Resigning(token, resigning) => Step::Resigned(*token, resigning.await),
            Self::Pausing(until) => {
                sleep(until.saturating_duration_since(Instant::now())).await;
                Step::Paused
            }
        }
    }
}

async fn answered(question: &mut Option<Pending<Option<Entry>>>) -> Result<Option<Entry>> {
    match question {
        Some(question) => question.await,
        None => pending().await,
    }
}

const PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_LEAVE: Duration = Duration::from_secs(5);
const LONGEST_ANSWER: Duration = Duration::from_secs(5);
const LONGEST_JITTER: Duration = Duration::from_millis(500);
