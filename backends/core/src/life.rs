use std::sync::Arc;

use crate::{Deadline, Error};

/// What is known of a session's life.
///
/// A session publishes a new value when contact is lost or found, when life is proven anew after a deadline has passed,
/// and at its end; **not** at each heartbeat, which only puts the deadline off.
#[derive(Clone, Debug)]
pub enum Life {
    /// The session lives as far as this side knows.
    Alive {
        /// Until when that is proven. After it has passed, a later proof comes with a new deadline.
        deadline: Arc<Deadline>,
        /// Why the latest heartbeat failed; `None` while there is contact.
        suspended: Option<Error>,
    },
    /// The session is over for good, and why.
    Ended(Error),
}
