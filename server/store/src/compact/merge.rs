//! Several sorted inputs become one sorted, folded stream of rows.
//!
//! Of each input one batch is held. The lowest of the last keys of these bounds what can be folded: rows below it are
//! complete, whatever is read next. They are taken from every input, joined, sorted and folded; then the next batches
//! are read. An input of an earlier sort order is sorted in memory first; planning keeps such ones small.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use ochre_batch::concat::concat_stamped;
use ochre_batch::fold::{fold_latest, fold_versions};
use ochre_batch::rows::tag_value;
use ochre_batch::sort;
use ochre_batch::tombstone::{Active, hidden};
use ochre_batch::{SortOrder, StampedRows, Stamps};
use ochre_types::{ColumnId, ColumnKind, Hlc, TableName};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::CompactError;
use super::read::{self, Columns};
use super::settle::settled_stamp;
use crate::catalog::ChunkMeta;

/// One input, as far as it is decoded.
pub(super) struct Source {
    meta: Arc<ChunkMeta>,
    columns: Arc<Columns>,
    erased: Vec<Active>,
    /// Whether its rows are in another order, and must all be there before any is taken.
    resort: bool,
    group: Option<ParquetRecordBatchReader>,
    /// Whether there are no more row groups.
    last_group: bool,
    /// Whether nothing goes on before its next row group is there.
    wants: bool,
    pieces: Vec<StampedRows>,
    rows: Option<Held>,
}

/// Rows that are sorted and not taken yet.
struct Held {
    rows: StampedRows,
    /// The arrays of the key's tags, in the order of sorting.
    tags: Vec<Option<ArrayRef>>,
}

/// What a step came to.
pub(super) enum Step {
    /// The next row group of these inputs is wanted.
    Groups(Vec<usize>),
    /// Rows in order, whose keys don't come again.
    Rows(StampedRows),
    /// There are no more.
    Done,
}

/// See the module's doc.
pub(super) struct Merge {
    table: TableName,
    order: SortOrder,
    /// Every tag of the inputs, in the order of sorting.
    tags: Vec<ColumnId>,
    settle: Option<Hlc>,
    visible_from: Option<i64>,
    sources: Vec<Source>,
}

impl Source {
    pub(super) fn new(meta: Arc<ChunkMeta>, columns: Arc<Columns>, erased: Vec<Active>, resort: bool) -> Self {
        let (pieces, rows) = (Vec::new(), None);
        Self { meta, columns, erased, resort, group: None, last_group: false, wants: false, pieces, rows }
    }

    fn is_read(&self) -> bool {
        self.last_group && self.group.is_none()
    }

    /// Hands it the row group that it wanted; `None` if there are no more.
    pub(super) fn give(&mut self, group: Option<ParquetRecordBatchReader>) {
        self.last_group = group.is_none();
        self.wants = false;
        self.group = group;
    }
}

impl Merge {
    /// A merge of `sources` into rows of `order`. They are settled at `settle`, if given, and without those before
    /// `visible_from`.
    pub(super) fn new(
        table: TableName,
        order: SortOrder,
        settle: Option<Hlc>,
        visible_from: Option<i64>,
        sources: Vec<Source>,
    ) -> Self {
        let order = order.extended(sources.iter().flat_map(|source| source.columns.ids())).unwrap_or(order);
        let tags = order.tags().iter().map(|name| ColumnId { name: name.clone(), kind: ColumnKind::Tag }).collect();
        Self { table, order, tags, settle, visible_from, sources }
    }

    pub(super) fn source(&mut self, at: usize) -> &mut Source {
        &mut self.sources[at]
    }

    /// Goes on until rows are complete or something has to be fetched.
    pub(super) fn step(&mut self) -> Result<Step, CompactError> {
        loop {
            let mut wanted = Vec::new();
            for at in 0..self.sources.len() {
                if !self.fill(at)? {
                    wanted.push(at);
                }
            }
            if !wanted.is_empty() {
                return Ok(Step::Groups(wanted));
            }
            let Some(taken) = self.take_complete()? else { return Ok(Step::Done) };
            if taken.is_empty() {
                continue;
            }
            let rows = self.fold(&taken)?;
            if !rows.rows.is_empty() {
                return Ok(Step::Rows(rows));
            }
        }
    }

    /// Makes sure that a source has rows, unless it has come to its end. False if it wants its next row group.
    fn fill(&mut self, at: usize) -> Result<bool, CompactError> {
        if self.sources[at].wants {
            return Ok(false);
        }
        if self.sources[at].resort {
            while !self.sources[at].is_read() {
                if !self.decode(at)? {
                    return Ok(false);
                }
            }
        }
        while self.sources[at].rows.is_none() && !(self.sources[at].is_read() && self.sources[at].pieces.is_empty()) {
            if self.sources[at].pieces.is_empty() && !self.decode(at)? {
                return Ok(false);
            }
            self.hold(at)?;
        }
        Ok(true)
    }

    /// Decodes one batch into the source's pieces. False if it wants its next row group.
    fn decode(&mut self, at: usize) -> Result<bool, CompactError> {
        let source = &mut self.sources[at];
        let Some(group) = &mut source.group else { return Ok(source.last_group) };
        match group.next() {
            None => {
                source.group = None;
                Ok(source.last_group)
            }
            Some(batch) => {
                let batch = batch.map_err(|error| read::read(&source.meta, error.into()))?;
                let rows = source.columns.stamped(&batch, &source.meta)?;
                let kept = kept(&rows, &self.table, &source.erased, self.visible_from);
                let rows = match kept {
                    None => rows,
                    Some(kept) => sort::take(&rows, &kept).map_err(|source| CompactError::Merge { source })?,
                };
                if !rows.rows.is_empty() {
                    source.pieces.push(rows);
                }
                Ok(true)
            }
        }
    }

    /// Adds the source's pieces to the rows that it holds.
    fn hold(&mut self, at: usize) -> Result<(), CompactError> {
        let source = &mut self.sources[at];
        if source.pieces.is_empty() {
            return Ok(());
        }
        let held = source.rows.take().map(|held| held.rows);
        // A batch brings the dictionaries of its whole row group. Joined with nothing, it keeps what it uses.
        let nothing = source.pieces[0].slice(0, 0);
        let all: Vec<StampedRows> = held.into_iter().chain(source.pieces.drain(..)).chain([nothing]).collect();
        let mut rows = concat_stamped(&all).map_err(|source| CompactError::Merge { source })?;
        if source.resort {
            rows = sort::sort(&rows, &self.order).map_err(|source| CompactError::Merge { source })?;
        }
        source.rows = Some(Held::new(rows, &self.tags));
        Ok(())
    }

    /// Rows of every source whose keys are complete; empty if more has to be decoded first, `None` if there are none left.
    fn take_complete(&mut self) -> Result<Option<Vec<StampedRows>>, CompactError> {
        let unfinished = |source: &&Source| !source.is_read() && source.rows.is_some();
        let bound = self
            .sources
            .iter()
            .filter(unfinished)
            .filter_map(|source| source.rows.as_ref())
            .min_by(|a, b| a.compare(a.len() - 1, b, b.len() - 1));
        let taken: Vec<usize> = match bound {
            None => self.sources.iter().map(|source| source.rows.as_ref().map_or(0, Held::len)).collect(),
            Some(bound) => {
                let below = |held: &Held| held.below(bound);
                self.sources.iter().map(|source| source.rows.as_ref().map_or(0, below)).collect()
            }
        };
        let is_bounded = bound.is_some();
        let mut pieces = Vec::new();
        for (source, count) in self.sources.iter_mut().zip(&taken).filter(|(_, count)| **count > 0) {
            let Some(held) = source.rows.take() else { continue };
            pieces.push(held.rows.slice(0, *count));
            if *count < held.len() {
                source.rows = Some(Held::new(held.rows.slice(*count, held.len() - count), &self.tags));
            }
        }
        if pieces.is_empty() && is_bounded {
            self.read_on()?;
            return Ok(Some(pieces));
        }
        Ok((!pieces.is_empty()).then_some(pieces))
    }

    /// All rows that the source with the lowest last key holds have one key, which may go on: reads more of it.
    fn read_on(&mut self) -> Result<(), CompactError> {
        let lowest = (0..self.sources.len())
            .filter(|at| !self.sources[*at].is_read())
            .filter_map(|at| Some((at, self.sources[at].rows.as_ref()?)))
            .min_by(|(_, a), (_, b)| a.compare(a.len() - 1, b, b.len() - 1))
            .map(|(at, _)| at);
        let Some(at) = lowest else { return Ok(()) };
        if self.decode(at)? {
            return self.hold(at);
        }
        self.sources[at].wants = !self.sources[at].is_read();
        Ok(())
    }

    fn fold(&self, pieces: &[StampedRows]) -> Result<StampedRows, CompactError> {
        let fold = || {
            let sorted = sort::sort(&concat_stamped(pieces)?, &self.order)?;
            match self.settle {
                None => fold_versions(&sorted),
                Some(boundary) => {
                    let rows = fold_latest(&sorted)?.rows;
                    Ok(StampedRows { rows, stamps: Stamps::One(settled_stamp(boundary)) })
                }
            }
        };
        fold().map_err(|source| CompactError::Merge { source })
    }
}

impl Held {
    fn new(rows: StampedRows, tags: &[ColumnId]) -> Self {
        let tags = tags.iter().map(|tag| rows.rows.array(tag).cloned()).collect();
        Self { rows, tags }
    }

    fn len(&self) -> usize {
        self.rows.rows.len()
    }

    /// The order of the keys of two rows: tags with absent first, then time.
    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        for (mine, others) in self.tags.iter().zip(&other.tags) {
            match value(mine, row).cmp(&value(others, other_row)) {
                Ordering::Equal => {}
                different => return different,
            }
        }
        self.rows.rows.times()[row].cmp(&other.rows.rows.times()[other_row])
    }

    /// How many rows have a lower key than the last row of `bound`.
    fn below(&self, bound: &Self) -> usize {
        let (mut least, mut most) = (0, self.len());
        while least < most {
            let middle = least.midpoint(most);
            if self.compare(middle, bound, bound.len() - 1) == Ordering::Less {
                least = middle + 1
            } else {
                most = middle
            }
        }
        least
    }
}

fn value(tag: &Option<ArrayRef>, row: usize) -> Option<&str> {
    tag_value(tag.as_ref()?, row)
}

/// The rows to keep: those that no deletion hides and that are not too old; `None` if that is all of them.
fn kept(rows: &StampedRows, table: &TableName, erased: &[Active], visible_from: Option<i64>) -> Option<UInt32Array> {
    let hidden: Option<BooleanArray> = hidden(rows, table, erased);
    let times = rows.rows.times();
    let too_old = |row: usize| visible_from.is_some_and(|from| times[row] < from);
    if hidden.is_none() && !(0..times.len()).any(too_old) {
        return None;
    }
    let keeps = |row: &usize| !too_old(*row) && !hidden.as_ref().is_some_and(|hidden| hidden.value(*row));
    Some((0..times.len()).filter(keeps).map(|row| row as u32).collect())
}
