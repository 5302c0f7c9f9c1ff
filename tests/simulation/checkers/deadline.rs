//! A job is not polled once its leadership is over.

use std::{future::poll_fn, pin::pin, sync::Arc};

use incumbent::LeadershipView;

use crate::world::World;

/// The job, looked at whenever it is polled.
pub(crate) async fn guarded<T>(world: Arc<World>, view: LeadershipView, job: impl Future<Output = T>) -> T {
    let mut job = pin!(job);
    poll_fn(|context| {
        if !view.is_valid() {
            world.violated("deadline", format_args!("the job of {} works on after its leadership", view.token()));
        }
        job.as_mut().poll(context)
    })
    .await
}
