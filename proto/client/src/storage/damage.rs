//! Damage: listed, and looked for.

use ochre_types::DatabaseName;
use ochre_wire::v1;

use super::{Client, Storage};
use crate::error::Error;
use crate::retry::Repeat;

/// What a scrub is to do beside looking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrub {
    /// Only this database; `None`: all.
    pub database: Option<DatabaseName>,
    /// Remove objects that nothing names.
    pub remove_orphans: bool,
    /// Take damaged chunks out, so that queries answer without them.
    pub set_aside: bool,
    /// Only put this chunk of the database back, which is set aside.
    pub restore: Option<String>,
}

impl Storage {
    /// What was found damaged, as far as the token may know.
    pub async fn damage(&self) -> Result<Vec<v1::Damage>, Error> {
        let send = |mut client: Client, request| async move { client.list_damage(request).await };
        Ok(self.call(Repeat::Always, v1::ListDamageRequest {}, send).await?.damage)
    }

    /// Begins to verify the objects of the store against the catalogs.
    pub async fn scrub(&self, scrub: &Scrub) -> Result<v1::Operation, Error> {
        let request = v1::ScrubRequest {
            database: scrub.database.as_ref().map(ToString::to_string).unwrap_or_default(),
            remove_orphans: scrub.remove_orphans,
            set_aside: scrub.set_aside,
            restore: scrub.restore.clone().unwrap_or_default(),
        };
        let send = |mut client: Client, request| async move { client.scrub(request).await };
        self.call(Repeat::IfNotSent, request, send).await
    }
}
