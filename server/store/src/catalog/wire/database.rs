//! A database's deltas and checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_types::{
    ColumnId, ColumnKind, ColumnName, DatabaseName, Hlc, Incarnation, IntervalSet, LogId, Sequence, Stamp, TableName,
};

use super::columns::{Column, Intervals, count};
use super::{Content, WireError, chunks, pb, read_stamp, removal, rules, unexpected, write_stamp};
use crate::catalog::CatalogId;
use crate::catalog::chunk::ChunkMeta;
use crate::catalog::database::{CatalogState, Edit, LowWater, Predecessor, SliceId, TableState, TemplateId};
use crate::catalog::state::{EditError, State};
use pb::database_edit::Edit as PbEdit;

type Received = BTreeMap<(Incarnation, SliceId), IntervalSet>;

impl State for CatalogState {
    type Edit = Edit;

    fn catalog_id(&self) -> CatalogId {
        self.catalog_id
    }

    fn apply(&mut self, edit: &Edit) -> Result<(), EditError> {
        self.change(edit)
    }

    fn write_edits(edits: &[Edit]) -> Content {
        let edits = edits.iter().map(|edit| pb::DatabaseEdit { edit: Some(write_edit(edit)) }).collect();
        Content::DatabaseDelta(pb::DatabaseDelta { edits })
    }

    fn write(&self) -> Content {
        Content::DatabaseCheckpoint(pb::DatabaseCheckpoint {
            database: self.database.to_string(),
            created: Some(write_stamp(self.created)),
            tables: self.tables.iter().map(|(name, table)| write_table(name, table)).collect(),
            templates: self.templates.iter().map(|(id, text)| write_template(*id, text)).collect(),
            chunks: Some(chunks::write(self.chunks())),
            low_water: self.low_water.map(write_low_water),
            received: Some(write_received(&self.received)),
            ceiling_hlc: self.ceiling.0,
            rules: self.rules.as_ref().map(rules::write),
            predecessors: Some(pb::Predecessors {
                incarnation: self.predecessors.keys().map(|incarnation| incarnation.0).collect(),
                last_sequence: self.predecessors.values().copied().collect(),
            }),
            met_peer: self.met_peer,
            earlier_rules: rules::write_earlier(&self.rules_history),
            removed: Some(removal::write_removed(&self.removed)),
            tombstones: Some(removal::write_tombstones(self.tombstones.values())),
            partitions: Some(removal::write_partitions(self.read_only.iter(), true)),
        })
    }

    fn read_edits(content: Content) -> Result<Vec<Edit>, WireError> {
        let delta = match content {
            Content::DatabaseDelta(delta) => delta,
            other => return Err(unexpected(&other, "a database's delta")),
        };
        let read = |(index, edit): (usize, pb::DatabaseEdit)| {
            let path = format!("database_delta.edits[{index}]");
            read_edit(&path, edit.edit.ok_or_else(|| WireError::missing(&path))?)
        };
        delta.edits.into_iter().enumerate().map(read).collect()
    }

    fn read(id: CatalogId, content: Content) -> Result<Self, WireError> {
        match content {
            Content::DatabaseCheckpoint(checkpoint) => read_checkpoint(id, checkpoint),
            other => Err(unexpected(&other, "a database's checkpoint")),
        }
    }
}

fn write_edit(edit: &Edit) -> PbEdit {
    match edit {
        Edit::CreateTable { table } => PbEdit::CreateTable(pb::CreateTable { table: table.to_string() }),
        Edit::AddColumns { table, columns } => {
            PbEdit::AddColumns(write_columns(table, columns.iter().map(|(column, stamp)| (column, stamp))))
        }
        Edit::AddSortOrder { table, version, columns } => {
            PbEdit::AddSortOrder(write_sort_order(table, *version, columns))
        }
        Edit::AddTemplate { id, text } => PbEdit::AddTemplate(write_template(*id, text)),
        Edit::AddChunks { chunks } => PbEdit::AddChunks(chunks::write(chunks.iter())),
        Edit::SetLowWater(mark) => PbEdit::SetLowWater(write_low_water(*mark)),
        Edit::AddReceived { received } => PbEdit::AddReceived(write_received(received)),
        Edit::RaiseCeiling(ceiling) => PbEdit::RaiseCeilingHlc(ceiling.0),
        Edit::SetRules(record) => PbEdit::SetRules(rules::write(record)),
        Edit::AddPredecessors(predecessors) => PbEdit::AddPredecessors(pb::Predecessors {
            incarnation: predecessors.iter().map(|predecessor| predecessor.incarnation.0).collect(),
            last_sequence: predecessors.iter().map(|predecessor| predecessor.last_sequence).collect(),
        }),
        Edit::MeetPeer => PbEdit::MetPeer(true),
        Edit::RemoveChunks { chunks, at, reason } => PbEdit::RemoveChunks(removal::write_removal(chunks, *at, *reason)),
        Edit::ReturnChunks { chunks } => PbEdit::ReturnChunks(removal::write_ids(chunks)),
        Edit::ForgetRemoved { chunks } => PbEdit::ForgetRemoved(removal::write_ids(chunks)),
        Edit::AddTombstones { tombstones } => PbEdit::AddTombstones(removal::write_tombstones(tombstones.iter())),
        Edit::ForgetTombstones { stamps } => PbEdit::ForgetTombstones(removal::write_stamps(stamps)),
        Edit::SetReadOnly { partitions, read_only } => {
            PbEdit::SetPartitions(removal::write_partitions(partitions.iter(), *read_only))
        }
    }
}

fn read_edit(path: &str, edit: PbEdit) -> Result<Edit, WireError> {
    let at = |field: &str| format!("{path}.{field}");
    Ok(match edit {
        PbEdit::CreateTable(create) => {
            Edit::CreateTable { table: read_name(&at("create_table.table"), &create.table, TableName::new)? }
        }
        PbEdit::AddColumns(columns) => {
            let (table, columns) = read_columns(&at("add_columns"), columns)?;
            Edit::AddColumns { table, columns }
        }
        PbEdit::AddSortOrder(order) => {
            let (table, version, columns) = read_sort_order(&at("add_sort_order"), order)?;
            Edit::AddSortOrder { table, version, columns }
        }
        PbEdit::AddTemplate(template) => {
            Edit::AddTemplate { id: TemplateId(template.id), text: Arc::from(template.text) }
        }
        PbEdit::AddChunks(chunks) => Edit::AddChunks { chunks: chunks::read(&at("add_chunks"), chunks)? },
        PbEdit::SetLowWater(mark) => Edit::SetLowWater(read_low_water(mark)),
        PbEdit::AddReceived(received) => Edit::AddReceived { received: read_received(&at("add_received"), received)? },
        PbEdit::RaiseCeilingHlc(ceiling) => Edit::RaiseCeiling(Hlc(ceiling)),
        PbEdit::SetRules(record) => Edit::SetRules(rules::read(record)),
        PbEdit::AddPredecessors(list) => Edit::AddPredecessors(read_predecessors(&at("add_predecessors"), list)?),
        PbEdit::MetPeer(true) => Edit::MeetPeer,
        PbEdit::MetPeer(false) => return Err(WireError::value(at("met_peer"), "it can only be true")),
        PbEdit::RemoveChunks(removed) => removal::read_removal(&at("remove_chunks"), removed)?,
        PbEdit::ReturnChunks(ids) => Edit::ReturnChunks { chunks: removal::read_ids(&at("return_chunks"), ids)? },
        PbEdit::ForgetRemoved(ids) => Edit::ForgetRemoved { chunks: removal::read_ids(&at("forget_removed"), ids)? },
        PbEdit::AddTombstones(list) => {
            Edit::AddTombstones { tombstones: removal::read_tombstones(&at("add_tombstones"), list)? }
        }
        PbEdit::ForgetTombstones(list) => {
            Edit::ForgetTombstones { stamps: removal::read_stamps(&at("forget_tombstones"), list)? }
        }
        PbEdit::SetPartitions(list) => read_set_partitions(&at("set_partitions"), list)?,
    })
}

fn read_set_partitions(path: &str, list: pb::Partitions) -> Result<Edit, WireError> {
    let (closed, opened) = removal::read_partitions(path, list)?;
    if !closed.is_empty() && !opened.is_empty() {
        return Err(WireError::value(path, "one edit either closes partitions or opens them"));
    }
    let read_only = opened.is_empty();
    let partitions = if read_only { closed } else { opened };
    Ok(Edit::SetReadOnly { partitions: partitions.into_iter().collect(), read_only })
}

fn read_checkpoint(catalog_id: CatalogId, checkpoint: pb::DatabaseCheckpoint) -> Result<CatalogState, WireError> {
    const PATH: &str = "database_checkpoint";
    let at = |field: &str| format!("{PATH}.{field}");
    let database = read_name(&at("database"), &checkpoint.database, DatabaseName::new)?;
    let mut state = CatalogState::new(database, catalog_id, read_stamp(&at("created"), checkpoint.created)?);
    for (index, table) in checkpoint.tables.into_iter().enumerate() {
        let path = at(&format!("tables[{index}]"));
        let (name, table) = read_table(&path, table)?;
        if state.tables.insert(name.clone(), Arc::new(table)).is_some() {
            return Err(WireError::value(path, format!("table {name:?} stands twice")));
        }
    }
    state.templates =
        checkpoint.templates.into_iter().map(|template| (TemplateId(template.id), Arc::from(template.text))).collect();
    let list = checkpoint.chunks.ok_or_else(|| WireError::missing(at("chunks")))?;
    add_chunks(&mut state, chunks::read(&at("chunks"), list)?)?;
    state.low_water = checkpoint.low_water.map(read_low_water);
    let received = checkpoint.received.ok_or_else(|| WireError::missing(at("received")))?;
    state.received = read_received(&at("received"), received)?;
    state.ceiling = Hlc(checkpoint.ceiling_hlc);
    state.rules = checkpoint.rules.map(rules::read);
    state.rules_history = rules::read_history(&at("earlier_rules"), state.rules.as_ref(), checkpoint.earlier_rules)?;
    let predecessors = checkpoint.predecessors.ok_or_else(|| WireError::missing(at("predecessors")))?;
    state.predecessors = read_predecessors(&at("predecessors"), predecessors)?
        .into_iter()
        .map(|predecessor| (predecessor.incarnation, predecessor.last_sequence))
        .collect();
    state.met_peer = checkpoint.met_peer;
    state.removed = removal::read_removed(&at("removed"), checkpoint.removed.unwrap_or_default())?;
    let tombstones = removal::read_tombstones(&at("tombstones"), checkpoint.tombstones.unwrap_or_default())?;
    state.tombstones = tombstones.into_iter().map(|tombstone| (tombstone.stamp, tombstone)).collect();
    (state.read_only, _) = removal::read_partitions(&at("partitions"), checkpoint.partitions.unwrap_or_default())?;
    Ok(state)
}

/// Adds a checkpoint's chunks by the same checks as an edit's.
fn add_chunks(state: &mut CatalogState, chunks: Vec<Arc<ChunkMeta>>) -> Result<(), WireError> {
    state.change(&Edit::AddChunks { chunks }).map_err(|error| WireError::value("database_checkpoint.chunks", error))
}

fn write_table(name: &TableName, table: &TableState) -> pb::Table {
    pb::Table {
        columns: Some(write_columns(name, table.columns.iter())),
        sort_orders: table
            .sort_orders
            .iter()
            .map(|(version, columns)| write_sort_order(name, *version, columns))
            .collect(),
        earlier: table
            .earlier
            .iter()
            .map(|(dropped, columns)| pb::EarlierColumns {
                dropped: Some(write_stamp(*dropped)),
                columns: Some(write_columns(name, columns.iter())),
            })
            .collect(),
    }
}

fn read_table(path: &str, table: pb::Table) -> Result<(TableName, TableState), WireError> {
    let at = format!("{path}.columns");
    let (name, columns) = read_columns(&at, table.columns.ok_or_else(|| WireError::missing(&at))?)?;
    let mut state = TableState { columns: columns.into_iter().collect(), ..TableState::default() };
    for (index, order) in table.sort_orders.into_iter().enumerate() {
        let path = format!("{path}.sort_orders[{index}]");
        let (other, version, columns) = read_sort_order(&path, order)?;
        if other != name || state.sort_orders.insert(version, columns).is_some() {
            return Err(WireError::value(path, "it is of another table, or its version stands twice"));
        }
    }
    for (index, earlier) in table.earlier.into_iter().enumerate() {
        let path = format!("{path}.earlier[{index}]");
        let dropped = read_stamp(&format!("{path}.dropped"), earlier.dropped)?;
        let (other, columns) = read_columns(&format!("{path}.columns"), earlier.columns.unwrap_or_default())?;
        if other != name || state.earlier.insert(dropped, columns.into_iter().collect()).is_some() {
            return Err(WireError::value(path, "it is of another table, or its drop stands twice"));
        }
    }
    Ok((name, state))
}

fn write_columns<'a>(table: &TableName, columns: impl Iterator<Item = (&'a ColumnId, &'a Stamp)>) -> pb::Columns {
    let mut out = pb::Columns { table: table.to_string(), ..pb::Columns::default() };
    for (column, first_seen) in columns {
        out.name.push(column.name.to_string());
        out.kind.push(u32::from(column.kind.code()));
        out.first_seen_hlc.push(first_seen.hlc.0);
        out.first_seen_incarnation.push(first_seen.incarnation.0);
    }
    out
}

fn read_columns(path: &str, columns: pb::Columns) -> Result<(TableName, Vec<(ColumnId, Stamp)>), WireError> {
    let table = read_name(&format!("{path}.table"), &columns.table, TableName::new)?;
    let number = columns.name.len();
    let mut names = Column::new(path, "name", columns.name);
    let mut kinds = Column::new(path, "kind", columns.kind);
    let mut hlcs = Column::new(path, "first_seen_hlc", columns.first_seen_hlc);
    let mut incarnations = Column::new(path, "first_seen_incarnation", columns.first_seen_incarnation);
    let mut read = Vec::with_capacity(number);
    for _ in 0..number {
        let name = names.next()?;
        let name = read_name(&names.place(), &name, ColumnName::new)?;
        let code = kinds.next()?;
        let kind = u8::try_from(code)
            .ok()
            .and_then(ColumnKind::from_code)
            .ok_or_else(|| WireError::value(kinds.place(), format!("there is no column kind {code}")))?;
        let stamp = Stamp { hlc: Hlc(hlcs.next()?), incarnation: Incarnation(incarnations.next()?) };
        read.push((ColumnId { name, kind }, stamp));
    }
    kinds.end()?;
    hlcs.end()?;
    incarnations.end()?;
    Ok((table, read))
}

fn write_sort_order(table: &TableName, version: u32, columns: &[ColumnName]) -> pb::SortOrder {
    pb::SortOrder { table: table.to_string(), version, columns: columns.iter().map(ToString::to_string).collect() }
}

fn read_sort_order(path: &str, order: pb::SortOrder) -> Result<(TableName, u32, Arc<[ColumnName]>), WireError> {
    let table = read_name(&format!("{path}.table"), &order.table, TableName::new)?;
    let columns = order.columns.iter().enumerate();
    let columns = columns
        .map(|(index, name)| read_name(&format!("{path}.columns[{index}]"), name, ColumnName::new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((table, order.version, columns.into()))
}

fn write_template(id: TemplateId, text: &str) -> pb::Template {
    pb::Template { id: id.0, text: text.to_owned() }
}

fn write_low_water(mark: LowWater) -> pb::LowWater {
    pb::LowWater { log_id: mark.log.0, sequence: mark.sequence.0 }
}

fn read_low_water(mark: pb::LowWater) -> LowWater {
    LowWater { log: LogId(mark.log_id), sequence: Sequence(mark.sequence) }
}

fn read_predecessors(path: &str, list: pb::Predecessors) -> Result<Vec<Predecessor>, WireError> {
    let number = list.incarnation.len();
    let mut incarnations = Column::new(path, "incarnation", list.incarnation);
    let mut last = Column::new(path, "last_sequence", list.last_sequence);
    let mut read = Vec::with_capacity(number);
    for _ in 0..number {
        read.push(Predecessor { incarnation: Incarnation(incarnations.next()?), last_sequence: last.next()? });
    }
    last.end()?;
    Ok(read)
}

fn write_received(received: &Received) -> pb::Received {
    let mut out = pb::Received::default();
    for ((origin, slice), set) in received {
        out.origin.push(origin.0);
        out.slice.push(slice.0);
        out.intervals.push(count(set.interval_count()));
        for (first, last) in set.iter() {
            out.interval_first.push(first);
            out.interval_length.push(last - first);
        }
    }
    out
}

fn read_received(path: &str, received: pb::Received) -> Result<Received, WireError> {
    let number = received.origin.len();
    let mut origins = Column::new(path, "origin", received.origin);
    let mut slices = Column::new(path, "slice", received.slice);
    let mut counts = Column::new(path, "intervals", received.intervals);
    let mut intervals = Intervals::new(path, received.interval_first, received.interval_length);
    let mut read = Received::new();
    for _ in 0..number {
        let key = (Incarnation(origins.next()?), SliceId(slices.next()?));
        if read.insert(key, intervals.next(counts.next()?)?).is_some() {
            return Err(WireError::value(origins.place(), "the pair of origin and slice stands twice"));
        }
    }
    slices.end()?;
    counts.end()?;
    intervals.end()?;
    Ok(read)
}

pub(super) fn read_name<T, E: ToString>(
    path: &str,
    name: &str,
    parse: impl Fn(String) -> Result<T, E>,
) -> Result<T, WireError> {
    parse(name.to_owned()).map_err(|error| WireError::value(path, error))
}
