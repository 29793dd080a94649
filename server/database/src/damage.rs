//! What was found damaged on a node, and chunks that are set aside for it.
//!
//! Damage is found by whoever reads: opening the log and the catalogs, queries, compaction, scrubbing. All of it is in
//! one registry, for as long as the process runs. What was set aside is in the catalogs as well, so that what is missing
//! is named for as long as it is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ochre_log::Opened;
use ochre_store::catalog::{ChunkId, ChunkMeta, CommitError, DamagedRevision, Edit, Removal, RemovedChunk};
pub(crate) use ochre_store::damage::span_text;
use ochre_types::DatabaseName;

use crate::database::Database;
use crate::node::Node;

pub use ochre_store::damage::{Damage, DamageKind, DamageRegistry, Found};

/// What to do about a damaged revision of which a copy is sound.
const SOUND_COPY: &str = "nothing is missing; look at the disk or the store that spoiled it";
/// What to do about a catalog that can't be opened.
const LOST_REVISION: &str = "restore the object from a backup or another copy of the prefix, or stop the server and see what ochre catalog \
     repair can bring back";
/// What to do about a damaged log.
const LOST_FRAMES: &str = "stop the server and run ochre log repair on its directory, which says what is lost";

/// Why a chunk was not set aside, or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// It is not set aside.
    #[error("chunk {chunk} of database {database} is not set aside: ochre damage list names those that are")]
    NotAside {
        /// The database.
        database: DatabaseName,
        /// What was asked for.
        chunk: ChunkId,
    },
    /// Its object can't be read as it was written.
    #[error("chunk {chunk} stays set aside: {reason}")]
    StillDamaged {
        /// The chunk.
        chunk: ChunkId,
        /// What is wrong.
        reason: String,
    },
    /// No stamp could be given.
    #[error("no more stamps are reserved in the catalog, as the object store does not answer: try again later")]
    NoStamps,
    /// The catalog did not take the change.
    #[error("the catalog did not take the change: {0}")]
    Commit(#[from] CommitError),
}

impl Node {
    /// What is damaged, by kind and place, and what is missing as it was set aside.
    pub fn damage(&self) -> Vec<Found> {
        let found = self.damage.list().into_iter();
        let mut all: BTreeMap<_, _> =
            found.map(|found| ((found.damage.kind, found.damage.place.clone()), found)).collect();
        for database in self.open_now() {
            let state = database.catalog.state();
            for (id, removed) in &state.removed {
                let Some(lost) = &removed.lost else { continue };
                let found = self.aside(database.name(), *id, removed, lost);
                all.insert((found.damage.kind, found.damage.place.clone()), found);
            }
        }
        all.into_values().collect()
    }

    /// How often damage was found since the server was started, by kind.
    pub fn damage_totals(&self) -> BTreeMap<DamageKind, u64> {
        self.damage.totals()
    }

    fn aside(&self, database: &DatabaseName, id: ChunkId, removed: &RemovedChunk, lost: &ChunkMeta) -> Found {
        let damage = Damage {
            kind: DamageKind::Object,
            database: Some(database.clone()),
            table: Some(lost.table.clone()),
            place: self.owner.layout.object(database, &removed.object).to_string(),
            what: format!("chunk {id} is set aside: queries answer without it"),
            missing: format!(
                "{} rows of partition {:?}, {}",
                lost.rows,
                lost.partition_key.as_str(),
                span_text(lost.time)
            ),
            advice: format!("bring the object back, then: ochre scrub --database {database} --restore {id}"),
        };
        Found { at_millis: removed.at.millis(), damage }
    }

    /// Takes a damaged chunk out of its database: from now on queries answer without it. Its object stays.
    pub(crate) async fn set_aside(&self, database: &Database, meta: &ChunkMeta) -> Result<(), AsideError> {
        let at = self.shared.clock.stamp().ok_or(AsideError::NoStamps)?.hlc;
        let edit = Edit::RemoveChunks { chunks: vec![meta.id], at, reason: Removal::SetAside };
        database.catalog.commit(vec![edit]).await?;
        database.buffer.set_aside(&BTreeSet::from([meta.id]));
        let place = self.owner.layout.object(database.name(), &meta.object);
        self.damage.resolve(DamageKind::Object, place.as_ref());
        tracing::warn!(
            database = %database.name(), table = %meta.table, chunk = %meta.id, rows = meta.rows, times = span_text(meta.time),
            "a damaged chunk was set aside: queries answer without its rows"
        );
        Ok(())
    }

    /// Puts a chunk back that was set aside, if its object is again as it was written.
    pub async fn take_back(&self, database: &Database, chunk: ChunkId) -> Result<Arc<ChunkMeta>, AsideError> {
        let state = database.catalog.state();
        let lost = state.removed.get(&chunk).and_then(|removed| removed.lost.clone());
        let meta = lost.ok_or_else(|| AsideError::NotAside { database: database.name().clone(), chunk })?;
        let verified = self.objects.verify(&self.owner.layout, database.name(), &meta).await;
        verified.map_err(|error| AsideError::StillDamaged { chunk, reason: error.to_string() })?;
        self.objects.know(&self.owner.layout, database.name(), &meta);
        database.catalog.commit(vec![Edit::ReturnChunks { chunks: vec![chunk] }]).await?;
        let template = state.templates.get(&meta.template).and_then(|text| text.parse().ok()).map(Arc::new);
        let path = self.owner.layout.object(database.name(), &meta.object);
        self.damage.resolve(DamageKind::Object, path.as_ref());
        database.buffer.take_back(meta.clone(), path, template);
        tracing::info!(database = %database.name(), %chunk, rows = meta.rows, "a chunk that was set aside is back");
        Ok(meta)
    }
}

/// Notes what opening the log has found, and logged.
pub(crate) fn report_log(registry: &DamageRegistry, opened: &Opened) {
    for damage in &opened.damage {
        let lost = damage.sequences.iter().map(|(database, (first, last))| format!("{database}: {first} to {last}"));
        let lost = lost.collect::<Vec<_>>().join(", ");
        let only = damage.sequences.keys().next().filter(|_| damage.sequences.len() == 1);
        registry.note(Damage {
            kind: DamageKind::Log,
            database: only.cloned(),
            table: None,
            place: format!("{} at byte {}, {} bytes", damage.file, damage.offset, damage.length),
            what: damage.cause.to_string(),
            missing: if lost.is_empty() { "not known".to_owned() } else { format!("frames of {lost}") },
            advice: LOST_FRAMES.to_owned(),
        });
    }
}

/// Notes revisions of a catalog that are damaged and took nothing away.
pub(crate) fn report_copies(registry: &DamageRegistry, database: Option<&DatabaseName>, revisions: &[DamagedRevision]) {
    for revision in revisions {
        report_revision(registry, database, revision, "nothing", SOUND_COPY);
    }
}

/// Notes revisions without which a catalog can't be opened.
pub(crate) fn report_lost(registry: &DamageRegistry, database: &DatabaseName, revisions: &[DamagedRevision]) {
    for revision in revisions {
        report_revision(registry, Some(database), revision, "the whole database is not served", LOST_REVISION);
    }
}

fn report_revision(
    registry: &DamageRegistry,
    database: Option<&DatabaseName>,
    revision: &DamagedRevision,
    missing: &str,
    advice: &str,
) {
    registry.report(Damage {
        kind: DamageKind::Catalog,
        database: database.cloned(),
        table: None,
        place: revision.object.clone(),
        what: format!("revision {}: {}", revision.revision, revision.reason),
        missing: missing.to_owned(),
        advice: advice.to_owned(),
    });
}
