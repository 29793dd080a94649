//! `ochre scrub`.

use clap::Args;
use ochre_client::Scrub as Order;
use ochre_types::DatabaseName;

use super::Stop;
use super::client::Remote;
use super::operations::Follow;

/// Verify the objects of the store against the catalogs: what is damaged, what is missing, what nothing names.
///
/// Nothing is changed unless --set-aside, --remove-orphans or --restore says so: look first.
#[derive(Debug, Args)]
pub struct Scrub {
    #[command(flatten)]
    remote: Remote,
    /// Only this database.
    #[arg(long, value_name = "NAME")]
    database: Option<DatabaseName>,
    /// Take damaged chunks out: queries answer without their rows. Their objects stay, and `ochre damage list` names
    /// what is missing.
    #[arg(long)]
    set_aside: bool,
    /// Remove objects that nothing names and that are older than the grace.
    #[arg(long)]
    remove_orphans: bool,
    /// Only put this chunk back, which is set aside, if its object can be read again.
    #[arg(long, value_name = "CHUNK", requires = "database", conflicts_with_all = ["set_aside", "remove_orphans"])]
    restore: Option<String>,
    #[command(flatten)]
    follow: Follow,
}

impl Scrub {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let storage = self.remote.connect()?.storage();
        let order = Order {
            database: self.database.clone(),
            remove_orphans: self.remove_orphans,
            set_aside: self.set_aside,
            restore: self.restore.clone(),
        };
        let begun = storage.scrub(&order).await?;
        self.follow.run(&storage, begun).await
    }
}
