//! Looks at a node's prefix and log without claiming either: what the catalogs have, and what the log holds beyond
//! them, which was accepted and is in no Parquet yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use ochre_batch::{Rows, TableRows, codec, split};
use ochre_env::Env;
use ochre_log::{DirectoryReader, FrameKind, Inspection, LogError, ReadItem};
use ochre_store::catalog::{Catalog, CatalogState, LoadError, LogRange, NodeCatalog};
use ochre_store::epoch::{self, ClaimError, EpochRecord};
use ochre_store::object::Layout;
use ochre_types::partition::{PartitionKey, Template};
use ochre_types::{DatabaseName, LogId, Sequence, TableName};

/// What was found of a node.
#[derive(Debug)]
pub struct Report {
    /// The highest claim of its prefix; `None` if it was never claimed.
    pub owner: Option<EpochRecord>,
    /// The log that its catalog names.
    pub log_id: Option<LogId>,
    /// Its databases by name.
    pub databases: Vec<DatabaseReport>,
    /// The log, where one was given or is in the object store.
    pub log: Option<Inspection>,
}

/// What was found of a database.
#[derive(Debug)]
pub struct DatabaseReport {
    /// Its name.
    pub name: DatabaseName,
    /// What its catalog has; or why it could not be read.
    pub catalog: Result<CatalogReport, String>,
    /// What the log holds beyond the catalog, where a log was given.
    pub in_log_only: Option<InLogOnly>,
}

/// What a database's catalog has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogReport {
    /// The newest revision.
    pub revision: u64,
    /// Tables.
    pub tables: u64,
    /// Chunks.
    pub chunks: u64,
    /// Rows in chunks, counting versions of one key apart.
    pub rows: u64,
    /// Bytes of the chunks' objects.
    pub bytes: u64,
    /// Up to where which log is in chunks.
    pub low_water: Option<(LogId, Sequence)>,
    /// Chunks that were taken out and whose objects may still be there; those set aside are not among them.
    pub removed: u64,
    /// Chunks that are damaged and set aside.
    pub set_aside: u64,
    /// Their rows, which are missing.
    pub set_aside_rows: u64,
    /// Deletions that act.
    pub tombstones: u64,
    /// Chunks whose rows are settled.
    pub settled: u64,
    /// Chunks whose objects have no checksums.
    pub unchecked: u64,
    /// Revisions that are damaged and took nothing away.
    pub damaged: Vec<String>,
}

/// What a log holds of a database that is in no chunk of its catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InLogOnly {
    /// Batches with at least one such row.
    pub batches: u64,
    /// Such rows, counting repeated keys.
    pub rows: u64,
    /// The sequences of the first and the last such batch.
    pub range: Option<(Sequence, Sequence)>,
    /// Of the rows, those known to be durable, and so maybe acknowledged: at or below the last synced mark.
    pub durable_rows: u64,
    /// When the first and the last such batch were accepted: milliseconds since 1970-01-01 UTC, by the hybrid clock.
    pub accepted: Option<(u64, u64)>,
    /// Stretches of the log that can't be read.
    pub damaged: u64,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The epochs can't be read.
    #[error(transparent)]
    Epoch(#[from] ClaimError),
    /// The node's catalog can't be read.
    #[error(transparent)]
    Catalog(#[from] LoadError),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Looks at the node whose objects `layout` names, and at its log: in a directory where one is given, else in the
/// object store. Changes nothing.
pub async fn inspect(
    env: &Env,
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    log_dir: Option<PathBuf>,
) -> Result<Report, InspectError> {
    let owner = epoch::current(objects, layout, env).await?;
    let node = NodeCatalog::load(objects, layout, env).await?.map(|(_, state)| state);
    let mut states = BTreeMap::new();
    let mut databases = BTreeMap::new();
    for name in node.iter().flat_map(|node| node.databases.keys()) {
        let (catalog, state) = match Catalog::look(objects, layout, env, name).await {
            Ok(Some((revision, state, damaged))) => {
                let damaged = damaged.iter().map(ToString::to_string).collect();
                (Ok(CatalogReport { damaged, ..report(revision.0, &state) }), Some(state))
            }
            Ok(None) => (Ok(CatalogReport::default()), None),
            Err(error) => (Err(error.to_string()), None),
        };
        states.extend(state.map(|state| (name.clone(), state)));
        databases.insert(name.clone(), DatabaseReport { name: name.clone(), catalog, in_log_only: None });
    }
    let mut log = None;
    if let Some((inspection, reader)) = log_of(env, objects, layout, log_dir).await? {
        for (name, only) in in_log_only(reader, &inspection, &states).await? {
            let unknown =
                || DatabaseReport { name: name.clone(), catalog: Ok(CatalogReport::default()), in_log_only: None };
            databases.entry(name.clone()).or_insert_with(unknown).in_log_only = Some(only);
        }
        log = Some(inspection);
    }
    Ok(Report { owner, log_id: node.and_then(|node| node.log_id), databases: databases.into_values().collect(), log })
}

fn report(revision: u64, state: &CatalogState) -> CatalogReport {
    let lost = || state.removed.values().filter_map(|removed| removed.lost.as_ref());
    CatalogReport {
        revision,
        tables: state.tables.len() as u64,
        chunks: state.chunks().count() as u64,
        rows: state.chunks().map(|chunk| chunk.rows).sum(),
        bytes: state.chunks().map(|chunk| chunk.size_bytes).sum(),
        low_water: state.low_water.map(|mark| (mark.log, mark.sequence)),
        removed: state.removed.values().filter(|removed| removed.lost.is_none()).count() as u64,
        set_aside: lost().count() as u64,
        set_aside_rows: lost().map(|chunk| chunk.rows).sum(),
        tombstones: state.tombstones.values().filter(|tombstone| tombstone.reverted.is_none()).count() as u64,
        settled: state.chunks().filter(|chunk| chunk.settled.is_some()).count() as u64,
        unchecked: state.chunks().filter(|chunk| chunk.checksums.is_empty()).count() as u64,
        damaged: Vec::new(),
    }
}

/// The chunks of one table that came from one log: by template and partition, the frames of which each has its rows.
#[derive(Default)]
struct Covered(BTreeMap<u64, (Template, BTreeMap<PartitionKey, Vec<LogRange>>)>);

/// What one log's chunks cover, by table.
fn covered(state: &CatalogState, log: LogId) -> BTreeMap<TableName, Covered> {
    let mut covered: BTreeMap<TableName, Covered> = BTreeMap::new();
    for chunk in state.chunks().filter(|chunk| chunk.log.log == log) {
        // Chunks of a template that this release can't read count for nothing: rather too much is reported than too
        // little.
        let Some(Ok(template)) = state.templates.get(&chunk.template).map(|text| text.parse()) else { continue };
        let table = covered.entry(chunk.table.clone()).or_default();
        let (_, partitions) = table.0.entry(chunk.template.0).or_insert_with(|| (template, BTreeMap::new()));
        partitions.entry(chunk.partition_key.clone()).or_default().push(chunk.log);
    }
    covered
}

impl Covered {
    /// Of the rows of a frame, how many are in no chunk. Rules may have changed in between, so each template that there
    /// are chunks of is asked.
    fn left_of(&self, part: &TableRows, sequence: Sequence) -> usize {
        let mut left = vec![part.rows.clone()];
        for (template, partitions) in self.0.values() {
            let has = |key: &PartitionKey| {
                let mut ranges = partitions.get(key).into_iter().flatten();
                ranges.any(|range| range.first <= sequence && sequence <= range.last)
            };
            let parts = left.iter().flat_map(|rows| split::split(&part.table, rows, template));
            left = parts.filter(|(key, _)| !has(key)).map(|(_, rows)| rows).collect();
        }
        left.iter().map(Rows::len).sum()
    }
}

/// The log: in the directory that was given, else in the object store, if there is one.
async fn log_of(
    env: &Env,
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    dir: Option<PathBuf>,
) -> Result<Option<(Inspection, DirectoryReader)>, LogError> {
    if let Some(dir) = dir {
        let inspection = ochre_log::inspect(&env.disk, &env.compute, dir.clone()).await?;
        return Ok(Some((inspection, DirectoryReader::open(&env.disk, &env.compute, dir).await?)));
    }
    let inspection = ochre_log::inspect_objects(env, objects.clone(), layout.log()).await?;
    if inspection.log_id.is_none() {
        return Ok(None);
    }
    let reader = DirectoryReader::open_objects(env, objects.clone(), layout.log()).await?;
    Ok(Some((inspection, reader)))
}

async fn in_log_only(
    mut reader: DirectoryReader,
    inspection: &Inspection,
    states: &BTreeMap<DatabaseName, CatalogState>,
) -> Result<BTreeMap<DatabaseName, InLogOnly>, LogError> {
    let log = inspection.log_id.unwrap_or_default();
    let covered: BTreeMap<&DatabaseName, BTreeMap<TableName, Covered>> =
        states.iter().map(|(name, state)| (name, covered(state, log))).collect();
    let mut found: BTreeMap<DatabaseName, InLogOnly> =
        inspection.databases.keys().map(|name| (name.clone(), InLogOnly::default())).collect();
    while let Some(item) = reader.next().await? {
        let frame = match item {
            ReadItem::Frame(frame) if frame.header.kind == FrameKind::Rows => frame,
            ReadItem::Frame(_) | ReadItem::Gap { .. } => continue,
            ReadItem::Damage(damage) => {
                tracing::warn!(?damage, "a part of the log can't be read");
                found.values_mut().for_each(|only| only.damaged += 1);
                continue;
            }
        };
        let (database, sequence) = (frame.header.database.clone(), frame.header.sequence);
        let only = found.entry(database.clone()).or_default();
        let Ok(batch) = codec::decode(frame.payload) else {
            only.damaged += 1;
            continue;
        };
        let chunks = covered.get(&database);
        let rows = batch.tables().iter().map(|part| match chunks.and_then(|chunks| chunks.get(&part.table)) {
            Some(covered) => covered.left_of(part, sequence) as u64,
            None => part.rows.len() as u64,
        });
        let rows: u64 = rows.sum();
        if rows > 0 {
            let durable = inspection.databases.get(&database).is_some_and(|log| sequence <= log.synced_through);
            only.batches += 1;
            only.rows += rows;
            only.durable_rows += if durable { rows } else { 0 };
            only.range = Some((only.range.map_or(sequence, |(first, _)| first), sequence));
            let accepted = frame.header.stamp.hlc.millis();
            let (first, last) = only.accepted.unwrap_or((accepted, accepted));
            only.accepted = Some((first.min(accepted), last.max(accepted)));
        }
    }
    Ok(found)
}
