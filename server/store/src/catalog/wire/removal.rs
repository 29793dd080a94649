//! What is taken away: removed chunks, tombstones, closed partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ochre_types::matching::RowMatch;
use ochre_types::partition::PartitionKey;
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{Hlc, Incarnation, Stamp, TableName};

use super::columns::Column;
use super::database::read_name;
use super::{WireError, chunks, pb, read_stamp, write_stamp};
use crate::catalog::chunk::{ChunkId, Removal, RemovedChunk};
use crate::catalog::database::{Edit, PartitionName, TemplateId};

/// Writes chunks that are in no edit any more.
pub(super) fn write_removed(removed: &BTreeMap<ChunkId, RemovedChunk>) -> pb::RemovedChunks {
    let lost = removed.values().filter_map(|chunk| chunk.lost.as_ref());
    let mut out = pb::RemovedChunks { lost: Some(chunks::write(lost)), ..pb::RemovedChunks::default() };
    for (id, chunk) in removed {
        out.id_incarnation.push(id.incarnation.0);
        out.id_counter.push(id.counter);
        out.object.push(chunk.object.to_string());
        out.removed_hlc.push(chunk.at.0);
        out.reason.push(chunk.reason.code());
    }
    out
}

/// Reads what [`write_removed`] has written.
pub(super) fn read_removed(
    path: &str,
    removed: pb::RemovedChunks,
) -> Result<BTreeMap<ChunkId, RemovedChunk>, WireError> {
    let number = removed.id_counter.len();
    let mut objects = Column::new(path, "object", removed.object);
    let mut times = Column::new(path, "removed_hlc", removed.removed_hlc);
    let mut reasons = Column::new(path, "reason", removed.reason);
    let ids = read_ids(path, pb::ChunkIds { id_incarnation: removed.id_incarnation, id_counter: removed.id_counter })?;
    let lost = chunks::read(&format!("{path}.lost"), removed.lost.unwrap_or_default())?;
    let lost: BTreeMap<ChunkId, _> = lost.into_iter().map(|chunk| (chunk.id, chunk)).collect();
    let mut read = BTreeMap::new();
    for id in ids.into_iter().take(number) {
        let chunk = RemovedChunk {
            object: Arc::from(objects.next()?),
            at: Hlc(times.next()?),
            reason: read_reason(&mut reasons)?,
            lost: lost.get(&id).cloned(),
        };
        read.insert(id, chunk);
    }
    objects.end()?;
    times.end()?;
    reasons.end()?;
    Ok(read)
}

fn read_reason(reasons: &mut Column<u32>) -> Result<Removal, WireError> {
    let code = reasons.next()?;
    Removal::from_code(code)
        .ok_or_else(|| WireError::value(reasons.place(), format!("there is no reason {code} for a removal")))
}

/// Writes the edit that takes chunks out.
pub(super) fn write_removal(chunks: &[ChunkId], at: Hlc, reason: Removal) -> pb::RemovedChunks {
    let ids = write_ids(chunks);
    pb::RemovedChunks {
        id_incarnation: ids.id_incarnation,
        id_counter: ids.id_counter,
        object: Vec::new(),
        removed_hlc: vec![at.0],
        reason: vec![reason.code()],
        lost: None,
    }
}

/// Reads what [`write_removal`] has written.
pub(super) fn read_removal(path: &str, removal: pb::RemovedChunks) -> Result<Edit, WireError> {
    let mut times = Column::new(path, "removed_hlc", removal.removed_hlc);
    let mut reasons = Column::new(path, "reason", removal.reason);
    let chunks =
        read_ids(path, pb::ChunkIds { id_incarnation: removal.id_incarnation, id_counter: removal.id_counter })?;
    let edit = Edit::RemoveChunks { chunks, at: Hlc(times.next()?), reason: read_reason(&mut reasons)? };
    times.end()?;
    reasons.end()?;
    Ok(edit)
}

/// Writes identities of chunks.
pub(super) fn write_ids(chunks: &[ChunkId]) -> pb::ChunkIds {
    pb::ChunkIds {
        id_incarnation: chunks.iter().map(|id| id.incarnation.0).collect(),
        id_counter: chunks.iter().map(|id| id.counter).collect(),
    }
}

/// Reads what [`write_ids`] has written.
pub(super) fn read_ids(path: &str, ids: pb::ChunkIds) -> Result<Vec<ChunkId>, WireError> {
    let number = ids.id_counter.len();
    let mut incarnations = Column::new(path, "id_incarnation", ids.id_incarnation);
    let mut counters = Column::new(path, "id_counter", ids.id_counter);
    let mut read = Vec::with_capacity(number);
    for _ in 0..number {
        read.push(ChunkId { incarnation: Incarnation(incarnations.next()?), counter: counters.next()? });
    }
    incarnations.end()?;
    Ok(read)
}

/// Writes deletions.
pub(super) fn write_tombstones<'a>(tombstones: impl Iterator<Item = &'a Arc<Tombstone>>) -> pb::Tombstones {
    pb::Tombstones { tombstones: tombstones.map(|tombstone| write_tombstone(tombstone)).collect() }
}

fn write_tombstone(tombstone: &Tombstone) -> pb::Tombstone {
    use pb::tombstone::Erasure as PbErasure;
    let (erasure, undrop_until_hlc) = match &tombstone.erasure {
        Erasure::Rows { rows, time } => {
            let rows = pb::ErasedRows {
                tables: rows.tables.iter().map(ToString::to_string).collect(),
                predicate: rows.predicate.as_ref().map(ToString::to_string),
                time_min: time.0,
                time_max: time.1,
            };
            (PbErasure::Rows(rows), 0)
        }
        Erasure::Table { table, undrop_until } => (PbErasure::Table(table.to_string()), undrop_until.0),
        Erasure::Database { undrop_until } => (PbErasure::Database(true), undrop_until.0),
    };
    pb::Tombstone {
        stamp: Some(write_stamp(tombstone.stamp)),
        erasure: Some(erasure),
        undrop_until_hlc,
        reverted: tombstone.reverted.map(write_stamp),
    }
}

/// Reads what [`write_tombstones`] has written.
pub(super) fn read_tombstones(path: &str, list: pb::Tombstones) -> Result<Vec<Arc<Tombstone>>, WireError> {
    let read = |(index, tombstone)| read_tombstone(&format!("{path}.tombstones[{index}]"), tombstone).map(Arc::new);
    list.tombstones.into_iter().enumerate().map(read).collect()
}

fn read_tombstone(path: &str, tombstone: pb::Tombstone) -> Result<Tombstone, WireError> {
    use pb::tombstone::Erasure as PbErasure;
    let at = |field: &str| format!("{path}.{field}");
    let undrop_until = Hlc(tombstone.undrop_until_hlc);
    let erasure = match tombstone.erasure.ok_or_else(|| WireError::missing(at("erasure")))? {
        PbErasure::Rows(rows) => read_rows(&at("rows"), rows)?,
        PbErasure::Table(table) => {
            Erasure::Table { table: read_name(&at("table"), &table, TableName::new)?, undrop_until }
        }
        PbErasure::Database(_) => Erasure::Database { undrop_until },
    };
    let reverted = tombstone.reverted.map(|stamp| read_stamp(&at("reverted"), Some(stamp))).transpose()?;
    Ok(Tombstone { stamp: read_stamp(&at("stamp"), tombstone.stamp)?, erasure, reverted })
}

fn read_rows(path: &str, rows: pb::ErasedRows) -> Result<Erasure, WireError> {
    let mut tables = Vec::with_capacity(rows.tables.len());
    for (index, pattern) in rows.tables.iter().enumerate() {
        let pattern = pattern.parse().map_err(|error| WireError::value(format!("{path}.tables[{index}]"), error))?;
        tables.push(pattern);
    }
    let predicate = rows.predicate.map(|text| text.parse()).transpose();
    let predicate = predicate.map_err(|error| WireError::value(format!("{path}.predicate"), error))?;
    Ok(Erasure::Rows { rows: RowMatch { tables, predicate }, time: (rows.time_min, rows.time_max) })
}

/// Writes the stamps of deletions, which is all that forgetting them needs.
pub(super) fn write_stamps(stamps: &[Stamp]) -> pb::Tombstones {
    let only = |stamp: &Stamp| pb::Tombstone { stamp: Some(write_stamp(*stamp)), ..pb::Tombstone::default() };
    pb::Tombstones { tombstones: stamps.iter().map(only).collect() }
}

/// Reads what [`write_stamps`] has written.
pub(super) fn read_stamps(path: &str, list: pb::Tombstones) -> Result<Vec<Stamp>, WireError> {
    let stamps = list.tombstones.into_iter().enumerate();
    stamps.map(|(index, entry)| read_stamp(&format!("{path}.tombstones[{index}].stamp"), entry.stamp)).collect()
}

/// Writes partitions that are closed or opened together.
pub(super) fn write_partitions<'a>(
    partitions: impl Iterator<Item = &'a PartitionName>,
    read_only: bool,
) -> pb::Partitions {
    let mut out = pb::Partitions::default();
    for partition in partitions {
        out.table.push(partition.table.to_string());
        out.template.push(partition.template.0);
        out.partition_key.push(partition.key.as_str().to_owned());
        out.read_only.push(read_only);
    }
    out
}

/// Reads what [`write_partitions`] has written: those closed, and those opened.
pub(super) fn read_partitions(
    path: &str,
    partitions: pb::Partitions,
) -> Result<(BTreeSet<PartitionName>, BTreeSet<PartitionName>), WireError> {
    let number = partitions.table.len();
    let mut tables = Column::new(path, "table", partitions.table);
    let mut templates = Column::new(path, "template", partitions.template);
    let mut keys = Column::new(path, "partition_key", partitions.partition_key);
    let mut flags = Column::new(path, "read_only", partitions.read_only);
    let (mut closed, mut opened) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..number {
        let (table, key) = (tables.next()?, keys.next()?);
        let partition = PartitionName {
            table: read_name(&tables.place(), &table, TableName::new)?,
            template: TemplateId(templates.next()?),
            key: read_name(&keys.place(), &key, |text| PartitionKey::new(&text))?,
        };
        if flags.next()? {
            closed.insert(partition)
        } else {
            opened.insert(partition)
        };
    }
    templates.end()?;
    keys.end()?;
    flags.end()?;
    Ok((closed, opened))
}
