//! A candidate as a process of its own: the test binary, run again.

use std::{
    io::{BufRead, Write},
    time::Duration,
};

use incumbent::{Candidate, Election, Leadership, Options, connect_with};
use tokio::sync::mpsc;

/// The name of the test that is the candidate's `main`.
pub(crate) const ENTRY_POINT: &str = "candidate_process";

/// What the process is told through its environment.
pub(crate) const URL: &str = "INCUMBENT_FAULTS_URL";
pub(crate) const ELECTION: &str = "INCUMBENT_FAULTS_ELECTION";
pub(crate) const ID: &str = "INCUMBENT_FAULTS_ID";
pub(crate) const TTL_MILLIS: &str = "INCUMBENT_FAULTS_TTL_MILLIS";

/// How often a leader looks at its guard: as a job would between two steps.
const STEP: Duration = Duration::from_millis(2);

/// Stands for ever, and says on standard output what it believes, before it acts on it. Steps down on `resign`.
///
/// Each line is `<what> <token> <boot clock, ns> <valid until, ns>`: `G` granted, `V` valid until a later moment, `O` over.
pub(crate) async fn run() {
    let Ok(url) = std::env::var(URL) else { return };
    let variable = |name| std::env::var(name).expect("set by the parent");
    let ttl = Duration::from_millis(variable(TTL_MILLIS).parse().expect("a number"));
    let ensemble = connect_with(&url, Options::new().ttl(ttl)).await.expect("the ensemble is up");
    let election = ensemble.election(variable(ELECTION)).expect("a good name");
    let mut commands = commands();
    loop {
        let leadership = stand(&election, &variable(ID)).await;
        if lead(&leadership, &mut commands).await {
            // Said before the resignation is sent: from here on this process does not act.
            say(&format!("O {} {} 0", leadership.token(), now()));
            leadership.resign().await.expect("etcd lets everybody resign");
        } else {
            say(&format!("O {} {} 0", leadership.token(), now()));
        }
    }
}

async fn stand(election: &Election, id: &str) -> Leadership {
    let candidate: Candidate = election.candidate().id(id);
    candidate.campaign().await.expect("nothing here is beyond mending")
}

/// Whether it ended by a command.
async fn lead(leadership: &Leadership, commands: &mut mpsc::UnboundedReceiver<String>) -> bool {
    let mut what = 'G';
    let mut said = incumbent::core::Moment::ORIGIN;
    loop {
        // Read once: what is said is what is acted on.
        let (now, until) = (incumbent::core::Clock::boot().now(), leadership.valid_until());
        if now >= until {
            return false;
        }
        if until != said {
            say(&format!("{what} {} {} {}", leadership.token(), now.as_nanos(), until.as_nanos()));
            (what, said) = ('V', until);
        }
        tokio::select! {
            command = commands.recv() => match command.as_deref() {
                Some("resign") => return true,
                _ => std::process::exit(0),
            },
            () = tokio::time::sleep(STEP) => {}
        }
    }
}

fn now() -> u64 {
    incumbent::core::Clock::boot().now().as_nanos()
}

/// One write, so that a line is whole or not there when the process is killed.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).and_then(|()| out.flush()).expect("the parent listens");
}

/// Lines from the parent; its end ends this process.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    receiver
}
