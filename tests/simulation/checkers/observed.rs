//! What an observer tells adds up to the queue: each change fits the ones before, and in the end it is the truth.

use std::{sync::Arc, time::Duration};

use incumbent::{Change, ErrorKind, Observer, core::EntryKey};

use super::TICK;
use crate::world::World;

/// What one observer has been told.
#[derive(Default)]
pub(crate) struct Picture {
    queue: Vec<EntryKey>,
    leader: Option<EntryKey>,
    current: Option<EntryKey>,
}

impl Picture {
    fn take_in(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Snapshot(entries) => {
                self.queue = entries.iter().map(|entry| entry.key.clone()).collect();
                self.leader = self.queue.first().cloned();
            }
            Change::Joined(entry) if self.queue.last().is_none_or(|last| last.token < entry.key.token) => {
                self.queue.push(entry.key);
            }
            Change::Left(entry) if self.queue.contains(&entry.key) => self.queue.retain(|key| *key != entry.key),
            Change::Leader(entry) if self.queue.first() == Some(&entry.key) => self.leader = Some(entry.key),
            Change::Nobody if self.queue.is_empty() => self.leader = None,
            Change::Suspended | Change::Resumed => {}
            change => return Err(format!("{change:?} after {:?}", self.queue)),
        }
        Ok(())
    }
}

pub(crate) async fn follow(world: Arc<World>, client: usize, election: usize, mut observer: Observer) {
    world.pictures(|pictures| pictures.insert((client, election), Picture::default()));
    loop {
        match observer.next().await {
            Ok(change) => {
                let current = observer.current().map(|entry| entry.key);
                let fits = world.pictures(|pictures| {
                    let picture = pictures.entry((client, election)).or_default();
                    picture.current = current;
                    picture.take_in(change)
                });
                if let Err(why) = fits {
                    world.violated("observed", format_args!("c{client} was told {why}"));
                }
            }
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => return world.violated("observed", format_args!("c{client} observes no more: {error}")),
        }
    }
}

/// All is repaired but the dead client: within a second everybody knows what is.
pub(crate) async fn check(world: &World, dead: Option<usize>) {
    let begun = world.now();
    let mut wrong = wrong_pictures(world, dead);
    while !wrong.is_empty() && world.now().since(begun) < Duration::from_secs(1) {
        tokio::time::sleep(TICK).await;
        wrong = wrong_pictures(world, dead);
    }
    for what in wrong {
        world.violated("observed", what);
    }
}

fn wrong_pictures(world: &World, dead: Option<usize>) -> Vec<String> {
    let queues = world.elections().iter().map(|election| world.oracle.queue_now(election));
    let queues: Vec<Vec<_>> = queues.map(|queue| queue.into_iter().map(|entry| entry.key).collect()).collect();
    world.pictures(|pictures| {
        let living = pictures.iter().filter(|((client, _), _)| Some(*client) != dead);
        let wrong = living.filter(|((_, election), picture)| {
            let queue = &queues[*election];
            picture.queue != *queue
                || picture.leader.as_ref() != queue.first()
                || picture.current.as_ref() != queue.first()
        });
        wrong
            .map(|((client, election), picture)| {
                format!(
                    "c{client} sees {:?} led by {:?}, it is {:?}",
                    picture.queue, picture.current, queues[*election]
                )
            })
            .collect()
    })
}
