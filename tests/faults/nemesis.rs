//! Seeded faults on candidates that are processes.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use incumbent::core::Clock;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    candidate,
    log::{self, Log},
};

/// What a run is made of.
pub(crate) struct Plan {
    pub(crate) url: String,
    pub(crate) ttl: Duration,
    pub(crate) faults: usize,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Fault {
    Resign,
    Kill,
    Stop,
}

/// Somebody leads so long after a fault at the latest, beyond the TTL.
const SLACK: Duration = Duration::from_secs(2);
/// Somebody leads so long after a clean resignation at the latest.
const HANDOVER: Duration = Duration::from_millis(250);
const CANDIDATES: usize = 5;

struct Process {
    child: Child,
    /// Reads what it says, to the end.
    reader: Option<JoinHandle<()>>,
    /// When to continue it, if it is stopped.
    stopped: Option<Instant>,
    /// Since when it runs without disturbance.
    undisturbed: Instant,
}

impl Process {
    fn start(plan: &Plan, election: &str, index: usize, log: &Log) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["--exact", candidate::ENTRY_POINT, "--nocapture", "--quiet"])
            .env(candidate::URL, &plan.url)
            .env(candidate::ELECTION, election)
            .env(candidate::ID, format!("candidate-{index}"))
            .env(candidate::TTL_MILLIS, plan.ttl.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary runs");
        let out = child.stdout.take().expect("piped");
        let log = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                log.take(index, &line);
            }
        });
        Self { child, reader: Some(reader), stopped: None, undisturbed: Instant::now() }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not zero");
        kill_process(pid, signal).expect("the child is ours");
    }

    fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("it ends");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("every line is understood");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run in progress.
pub(crate) struct Nemesis {
    plan: Plan,
    election: String,
    log: Log,
    rng: fastrand::Rng,
    processes: Vec<Process>,
    report: Vec<(Fault, Duration)>,
    /// How many handovers to a healthy next in line were timed.
    clean_handovers: usize,
}

impl Nemesis {
    /// Starts the candidates.
    pub(crate) fn start(plan: Plan) -> Self {
        let log = Log::default();
        let election = format!("faults/{:x}", plan.seed);
        let processes = (0..CANDIDATES).map(|index| Process::start(&plan, &election, index, &log)).collect();
        let rng = fastrand::Rng::with_seed(plan.seed);
        Self { plan, election, log, rng, processes, report: Vec::new(), clean_handovers: 0 }
    }

    /// Does all faults, checks liveness after each and safety at the end.
    pub(crate) fn run(mut self) {
        self.await_leader(self.plan.ttl + SLACK * 2);
        while self.report.len() < self.plan.faults {
            self.continue_processes();
            let fault = [Fault::Resign, Fault::Kill, Fault::Stop][self.rng.usize(..3)];
            // More than half of the faults hit the leader.
            let victim = if self.rng.u8(..10) < 6 { self.leader() } else { Some(self.rng.usize(..CANDIDATES)) };
            let Some(victim) = victim.filter(|victim| self.processes[*victim].stopped.is_none()) else { continue };
            // A majority of healthy candidates is always left.
            if fault == Fault::Stop && self.processes.iter().filter(|process| process.stopped.is_some()).count() >= 2 {
                self.pause();
                continue;
            }
            self.strike(fault, victim);
        }
        self.finish();
    }

    fn strike(&mut self, fault: Fault, victim: usize) {
        // At least every tenth fault is a resignation with a healthy next in line.
        if fault == Fault::Resign && self.clean_handovers * 10 <= self.report.len() {
            self.settle(victim);
        }
        let Some(term) = self.log.holder(boot()).filter(|term| fault != Fault::Resign || term.process == victim) else {
            // One that does not lead has nothing to resign.
            return;
        };
        let healthy = self.is_settled(victim);
        let begin = boot();
        let process = &mut self.processes[victim];
        match fault {
            Fault::Resign => {
                process.child.stdin.as_mut().expect("piped").write_all(b"resign\n").expect("it reads");
            }
            Fault::Kill => {
                process.kill();
                self.log.abandon(victim);
                self.processes[victim] = Process::start(&self.plan, &self.election, victim, &self.log);
            }
            Fault::Stop => {
                process.signal(Signal::STOP);
                self.log.abandon(victim);
                let span = self.plan.ttl.mul_f64(0.1 + 2.9 * self.rng.f64());
                process.stopped = Some(Instant::now() + span);
            }
        }
        if fault == Fault::Resign {
            let took = self.await_successor(term.token, self.plan.ttl + SLACK);
            assert!(!healthy || took <= HANDOVER, "handover to a healthy next in line took {took:?}; {}", self.story());
            self.clean_handovers += usize::from(healthy);
        } else {
            self.await_leader(self.plan.ttl + SLACK);
        }
        let took = Duration::from_nanos(boot() - begin);
        self.report.push((fault, took));
    }

    /// Waits for somebody who runs and leads.
    fn await_leader(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            self.continue_processes();
            if self.log.holder(boot()).is_some() {
                return;
            }
            assert!(Instant::now() < end, "nobody led within {limit:?}; {}", self.story());
            self.pause();
        }
    }

    /// Waits for the term after that of `token`; says how long after its end it began.
    fn await_successor(&mut self, token: u64, limit: Duration) -> Duration {
        let end = Instant::now() + limit;
        loop {
            self.continue_processes();
            let terms = self.log.terms();
            let over = terms.iter().find(|term| term.token == token && term.over);
            let next = terms.iter().find(|term| term.token > token);
            if let (Some(over), Some(next)) = (over, next) {
                return Duration::from_nanos(next.from.saturating_sub(over.to));
            }
            assert!(Instant::now() < end, "nobody took over within {limit:?}; {}", self.story());
            self.pause();
        }
    }

    /// Whether all others have stood undisturbed for long enough to have no dead entry between them.
    fn is_settled(&self, but: usize) -> bool {
        let settled = self.plan.ttl + SLACK;
        let others = self.processes.iter().enumerate().filter(|(index, _)| *index != but);
        others.into_iter().all(|(_, process)| process.stopped.is_none() && process.undisturbed.elapsed() > settled)
    }

    /// Waits until they have; the leader's own trouble is no matter here.
    fn settle(&mut self, but: usize) {
        while !self.is_settled(but) {
            self.continue_processes();
            self.pause();
        }
    }

    fn leader(&self) -> Option<usize> {
        self.log.holder(boot()).map(|term| term.process)
    }

    fn continue_processes(&mut self) {
        for process in &mut self.processes {
            if process.stopped.is_some_and(|until| until <= Instant::now()) {
                process.signal(Signal::CONT);
                process.stopped = None;
                process.undisturbed = Instant::now();
            }
        }
    }

    /// The step of all polling here.
    fn pause(&self) {
        std::thread::sleep(Duration::from_millis(5));
    }

    fn story(&self) -> String {
        let terms = self.log.terms();
        format!(
            "seed {}, after {:?}, at {}, last terms {:?}",
            self.plan.seed,
            self.report.last(),
            boot(),
            &terms[terms.len().saturating_sub(4)..]
        )
    }

    fn finish(mut self) {
        for process in &mut self.processes {
            process.kill();
        }
        let terms = self.log.terms();
        let closest = log::check(&terms);
        println!("{} faults, {} terms, closest takeover after a deadline {closest:?}", self.report.len(), terms.len());
        for fault in [Fault::Resign, Fault::Kill, Fault::Stop] {
            let times: Vec<_> = self.report.iter().filter(|(kind, _)| *kind == fault).map(|(_, took)| *took).collect();
            println!("{fault:?}: {} times, longest until somebody led {:?}", times.len(), times.iter().max());
        }
        println!("{} handovers to a healthy next in line, each within {HANDOVER:?}", self.clean_handovers);
        // A run that hardly changed leaders would show nothing.
        assert!(self.clean_handovers > 0, "no handover was clean enough to be timed");
        assert!(terms.len() > self.plan.faults / 5, "only {} terms in {} faults", terms.len(), self.plan.faults);
    }
}

fn boot() -> u64 {
    Clock::boot().now().as_nanos()
}
