//! How the members are, asked of each.

use std::{sync::Arc, time::Duration};

use etcd_client::{ResponseHeader, StatusResponse};
use futures::{StreamExt, stream::FuturesUnordered};
use incumbent_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, timeout};

use crate::{
    error::{Verdict, describe, verdict},
    known_holes,
    members::{Members, Stubs},
};

/// Asks all members how they are, until one has answered and the others have had [`GRACE`]; those are then listened to in
/// the background. The first requests go to one that has answered.
pub(crate) async fn survey(members: &Arc<Members>, bound: Duration) -> Result<()> {
    let asked = members.each().enumerate().map(|(member, (endpoint, stubs))| {
        let endpoint = endpoint.to_owned();
        async move { (member, endpoint, status(stubs, bound).await) }
    });
    let mut answers: FuturesUnordered<_> = asked.collect();
    let (mut answered, mut silent) = (Vec::new(), Vec::new());
    let mut kind = ErrorKind::Unavailable;
    let grace = tokio::time::sleep(Duration::MAX);
    tokio::pin!(grace);
    loop {
        let (member, endpoint, answer) = tokio::select! {
            answer = answers.next() => match answer {
                Some(answer) => answer,
                None => break,
            },
            () = &mut grace => break,
        };
        match answer {
            Ok((_, status)) => {
                note(members, &endpoint, &status)?;
                answered.push(member);
                grace.as_mut().reset(Instant::now() + GRACE);
            }
            Err(Silence { refused, why }) => {
                tracing::warn!(member = endpoint, why, "a member does not answer");
                silent.push(format!("{endpoint}: {why}"));
                kind = refused.unwrap_or(kind);
            }
        }
    }
    if answered.is_empty() {
        let said = silent.join("; ");
        let error = Error::new(kind, "connect to").on("etcd");
        return Err(error.because(format!("{said}; is it running, and can it be reached from here?")));
    }
    members.begin_with(&answered);
    if !answers.is_empty() {
        let members = Arc::clone(members);
        tokio::spawn(async move {
            while let Some((_, endpoint, answer)) = answers.next().await {
                match answer {
                    Ok((_, status)) => {
                        if let Err(error) = note(&members, &endpoint, &status) {
                            tracing::error!(member = endpoint, %error, "no session can be opened there");
                        }
                    }
                    Err(Silence { why, .. }) => tracing::warn!(member = endpoint, why, "a member does not answer"),
                }
            }
        });
    }
    Ok(())
}

/// What members on a local network need not exceed.
const GRACE: Duration = Duration::from_millis(100);

/// Warns of what is known of its version, and refuses a member of another cluster.
fn note(members: &Members, endpoint: &str, status: &StatusResponse) -> Result<()> {
    for hole in known_holes(status.version()) {
        tracing::warn!(member = endpoint, version = status.version(), "this version of etcd {hole}");
    }
    members.check_cluster(status.header().map(ResponseHeader::cluster_id), endpoint)
}

/// Why there is no answer.
pub(crate) struct Silence {
    /// The kind of a refusal.
    refused: Option<ErrorKind>,
    pub(crate) why: String,
}

/// Asks one member how it is; how long the answer took, and what it was.
pub(crate) async fn status(
    mut stubs: Stubs,
    bound: Duration,
) -> std::result::Result<(Duration, StatusResponse), Silence> {
    let asked = Instant::now();
    match timeout(bound, stubs.maintenance.status()).await {
        Ok(Ok(status)) => Ok((asked.elapsed(), status)),
        Ok(Err(error)) => {
            let refused = match verdict(&error) {
                Verdict::Refused(kind) => Some(kind),
                Verdict::Elsewhere | Verdict::Ambiguous(_) => None,
            };
            Err(Silence { refused, why: describe(&error) })
        }
        Err(_) => Err(Silence { refused: None, why: format!("no answer within {bound:?}") }),
    }
}
