//! Once all is repaired, somebody leads within the TTL and two seconds, and goes on leading.

use std::time::Duration;

use super::TICK;
use crate::world::World;

pub(crate) async fn check(world: &World, ttl: Duration) {
    let repaired = world.now();
    let bound = ttl + Duration::from_secs(2);
    let mut unled: Vec<_> = (0..world.elections().len()).collect();
    while world.now().since(repaired) < bound {
        tokio::time::sleep(TICK).await;
        world.look();
        unled.retain(|election| !world.is_led(*election));
    }
    for election in unled {
        world.violated("liveness", format_args!("nobody leads {} within {bound:?}", world.elections()[election]));
    }
    for election in 0..world.elections().len() {
        if !world.is_led(election) {
            let name = &world.elections()[election];
            world.violated("liveness", format_args!("nobody leads {name} {bound:?} after the repair"));
        }
    }
}
