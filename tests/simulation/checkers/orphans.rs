//! Whoever has left has left nothing behind.

use std::time::Duration;

use incumbent::{Result, Status, Token};
use tokio::{task::JoinError, time::error::Elapsed};

use super::TICK;
use crate::world::World;

pub(crate) fn after_resign(world: &World, election: usize, token: Token, resigned: &Result<()>) {
    let queue = world.oracle.queue_now(&world.elections()[election]);
    if resigned.is_ok() && queue.iter().any(|entry| entry.key.token == token) {
        world.violated("orphans", format_args!("{token} resigned and stands"));
    }
}

pub(crate) fn after_close(world: &World, client: usize, closed: &Result<()>, status: &Status) {
    if let Err(error) = closed {
        world.violated("orphans", format_args!("c{client} cannot close a healthy ensemble: {error}"));
    }
    if status.candidates != 0 || status.leading != 0 {
        world.violated("orphans", format_args!("c{client} is closed and has {status:?}"));
    }
    for election in world.elections() {
        let of_client = format!("{client}.");
        for entry in world.oracle.queue_now(election) {
            if entry.profile.id.starts_with(&of_client) {
                world.violated("orphans", format_args!("{} stands after its ensemble was closed", entry.profile.id));
            }
        }
    }
}

pub(crate) fn task_ended(world: &World, client: usize, ended: Result<Result<(), JoinError>, Elapsed>) {
    match ended {
        Ok(Err(error)) if error.is_panic() => world.violated("orphans", format_args!("c{client} panicked: {error}")),
        Ok(_) => {}
        Err(_) => world.violated("orphans", format_args!("c{client} never comes to its end")),
    }
}

/// At the end of everything. A session that nobody knows of, because the reply to its opening was lost, goes with its TTL,
/// and may have been opened two of them late.
pub(crate) async fn in_the_store(world: &World, ttl: Duration) {
    let closed = world.now();
    let mut left = 1;
    while left > 0 && world.now().since(closed) < 3 * ttl + Duration::from_secs(1) {
        tokio::time::sleep(TICK).await;
        left = world.oracle.sessions_now().len();
    }
    if left > 0 {
        world.violated("orphans", format_args!("{left} sessions are kept after everybody has left"));
    }
    for election in world.elections() {
        for entry in world.oracle.queue_now(election) {
            world.violated("orphans", format_args!("{} of {} stands in the end", entry.key.token, entry.profile.id));
        }
    }
}
