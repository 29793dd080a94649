//! `ochre backup create|list|verify|restore|prune`.
//!
//! With a running server, `create` and `restore` are operations of it. Without one, and for everything else, this
//! process reads and writes the stores itself, with the credentials of its environment.

mod offline;

use clap::{Args, Subcommand};
use ochre_client::RestoreBackup;
use ochre_database::backup::Retain;
use ochre_types::size::parse_duration;
use ochre_types::{DatabaseName, NodeId};

use super::client::Remote;
use super::operations::Follow;
use super::{Output, Stop};

/// Make backups, look after them, and bring them back.
#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Make a backup; files that the target has are not copied again.
    Create(Create),
    /// List the backups of a target.
    List(List),
    /// Read a backup through and compare everything with its checksums.
    Verify(Verify),
    /// Bring a backup back: to an empty prefix, or into a running server.
    Restore(Restore),
    /// Remove old backups, and the files that only they have. Nothing is removed without --apply.
    Prune(Prune),
}

/// Make a backup; files that the target has are not copied again.
///
/// A running server is asked to do it, and everything is in the backup that it had acknowledged by then. With
/// --object-store and --node-id no server is asked: the backup is what the node's catalogs have, without what only its
/// log has.
#[derive(Debug, Args)]
pub struct Create {
    /// Where to: the URL of an object store's folder, for backups alone.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Only this database; may be given several times.
    #[arg(long, value_name = "NAME")]
    database: Vec<DatabaseName>,
    /// Without a server: the object store that has the node.
    #[arg(long, value_name = "URL", requires = "node_id")]
    object_store: Option<String>,
    /// Without a server: the node's name.
    #[arg(long, value_name = "NAME", requires = "object_store")]
    node_id: Option<NodeId>,
    #[command(flatten)]
    follow: Follow,
    #[command(flatten)]
    remote: Remote,
}

/// List the backups of a target.
#[derive(Debug, Args)]
pub struct List {
    /// The URL of the folder of backups.
    #[arg(long, value_name = "URL")]
    from: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Read a backup through and compare everything with its checksums. Damage is a failure, after all of it was printed.
#[derive(Debug, Args)]
pub struct Verify {
    /// The URL of the folder of backups.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The backup's id; the newest if it is not given.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Bring a backup back: to an empty prefix, or into a running server.
///
/// With --object-store and --node-id the backup becomes a node of its own there, which a server can then be started for.
/// A restore that was broken off goes on when it is run again; no server starts on the prefix before it is finished.
/// Without them, a running server takes databases in, under names that are free.
#[derive(Debug, Args)]
pub struct Restore {
    /// The URL of the folder of backups.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The backup's id; the newest if it is not given.
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    backup: Option<String>,
    /// The newest backup that was begun by this time (RFC 3339).
    #[arg(long, value_name = "TIME", requires = "object_store")]
    at: Option<String>,
    /// Only this database; may be given several times.
    #[arg(long, value_name = "NAME")]
    database: Vec<DatabaseName>,
    /// Into a running server: the name that the one database gets.
    #[arg(long = "as", value_name = "NAME", conflicts_with = "object_store")]
    new_name: Option<DatabaseName>,
    /// The object store that gets the node.
    #[arg(long, value_name = "URL", requires = "node_id")]
    object_store: Option<String>,
    /// The node's name there; nothing may be in its folder yet.
    #[arg(long, value_name = "NAME", requires = "object_store")]
    node_id: Option<NodeId>,
    #[command(flatten)]
    follow: Follow,
    #[command(flatten)]
    remote: Remote,
}

/// Remove old backups, and the files that only they have. Nothing is removed without --apply.
#[derive(Debug, Args)]
pub struct Prune {
    /// The URL of the folder of backups.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Keep the newest so many.
    #[arg(long, value_name = "N", required_unless_present = "older_than", conflicts_with = "older_than")]
    keep: Option<usize>,
    /// Remove those that were begun longer ago than this, but never the newest.
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// Remove them. Else it is only said what would be removed.
    #[arg(long)]
    apply: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Backup {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => offline::list(&list.from, list.output).await,
            Self::Verify(verify) => offline::verify(&verify.from, verify.backup.as_deref(), verify.output).await,
            Self::Restore(restore) => restore.run().await,
            Self::Prune(prune) => prune.run().await,
        }
    }
}

impl Create {
    async fn run(&self) -> Result<(), Stop> {
        if let (Some(url), Some(node)) = (&self.object_store, &self.node_id) {
            return offline::create(url, node, &self.to, &self.database).await;
        }
        let storage = self.remote.connect()?.storage();
        let begun = storage.create_backup(&self.to, &self.database).await?;
        self.follow.run(&storage, begun).await
    }
}

impl Restore {
    async fn run(&self) -> Result<(), Stop> {
        if let (Some(url), Some(node)) = (&self.object_store, &self.node_id) {
            let which = offline::Which { backup: self.backup.as_deref(), at: self.at.as_deref() };
            return offline::restore(&self.from, which, &self.database, url, node).await;
        }
        let storage = self.remote.connect()?.storage();
        let restore = RestoreBackup {
            from: self.from.clone(),
            backup: self.backup.clone(),
            databases: self.database.clone(),
            new_name: self.new_name.clone(),
        };
        let begun = storage.restore_backup(&restore).await?;
        self.follow.run(&storage, begun).await
    }
}

impl Prune {
    async fn run(&self) -> Result<(), Stop> {
        let retain = match (self.keep, &self.older_than) {
            (Some(0), _) => {
                return Err(Stop::Usage("--keep 0 would remove every backup: keep at least one".to_owned()));
            }
            (Some(count), _) => Retain::Newest(count),
            (None, Some(text)) => {
                Retain::Since(parse_duration(text).map_err(|error| Stop::Usage(format!("--older-than: {error}")))?)
            }
            (None, None) => return Err(Stop::Usage("give --keep or --older-than".to_owned())),
        };
        offline::prune(&self.from, retain, self.apply, self.output).await
    }
}
