//! A chunk's entry for the catalog, made from its object alone: for a catalog that has lost the one it had.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_env::Compute;
use ochre_types::partition::PartitionKey;
use ochre_types::{
    ColumnId, ColumnKind, ColumnName, Hlc, Incarnation, IntervalSet, LogId, Sequence, Stamp, TIME_COLUMN, TableName,
};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::statistics::Statistics;

use crate::catalog::{CatalogState, ChunkId, ChunkMeta, Edit, LogRange, SortedBy, TemplateId};
use crate::footer::{Footer, FooterError, read_footer};
use crate::object::verified::checksums;
use crate::parquet::{FORMAT, kind_of};

/// Why no entry can be made of an object.
#[derive(Debug, thiserror::Error)]
pub enum ReadoptError {
    /// Its footer can't be read.
    #[error(transparent)]
    Footer(#[from] FooterError),
    /// The store did not answer.
    #[error("reading {object}: {source}")]
    Store {
        /// The object.
        object: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// Its metadata lacks something, or something that can't be.
    #[error("{object} can't be taken in again: {reason}")]
    Unclear {
        /// The object.
        object: String,
        /// What is not clear.
        reason: String,
    },
}

/// An entry for the catalog, and the edits that add it.
#[derive(Debug, Clone)]
pub struct Readopted {
    /// The chunk. Its log positions are not known, its keys not taken for unique.
    pub meta: Arc<ChunkMeta>,
    /// Its table, columns and order, as far as the catalog lacks them, and the chunk.
    pub edits: Vec<Edit>,
}

/// Makes an entry of the object at `path`, of `size` bytes, which the database's folder holds as `object`.
///
/// # Errors
/// If the object can't be read, or does not say all that the catalog must know.
pub async fn readopt(
    store: &Arc<dyn ObjectStore>,
    compute: &Compute,
    state: &CatalogState,
    path: &Path,
    object: &str,
    size: u64,
) -> Result<Readopted, ReadoptError> {
    let footer = read_footer(store, compute, path, size).await?;
    let failed = |source| ReadoptError::Store { object: path.to_string(), source };
    let bytes = store.get(path).await.map_err(failed)?.bytes().await.map_err(failed)?;
    let sums = compute.run(move || checksums(&bytes)).await;
    let unclear = |reason| ReadoptError::Unclear { object: path.to_string(), reason };
    let mut meta = entry(&footer, object, size, state).map_err(unclear)?;
    meta.checksums = sums;
    let columns = columns(&footer, meta.stamps.0).map_err(unclear)?;
    let table = || meta.table.clone();
    let mut edits = vec![Edit::CreateTable { table: table() }, Edit::AddColumns { table: table(), columns }];
    let orders = state.tables.get(&meta.table).map(|table| &table.sort_orders);
    match orders.filter(|orders| !orders.is_empty()) {
        // An order that the catalog does not know is none: such a chunk is sorted again when it is merged.
        Some(orders) => {
            let known = orders.iter().find(|(_, columns)| **columns == meta.sorted_by.columns);
            meta.sorted_by.version = known.map_or(0, |(version, _)| *version);
        }
        None => {
            meta.sorted_by.version = 1;
            edits.push(Edit::AddSortOrder { table: table(), version: 1, columns: meta.sorted_by.columns.clone() });
        }
    }
    let meta = Arc::new(meta);
    edits.push(Edit::AddChunks { chunks: vec![meta.clone()] });
    Ok(Readopted { meta, edits })
}

fn entry(footer: &Footer, object: &str, size: u64, state: &CatalogState) -> Result<ChunkMeta, String> {
    let text = |key: &str| footer.metadata.get(key).map(String::as_str).ok_or_else(|| format!("it has no {key}"));
    let read = |key: &str, what: &str| format!("its {key} is no {what}");
    if text("ochre.format")? != FORMAT {
        return Err(format!("its format is not {FORMAT}"));
    }
    if text("ochre.database")? != state.database.as_str() {
        return Err(format!("it is of database {:?}", text("ochre.database")?));
    }
    let template = u64::from_str_radix(text("ochre.template_id")?, 16).map_err(|_| read("ochre.template_id", "id"))?;
    let template = TemplateId(template);
    if !state.templates.contains_key(&template) {
        return Err(format!("the catalog does not know its partition template {template}"));
    }
    let id: ChunkId = text("ochre.chunk")?.parse().map_err(|error| format!("{error}"))?;
    let (low, high) = text("ochre.stamps")?.split_once("..=").ok_or_else(|| read("ochre.stamps", "pair of stamps"))?;
    let stamps = stamp(low).zip(stamp(high)).ok_or_else(|| read("ochre.stamps", "pair of stamps"))?;
    let sort = text("ochre.sort")?.split('\u{1f}').filter(|name| !name.is_empty()).map(ColumnName::new);
    let sort: Vec<ColumnName> = sort.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let settled =
        footer.metadata.get("ochre.settled").map(|text| hlc(text).ok_or_else(|| read("ochre.settled", "time")));
    Ok(ChunkMeta {
        id,
        table: TableName::new(text("ochre.table")?).map_err(|error| error.to_string())?,
        partition_key: PartitionKey::new(text("ochre.partition_key")?).map_err(|error| error.to_string())?,
        template,
        object: object.into(),
        size_bytes: size,
        rows: footer.rows,
        time: times(footer).ok_or("it has no statistics of its times")?,
        stamps,
        unique_keys: false,
        level: 0,
        sorted_by: SortedBy { version: 0, columns: sort.into() },
        log: LogRange { log: LogId(0), first: Sequence::ZERO, last: Sequence::ZERO },
        stats: Vec::new(),
        intervals: batches(footer.metadata.get("ochre.batches").map_or("", String::as_str))
            .ok_or_else(|| read("ochre.batches", "list of batches"))?,
        settled: settled.transpose()?,
        applied: Arc::default(),
        checksums: Arc::default(),
    })
}

fn columns(footer: &Footer, first_seen: Stamp) -> Result<Vec<(ColumnId, Stamp)>, String> {
    let file = footer.parquet.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
    let schema = schema.map_err(|error| error.to_string())?;
    let mut columns = Vec::new();
    for field in schema.fields() {
        let Some(kind) = kind_of(field) else { continue };
        // A name's second type is stored as `name::type`.
        let suffix = match kind {
            ColumnKind::Field(of) => format!("::{of}"),
            ColumnKind::Tag => "::tag".to_owned(),
            ColumnKind::Time => String::new(),
        };
        let plain = field.name().strip_suffix(&suffix).filter(|plain| !plain.is_empty()).unwrap_or(field.name());
        let name = ColumnName::new(plain).map_err(|error| error.to_string())?;
        columns.push((ColumnId { name, kind }, first_seen));
    }
    Ok(columns)
}

/// The lowest and the highest time of all row groups.
fn times(footer: &Footer) -> Option<(i64, i64)> {
    let mut range: Option<(i64, i64)> = None;
    for group in footer.parquet.row_groups() {
        let column = group.columns().iter().find(|column| column.column_path().string() == TIME_COLUMN)?;
        let Statistics::Int64(times) = column.statistics()? else { return None };
        let (low, high) = (*times.min_opt()?, *times.max_opt()?);
        range = Some(range.map_or((low, high), |(first, last)| (first.min(low), last.max(high))));
    }
    range
}

fn hlc(text: &str) -> Option<Hlc> {
    let (millis, counter) = text.split_once('.')?;
    let counter: u16 = counter.parse().ok()?;
    Some(Hlc(Hlc::from_millis(millis.parse().ok()?).0 | u64::from(counter)))
}

fn stamp(text: &str) -> Option<Stamp> {
    let (clock, incarnation) = text.split_once('@')?;
    Some(Stamp { hlc: hlc(clock)?, incarnation: Incarnation(u64::from_str_radix(incarnation, 16).ok()?) })
}

/// Reads `origin:first-last,first-last;` for each origin.
fn batches(text: &str) -> Option<BTreeMap<Incarnation, IntervalSet>> {
    let mut all = BTreeMap::new();
    for origin in text.split_terminator(';') {
        let (origin, intervals) = origin.split_once(':')?;
        let origin = Incarnation(u64::from_str_radix(origin, 16).ok()?);
        let mut set = IntervalSet::new();
        for interval in intervals.split(',') {
            let (first, last) = interval.split_once('-')?;
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if first > last {
                return None;
            }
            set.insert(first, last);
        }
        all.insert(origin, set);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let given = Stamp { hlc: Hlc(Hlc::from_millis(1_700_000_000_123).0 | 77), incarnation: Incarnation(0xab) };
        assert_eq!(stamp(&given.to_string()), Some(given));
        assert_eq!(hlc(&given.hlc.to_string()), Some(given.hlc));
        for wrong in ["", "1", "1.x@2", "1.99999@2", "1.2@z"] {
            assert_eq!(stamp(wrong), None, "{wrong}");
        }
        let read = batches("00000000000000ab:1-3,7-7;0000000000000001:2-2;").unwrap();
        assert_eq!(read[&Incarnation(0xab)].iter().collect::<Vec<_>>(), [(1, 3), (7, 7)]);
        assert_eq!(read[&Incarnation(1)].iter().collect::<Vec<_>>(), [(2, 2)]);
        assert_eq!(batches(""), Some(BTreeMap::new()));
        assert_eq!(batches("ab:3-1;"), None);
    }
}
