//! Damage: listed, and looked for.

use ochre_database::damage::Found;
use ochre_database::scrub::ScrubOrder;
use ochre_store::catalog::ChunkId;
use ochre_types::token::Action;
use ochre_wire::v1;
use tonic::Status;

use super::super::call::Call;
use super::operations::{message, not_begun};
use crate::grpc::management::instant;
use crate::grpc::status::invalid;

/// What was found damaged, of databases that the caller may read. What concerns all is shown to whoever may read all.
pub async fn list(call: &Call, request: v1::ListDamageRequest) -> Result<v1::ListDamageResponse, Status> {
    let v1::ListDamageRequest {} = request;
    let sees = |found: &Found| match &found.damage.database {
        Some(database) => call.identity.may(Action::Read, database),
        None => call.require_everywhere(Action::Read).is_ok(),
    };
    let damage = call.node.damage().into_iter().filter(sees).map(damage).collect();
    Ok(v1::ListDamageResponse { damage })
}

fn damage(found: Found) -> v1::Damage {
    let damage = found.damage;
    v1::Damage {
        found: Some(instant(found.at_millis).into()),
        kind: damage.kind.to_string(),
        database: damage.database.map(|name| name.to_string()).unwrap_or_default(),
        table: damage.table.map(|name| name.to_string()).unwrap_or_default(),
        place: damage.place,
        what: damage.what,
        missing: damage.missing,
        advice: damage.advice,
    }
}

/// Begins to verify objects, or to put a chunk back.
pub async fn scrub(call: &Call, request: v1::ScrubRequest) -> Result<v1::Operation, Status> {
    let v1::ScrubRequest { database, remove_orphans, set_aside, restore } = request;
    if !restore.is_empty() {
        let wrong = |message: String| invalid("restore", format!("restore: {message}"));
        if remove_orphans || set_aside || database.is_empty() {
            return Err(wrong("it goes with a database, and with nothing else".to_owned()));
        }
        let chunk: ChunkId = restore.parse().map_err(|error| wrong(format!("{error}")))?;
        let database = call.database(Action::Manage, &database)?;
        let begun = call.node.begin_take_back(&database, chunk, call.by());
        return begun.map(message).map_err(|error| not_begun(&error));
    }
    let database = match database.as_str() {
        "" => {
            call.require_everywhere(Action::Manage)?;
            None
        }
        name => Some(call.database(Action::Manage, name)?.name().clone()),
    };
    let order = ScrubOrder { database, remove_orphans, set_aside, by: call.by() };
    call.node.scrub(order).map(message).map_err(|error| not_begun(&error))
}
