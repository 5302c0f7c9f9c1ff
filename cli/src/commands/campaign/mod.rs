mod event;
mod orders;
mod stand;
mod stop;

use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};
use incumbent::{ElectionName, Options};

use self::{stand::Stand, stop::Stop};
use crate::{
    args::{Target, duration, pair},
    exit::{EXIT_CODES, Failure},
};

/// Stand for leadership until stopped, with a line for each event.
#[derive(Debug, Args)]
#[command(after_help = format!("{ORDERS}\n\n{EXIT_CODES}"))]
pub(crate) struct Campaign {
    /// The election's name, such as billing/nightly-report
    #[arg(value_name = "ELECTION")]
    election: String,
    /// Who stands; by default host name, process id and four random digits
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// How long the others wait at most if this process dies; by default what the URL says, or 10s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ttl: Option<Duration>,
    /// The address at which to reach this candidate when it leads
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    advertise: Option<String>,
    /// What else listings show of this candidate; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Write a JSON object per line
    #[arg(long)]
    json: bool,
}

impl Campaign {
    pub(crate) async fn run(self, target: &Target) -> Result<(), Failure> {
        let name = ElectionName::new(&self.election)?;
        let mut stop = Stop::on_signals()?;
        let ttl: Vec<_> = self.ttl.iter().map(|ttl| ("ttl", *ttl)).collect();
        let ensemble = tokio::select! {
            connected = target.connect(Options::new(), &ttl) => connected?,
            () = stop.asked() => return Ok(()),
        };
        let mut stand = Stand::new(self, &ensemble.election(name)?)?;
        let ended = stand.run(orders::read(), stop).await;
        let left = stand.leave().await;
        match (ended, left) {
            // That the entry may stand counts for more than that nobody reads any more.
            (Err(Failure::Output(_)), Err(left)) => Err(left),
            (ended, left) => ended.and(left),
        }
    }
}

const ORDERS: &str = "\
Commands, a line each on standard input:
  resign   step down, and stand again at the end of the queue
  who      show who leads
  quit     step down and exit

SIGINT, SIGTERM and the end of the terminal do the same as quit.";
