//! Deletes and drops.

use std::time::SystemTime;

use ochre_types::{DatabaseName, TableName};
use ochre_wire::v1;

use super::{Client, Storage};
use crate::error::Error;
use crate::retry::Repeat;

/// Which rows to delete; what is `None` bounds nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteRows {
    /// Tables, or patterns of tables as in rules: at least one.
    pub tables: Vec<String>,
    /// The first time that is deleted.
    pub start: Option<SystemTime>,
    /// The first time after it that is not deleted any more.
    pub stop: Option<SystemTime>,
    /// A predicate over tags and time, as in rules.
    pub predicate: Option<String>,
}

impl Storage {
    /// Deletes rows: no later query sees them. To delete again is harmless, but for rows that came between.
    pub async fn delete_rows(&self, database: &DatabaseName, rows: &DeleteRows) -> Result<v1::DeleteReceipt, Error> {
        let request = v1::DeleteRowsRequest {
            database: database.to_string(),
            tables: rows.tables.clone(),
            start: rows.start.map(Into::into),
            stop: rows.stop.map(Into::into),
            predicate: rows.predicate.clone(),
        };
        let send = |mut client: Client, request| async move { client.delete_rows(request).await };
        self.call(Repeat::IfNotSent, request, send).await
    }

    /// The deletions that are known, newest first.
    pub async fn deletes(&self, database: &DatabaseName) -> Result<Vec<v1::DeleteReceipt>, Error> {
        let request = v1::ListDeletesRequest { database: database.to_string() };
        let send = |mut client: Client, request| async move { client.list_deletes(request).await };
        Ok(self.call(Repeat::Always, request, send).await?.deletes)
    }

    /// Drops a table.
    pub async fn drop_table(&self, database: &DatabaseName, table: &TableName) -> Result<v1::DeleteReceipt, Error> {
        let request = v1::DropTableRequest { database: database.to_string(), table: table.to_string() };
        let send = |mut client: Client, request| async move { client.drop_table(request).await };
        self.call(Repeat::IfNotSent, request, send).await
    }

    /// Brings a dropped table back.
    pub async fn undrop_table(&self, database: &DatabaseName, table: &TableName) -> Result<(), Error> {
        let request = v1::UndropTableRequest { database: database.to_string(), table: table.to_string() };
        let send = |mut client: Client, request| async move { client.undrop_table(request).await };
        self.call(Repeat::IfNotSent, request, send).await?;
        Ok(())
    }

    /// Drops a database.
    pub async fn drop_database(&self, database: &DatabaseName) -> Result<v1::DeleteReceipt, Error> {
        let request = v1::DropDatabaseRequest { database: database.to_string() };
        let send = |mut client: Client, request| async move { client.drop_database(request).await };
        self.call(Repeat::IfNotSent, request, send).await
    }

    /// Brings a dropped database back.
    pub async fn undrop_database(&self, database: &DatabaseName) -> Result<(), Error> {
        let request = v1::UndropDatabaseRequest { database: database.to_string() };
        let send = |mut client: Client, request| async move { client.undrop_database(request).await };
        self.call(Repeat::IfNotSent, request, send).await?;
        Ok(())
    }
}
