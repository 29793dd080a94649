//! Dropping whole databases, and bringing them back.
//!
//! A dropped database stays open, out of sight: what it has is removed by its own lifecycle once it can't be brought
//! back any more, and whoever makes a database of its name gets it back empty, with the rules of new databases.

use std::sync::Arc;
use std::time::Duration;

use ochre_store::catalog::{DroppedDatabase, NodeEdit};
use ochre_types::DatabaseName;
use ochre_types::tombstone::{Erasure, Tombstone};

use super::{DeleteError, Receipt, undrop_until};
use crate::database::Database;
use crate::error::WriteError;
use crate::node::Node;

/// How often deletions are looked after.
const TEND: Duration = Duration::from_secs(10);

impl Node {
    /// Drops a database with all its tables. It can be brought back for as long as its rules say.
    pub async fn drop_database(&self, name: &DatabaseName) -> Result<Receipt, DeleteError> {
        let _one_at_a_time = self.creating.lock().await;
        let database = self.database(name).ok_or_else(|| match self.reason_not_served(name) {
            Some(reason) => WriteError::NotServed { name: name.clone(), reason },
            None => WriteError::UnknownDatabase(name.clone()),
        })?;
        let receipt = database.drop_all().await?;
        let undrop_until = receipt.undrop_until.unwrap_or_default();
        self.hide(database, DroppedDatabase { stamp: receipt.id, undrop_until }).await?;
        Ok(receipt)
    }

    /// Brings a dropped database back as it was.
    pub async fn undrop_database(&self, name: &DatabaseName) -> Result<Receipt, DeleteError> {
        let _one_at_a_time = self.creating.lock().await;
        let dropped = self.dropped.read().get(name).cloned();
        let database = match (dropped, self.database(name)) {
            (Some(database), _) => database,
            (None, Some(database)) if database.last_drop().is_some_and(|last| last.is_in_force()) => {
                return Err(DeleteError::MadeAgain(name.clone()));
            }
            (None, _) => return Err(DeleteError::NotDropped { what: format!("database {:?}", name.as_str()) }),
        };
        let last = database
            .last_drop()
            .ok_or_else(|| DeleteError::NotDropped { what: format!("database {:?}", name.as_str()) })?;
        // One whose drop was taken back just before the server ended only has to be shown again.
        let receipt = if last.is_in_force() { database.take_back(&last).await? } else { database.receipt_of(&last) };
        self.show(name, database, self.retention_of(name)).await?;
        Ok(receipt)
    }

    /// Shows a dropped database again under its own name, empty, with the rules of new databases. False if there is none.
    pub(crate) async fn make_again(&self, name: &DatabaseName, retention: Option<String>) -> Result<bool, WriteError> {
        let Some(database) = self.dropped.read().get(name).cloned() else { return Ok(false) };
        let reset = self.reset_rules(&database, retention.as_deref()).await;
        reset.map_err(|error| WriteError::Catalog(error.to_string()))?;
        self.show(name, database, retention).await?;
        Ok(true)
    }

    async fn show(
        &self,
        name: &DatabaseName,
        database: Arc<Database>,
        retention: Option<String>,
    ) -> Result<(), WriteError> {
        self.set_dropped(name, None, retention).await?;
        database.acceptor.admit();
        self.dropped.write().remove(name);
        self.databases.write().insert(name.clone(), database);
        Ok(())
    }

    /// Hides databases whose drop is in the log and not in the node's catalog: whoever dropped them did not wait.
    async fn finish_drops(&self) -> Result<(), WriteError> {
        let _one_at_a_time = self.creating.lock().await;
        for database in self.served_now().into_iter().filter(|database| database.acceptor.refuses()) {
            if let Some(last) = database.last_drop().filter(|last| last.is_in_force()) {
                let undrop_until = last.undrop_until().unwrap_or_default();
                self.hide(database, DroppedDatabase { stamp: last.stamp, undrop_until }).await?;
            }
        }
        Ok(())
    }

    async fn hide(&self, database: Arc<Database>, dropped: DroppedDatabase) -> Result<(), WriteError> {
        let name = database.name().clone();
        self.set_dropped(&name, Some(dropped), self.retention_of(&name)).await?;
        self.databases.write().remove(&name);
        self.dropped.write().insert(name, database);
        Ok(())
    }

    fn retention_of(&self, name: &DatabaseName) -> Option<String> {
        self.catalog.state().databases.get(name)?.retention.clone()
    }

    async fn set_dropped(
        &self,
        name: &DatabaseName,
        dropped: Option<DroppedDatabase>,
        retention: Option<String>,
    ) -> Result<(), WriteError> {
        let edit = NodeEdit::SetDropped { name: name.clone(), dropped, retention };
        self.catalog.commit(vec![edit]).await.map_err(|error| WriteError::Catalog(error.to_string()))?;
        Ok(())
    }

    /// Looks after the deletions of all databases, for ever.
    pub(crate) async fn tend_deletes(self: Arc<Self>) {
        loop {
            self.shared.env.clock.sleep(TEND).await;
            if let Err(error) = self.finish_drops().await {
                tracing::warn!(%error, "a dropped database is still shown: tried again");
            }
            for database in self.open_now() {
                if let Err(error) = database.tend_deletes().await {
                    tracing::warn!(database = %database.name(), %error, "deletions were not looked after: tried again");
                }
            }
        }
    }
}

impl Database {
    /// Drops everything in it, and takes no more writes.
    async fn drop_all(&self) -> Result<Receipt, DeleteError> {
        let drop = self.erase(|stamp, rules| {
            let undrop_until = undrop_until(stamp, rules);
            Ok(Tombstone::new(stamp, Erasure::Database { undrop_until }))
        });
        let dropped = drop.await;
        if dropped.is_err() {
            self.acceptor.admit();
        }
        dropped
    }

    /// The last drop of the whole database.
    fn last_drop(&self) -> Option<Arc<Tombstone>> {
        let known = self.buffer.tombstones();
        known.into_iter().rfind(|tombstone| matches!(tombstone.erasure, Erasure::Database { .. }))
    }

    fn receipt_of(&self, tombstone: &Arc<Tombstone>) -> Receipt {
        let now = self.shared.clock.now();
        self.deletes.receipt(self.name(), &self.catalog.state(), &self.buffer, tombstone, now)
    }
}
