use std::sync::Arc;

use tokio::sync::watch;

/// How many candidates need a session's life *proven*, not only kept: those that lead and the next two in line, as far as
/// they know: a candidate reads its place when it joins and when the one ahead of it goes.
///
/// A session sends its confirming heartbeats only while somebody holds a [`Warmth`].
#[derive(Clone, Debug)]
pub struct Demand(Arc<watch::Sender<usize>>);

impl Demand {
    /// Nobody needs it yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Counts one more until the returned guard is dropped.
    #[must_use]
    pub fn hold(&self) -> Warmth {
        self.0.send_modify(|count| *count += 1);
        Warmth(self.clone())
    }

    /// Whether anybody holds one.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until somebody holds one; returns at once if somebody does.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait and nothing else.
    pub async fn wanted(&self) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|count| *count > 0).await;
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self::new()
    }
}

/// One count of a [`Demand`], given back on drop.
#[derive(Debug)]
pub struct Warmth(Demand);

impl Drop for Warmth {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
