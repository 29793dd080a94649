//! Backups: made, and brought back.

use ochre_types::DatabaseName;
use ochre_wire::v1;

use super::{Client, Storage};
use crate::error::Error;
use crate::retry::Repeat;

/// What is brought back from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreBackup {
    /// The URL of the folder of backups.
    pub from: String,
    /// The backup's id; `None`: the newest.
    pub backup: Option<String>,
    /// Only these databases; none: all.
    pub databases: Vec<DatabaseName>,
    /// The name that a single database gets; `None`: its own.
    pub new_name: Option<DatabaseName>,
}

impl Storage {
    /// Begins a backup of these databases (none: all) to the folder at a URL.
    pub async fn create_backup(&self, to: &str, databases: &[DatabaseName]) -> Result<v1::Operation, Error> {
        let databases = databases.iter().map(ToString::to_string).collect();
        let request = v1::CreateBackupRequest { to: to.to_owned(), databases };
        let send = |mut client: Client, request| async move { client.create_backup(request).await };
        self.call(Repeat::IfNotSent, request, send).await
    }

    /// Begins to bring databases back from a backup.
    pub async fn restore_backup(&self, restore: &RestoreBackup) -> Result<v1::Operation, Error> {
        let request = v1::RestoreBackupRequest {
            from: restore.from.clone(),
            backup: restore.backup.clone().unwrap_or_default(),
            databases: restore.databases.iter().map(ToString::to_string).collect(),
            r#as: restore.new_name.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        let send = |mut client: Client, request| async move { client.restore_backup(request).await };
        self.call(Repeat::IfNotSent, request, send).await
    }
}
