//! Backups: made, and brought back.

use ochre_database::backup::{RestoreOrder, Target};
use ochre_store::object::Settings;
use ochre_types::DatabaseName;
use ochre_types::token::Action;
use ochre_wire::{name, v1};
use tonic::Status;

use super::super::call::{Call, invalid};
use super::operations::{message, not_begun};
use crate::grpc::status::invalid as invalid_field;

/// Begins a backup.
pub async fn create(call: &Call, request: v1::CreateBackupRequest) -> Result<v1::Operation, Status> {
    call.require_everywhere(Action::Manage)?;
    let databases = databases(&request.databases)?;
    let target = target(call, "to", &request.to).await?;
    tracing::info!(to = shown(&request.to), by = call.identity.name(), "a backup begins");
    let begun = call.node.begin_backup(target, shown(&request.to), databases, call.by());
    begun.map(message).map_err(|error| not_begun(&error))
}

/// Begins to bring a backup back.
pub async fn restore(call: &Call, request: v1::RestoreBackupRequest) -> Result<v1::Operation, Status> {
    call.require_everywhere(Action::Manage)?;
    let backup = match request.backup.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|error| invalid_field("backup", format!("backup: {error}")))?),
    };
    let new_name = match request.r#as.as_str() {
        "" => None,
        text => Some(name::database("as", text).map_err(|error| invalid(&error))?),
    };
    let order = RestoreOrder { backup, databases: databases(&request.databases)?, new_name };
    let target = target(call, "from", &request.from).await?;
    tracing::info!(from = shown(&request.from), by = call.identity.name(), "a restore begins");
    let begun = call.node.begin_restore(target, shown(&request.from), order, call.by());
    begun.map(message).map_err(|error| not_begun(&error))
}

fn databases(names: &[String]) -> Result<Vec<DatabaseName>, Status> {
    names.iter().map(|text| name::database("databases", text).map_err(|error| invalid(&error))).collect()
}

/// A URL without what may be secret in it.
fn shown(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut url) if url.has_host() => {
            // Neither can fail where there is a host.
            let _ = url.set_password(None);
            let _ = url.set_username("");
            url.set_query(None);
            url.to_string()
        }
        _ => url.to_owned(),
    }
}

/// Opens the store of backups: as the server's own is reached, where it is one of that kind.
async fn target(call: &Call, field: &'static str, url: &str) -> Result<Target, Status> {
    let wrong = |message: String| invalid_field(field, format!("{field}: {message}"));
    if url.is_empty() {
        return Err(wrong("give the URL of an object store's folder".to_owned()));
    }
    let (own, settings) = call.app.reached.get().cloned().unwrap_or_default();
    if url.trim_end_matches('/') == own.trim_end_matches('/') {
        return Err(wrong("this is the server's own object store: give a backup a folder of its own".to_owned()));
    }
    let scheme = |url: &str| url.split(':').next().map(str::to_owned);
    let settings = if scheme(url) == scheme(&own) { settings } else { Settings::environment() };
    let env = call.node.env();
    let opened = ochre_store::object::open_with(url, &settings, &env).await;
    let opened = opened.map_err(|error| wrong(error.to_string()))?;
    Ok(Target { objects: opened.store, env })
}
