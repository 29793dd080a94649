//! Chunks as parallel lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_types::partition::PartitionKey;
use ochre_types::{ColumnName, Hlc, Incarnation, IntervalSet, LogId, Sequence, Stamp, TableName};

use super::columns::{Column, Intervals, count};
use super::{WireError, pb};
use crate::catalog::chunk::{ChunkId, ChunkMeta, ColumnStats, LogRange, SortedBy};
use crate::catalog::database::TemplateId;

/// Writes chunks in the order given.
pub(super) fn write<'a>(chunks: impl Iterator<Item = &'a Arc<ChunkMeta>>) -> pb::Chunks {
    let mut out = pb::Chunks::default();
    let mut names = Names::default();
    for chunk in chunks {
        write_properties(&mut out, &mut names, chunk);
        write_sort_and_stats(&mut out, &mut names, chunk);
        write_intervals(&mut out, &chunk.intervals);
        write_state(&mut out, chunk);
    }
    // What earlier releases did not know is left out where it says nothing.
    drop_zeros(&mut out.settled_hlc);
    drop_zeros(&mut out.applied);
    drop_zeros(&mut out.checksums);
    out.names = names.list;
    out
}

fn drop_zeros<T: Default + PartialEq>(list: &mut Vec<T>) {
    if list.iter().all(|value| *value == T::default()) {
        list.clear();
    }
}

fn write_state(out: &mut pb::Chunks, chunk: &ChunkMeta) {
    out.settled_hlc.push(chunk.settled.map_or(0, |boundary| boundary.0));
    out.applied.push(count(chunk.applied.len()));
    for stamp in chunk.applied.iter() {
        out.applied_hlc.push(stamp.hlc.0);
        out.applied_incarnation.push(stamp.incarnation.0);
    }
    out.checksums.push(count(chunk.checksums.len()));
    out.checksum.extend_from_slice(&chunk.checksums);
}

/// Names kept once.
#[derive(Default)]
struct Names {
    list: Vec<String>,
    positions: BTreeMap<String, u32>,
}

impl Names {
    fn position(&mut self, name: &str) -> u32 {
        if let Some(position) = self.positions.get(name) {
            return *position;
        }
        let position = count(self.list.len());
        self.list.push(name.to_owned());
        self.positions.insert(name.to_owned(), position);
        position
    }
}

fn write_properties(out: &mut pb::Chunks, names: &mut Names, chunk: &ChunkMeta) {
    out.id_incarnation.push(chunk.id.incarnation.0);
    out.id_counter.push(chunk.id.counter);
    out.table.push(names.position(chunk.table.as_str()));
    out.partition_key.push(names.position(chunk.partition_key.as_str()));
    out.template.push(chunk.template.0);
    out.object.push(chunk.object.to_string());
    out.size_bytes.push(chunk.size_bytes);
    out.rows.push(chunk.rows);
    out.time_min.push(chunk.time.0);
    out.time_max.push(chunk.time.1);
    out.stamp_min_hlc.push(chunk.stamps.0.hlc.0);
    out.stamp_min_incarnation.push(chunk.stamps.0.incarnation.0);
    out.stamp_max_hlc.push(chunk.stamps.1.hlc.0);
    out.stamp_max_incarnation.push(chunk.stamps.1.incarnation.0);
    out.unique_keys.push(chunk.unique_keys);
    out.level.push(chunk.level);
    out.log_id.push(chunk.log.log.0);
    out.log_first.push(chunk.log.first.0);
    out.log_last.push(chunk.log.last.0);
}

fn write_sort_and_stats(out: &mut pb::Chunks, names: &mut Names, chunk: &ChunkMeta) {
    out.sort_order_version.push(chunk.sorted_by.version);
    out.sort_columns.push(count(chunk.sorted_by.columns.len()));
    for column in chunk.sorted_by.columns.iter() {
        out.sort_column.push(names.position(column.as_str()));
    }
    out.stats.push(count(chunk.stats.len()));
    for stats in &chunk.stats {
        out.stat_column.push(names.position(stats.column.as_str()));
        out.stat_nulls.push(stats.nulls);
        out.stat_present.push(stats.range.is_some());
        if let Some((min, max)) = &stats.range {
            out.stat_min.push(min.to_string());
            out.stat_max.push(max.to_string());
        }
    }
}

fn write_intervals(out: &mut pb::Chunks, intervals: &BTreeMap<Incarnation, IntervalSet>) {
    out.origins.push(count(intervals.len()));
    for (origin, set) in intervals {
        out.origin.push(origin.0);
        out.origin_intervals.push(count(set.interval_count()));
        for (first, last) in set.iter() {
            out.interval_first.push(first);
            out.interval_length.push(last - first);
        }
    }
}

/// Reads chunks in the order in which they were written.
pub(super) fn read(path: &str, mut chunks: pb::Chunks) -> Result<Vec<Arc<ChunkMeta>>, WireError> {
    let number = chunks.id_counter.len();
    fill(&mut chunks.settled_hlc, number);
    fill(&mut chunks.applied, number);
    fill(&mut chunks.checksums, number);
    let mut reader = Reader::new(path, chunks);
    let mut read = Vec::with_capacity(number);
    for _ in 0..number {
        read.push(Arc::new(reader.chunk()?));
    }
    reader.end()?;
    Ok(read)
}

/// A list that may be left out has its default for every chunk then.
fn fill<T: Default + Clone>(list: &mut Vec<T>, number: usize) {
    if list.is_empty() {
        list.resize(number, T::default());
    }
}

struct StampLists {
    hlc: Column<u64>,
    incarnation: Column<u64>,
}

impl StampLists {
    fn next(&mut self) -> Result<Stamp, WireError> {
        Ok(Stamp { hlc: Hlc(self.hlc.next()?), incarnation: Incarnation(self.incarnation.next()?) })
    }
}

macro_rules! reader {
    ($($field:ident: $type:ty),* $(,)?) => {
        struct Reader {
            names: Vec<String>,
            stamp_min: StampLists,
            stamp_max: StampLists,
            applied_stamp: StampLists,
            intervals: Intervals,
            $($field: Column<$type>,)*
        }

        impl Reader {
            fn new(path: &str, chunks: pb::Chunks) -> Self {
                Self {
                    names: chunks.names,
                    stamp_min: StampLists {
                        hlc: Column::new(path, "stamp_min_hlc", chunks.stamp_min_hlc),
                        incarnation: Column::new(path, "stamp_min_incarnation", chunks.stamp_min_incarnation),
                    },
                    stamp_max: StampLists {
                        hlc: Column::new(path, "stamp_max_hlc", chunks.stamp_max_hlc),
                        incarnation: Column::new(path, "stamp_max_incarnation", chunks.stamp_max_incarnation),
                    },
                    applied_stamp: StampLists {
                        hlc: Column::new(path, "applied_hlc", chunks.applied_hlc),
                        incarnation: Column::new(path, "applied_incarnation", chunks.applied_incarnation),
                    },
                    intervals: Intervals::new(path, chunks.interval_first, chunks.interval_length),
                    $($field: Column::new(path, stringify!($field), chunks.$field),)*
                }
            }

            fn end(self) -> Result<(), WireError> {
                for stamps in [self.stamp_min, self.stamp_max, self.applied_stamp] {
                    stamps.hlc.end()?;
                    stamps.incarnation.end()?;
                }
                self.intervals.end()?;
                $(self.$field.end()?;)*
                Ok(())
            }
        }
    };
}

reader! {
    id_incarnation: u64, id_counter: u64, table: u32, partition_key: u32, template: u64, object: String,
    size_bytes: u64, rows: u64, time_min: i64, time_max: i64, unique_keys: bool, level: u32,
    sort_order_version: u32, sort_columns: u32, sort_column: u32, log_id: u64, log_first: u64, log_last: u64,
    stats: u32, stat_column: u32, stat_nulls: u64, stat_present: bool, stat_min: String, stat_max: String,
    origins: u32, origin: u64, origin_intervals: u32, settled_hlc: u64, applied: u32, checksums: u32, checksum: u32,
}

/// The name at the next position of `column`, as a `T`.
fn name<'a, T, E: ToString>(
    names: &'a [String],
    column: &mut Column<u32>,
    parse: impl Fn(&'a str) -> Result<T, E>,
) -> Result<T, WireError> {
    let position = column.next()?;
    let name = names
        .get(position as usize)
        .ok_or_else(|| WireError::value(column.place(), format!("there is no name {position}")))?;
    parse(name).map_err(|error| WireError::value(column.place(), error))
}

impl Reader {
    fn chunk(&mut self) -> Result<ChunkMeta, WireError> {
        let incarnation = Incarnation(self.id_incarnation.next()?);
        Ok(ChunkMeta {
            id: ChunkId { incarnation, counter: self.id_counter.next()? },
            table: name(&self.names, &mut self.table, TableName::new)?,
            partition_key: name(&self.names, &mut self.partition_key, PartitionKey::new)?,
            template: TemplateId(self.template.next()?),
            object: Arc::from(self.object.next()?),
            size_bytes: self.size_bytes.next()?,
            rows: self.rows.next()?,
            time: (self.time_min.next()?, self.time_max.next()?),
            stamps: (self.stamp_min.next()?, self.stamp_max.next()?),
            unique_keys: self.unique_keys.next()?,
            level: self.level.next()?,
            sorted_by: self.sorted_by()?,
            log: LogRange {
                log: LogId(self.log_id.next()?),
                first: Sequence(self.log_first.next()?),
                last: Sequence(self.log_last.next()?),
            },
            stats: self.stats()?,
            intervals: self.intervals()?,
            settled: Some(Hlc(self.settled_hlc.next()?)).filter(|boundary| boundary.0 > 0),
            applied: (0..self.applied.next()?).map(|_| self.applied_stamp.next()).collect::<Result<_, _>>()?,
            checksums: (0..self.checksums.next()?).map(|_| self.checksum.next()).collect::<Result<_, _>>()?,
        })
    }

    fn sorted_by(&mut self) -> Result<SortedBy, WireError> {
        let version = self.sort_order_version.next()?;
        let mut columns = Vec::new();
        for _ in 0..self.sort_columns.next()? {
            columns.push(name(&self.names, &mut self.sort_column, ColumnName::new)?);
        }
        Ok(SortedBy { version, columns: columns.into() })
    }

    fn stats(&mut self) -> Result<Vec<ColumnStats>, WireError> {
        let mut stats = Vec::new();
        for _ in 0..self.stats.next()? {
            let column = name(&self.names, &mut self.stat_column, ColumnName::new)?;
            let nulls = self.stat_nulls.next()?;
            let range = if self.stat_present.next()? {
                Some((Arc::from(self.stat_min.next()?), Arc::from(self.stat_max.next()?)))
            } else {
                None
            };
            stats.push(ColumnStats { column, range, nulls });
        }
        Ok(stats)
    }

    fn intervals(&mut self) -> Result<BTreeMap<Incarnation, IntervalSet>, WireError> {
        let mut intervals = BTreeMap::new();
        for _ in 0..self.origins.next()? {
            let origin = Incarnation(self.origin.next()?);
            let set = self.intervals.next(self.origin_intervals.next()?)?;
            if intervals.insert(origin, set).is_some() {
                return Err(WireError::value(self.origin.place(), format!("origin {origin} stands twice")));
            }
        }
        Ok(intervals)
    }
}
