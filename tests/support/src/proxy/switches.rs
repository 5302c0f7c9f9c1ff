//! What a proxy does at present.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switches {
    pub(crate) delay: Duration,
    pub(crate) delay_replies: Duration,
    pub(crate) blackhole: bool,
    pub(crate) drop_replies: bool,
    pub(crate) refuse: bool,
    /// How often all connections were broken: each one lives only as long as this stays as it found it.
    pub(crate) resets: u64,
    pub(crate) stopped: bool,
}

impl Switches {
    fn holds(&self, direction: Direction) -> bool {
        self.blackhole || (self.drop_replies && direction == Direction::Replies)
    }

    fn delay(&self, direction: Direction) -> Duration {
        match direction {
            Direction::Requests => self.delay,
            Direction::Replies => self.delay + self.delay_replies,
        }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Requests,
    Replies,
}

impl Direction {
    pub(crate) fn reverse(self) -> Self {
        match self {
            Self::Requests => Self::Replies,
            Self::Replies => Self::Requests,
        }
    }
}

/// Waits until what has come at `arrived` may leave in `direction`, as the switches stand then.
pub(crate) async fn passable(switches: &mut watch::Receiver<Switches>, direction: Direction, arrived: Instant) {
    loop {
        let now = *switches.borrow_and_update();
        let due = arrived + now.delay(direction);
        let held = now.holds(direction);
        if !held && due <= Instant::now() {
            return;
        }
        tokio::select! {
            changed = switches.changed() => changed.expect("the proxy outlives its thread"),
            () = sleep_until(due), if !held => {}
        }
    }
}
