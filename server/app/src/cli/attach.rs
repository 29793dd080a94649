//! `ochre attach`.

use std::time::Duration;

use clap::Args;
use ochre_types::size::parse_duration;

use crate::config::Flags;

/// Serve the databases of another server's node for reading, from its object store alone.
///
/// Nothing is written or claimed there, and the other server does not notice. What it has in memory and in its log only
/// is not seen before it is persisted. --node-id and --object-store say which node; --data-dir must be another than that
/// server's.
#[derive(Debug, Args)]
pub struct Attach {
    /// How often the node's catalogs are looked at.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = refresh)]
    pub refresh: Duration,
    #[command(flatten)]
    pub flags: Flags,
}

fn refresh(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_millis(100) { Err("give at least 100ms".to_owned()) } else { Ok(duration) }
}
