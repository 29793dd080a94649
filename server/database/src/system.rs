//! The tables of the schema `system`: what a node knows of itself, as rows.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, StringBuilder, TimestampNanosecondBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ochre_query::SystemTable;
use ochre_store::snapshot::TableSnapshot;
use ochre_types::Hlc;

use crate::database::Database;
use crate::deletes::Receipt;
use crate::node::Node;

const TEXT: DataType = DataType::Utf8;
const COUNT: DataType = DataType::UInt64;
const FLAG: DataType = DataType::Boolean;
const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

type Columns = &'static [(&'static str, DataType)];

/// A row's values, in the order of the table's columns.
enum Value {
    Text(Option<String>),
    Count(Option<u64>),
    Flag(bool),
    Time(i64),
}

const TABLES: [(&str, Columns); 11] = [
    ("databases", &[("database", TEXT), ("created", TIME), ("retention", TEXT), ("tables", COUNT)]),
    (
        "tables",
        &[
            ("table", TEXT),
            ("columns", COUNT),
            ("partitions", COUNT),
            ("chunks", COUNT),
            ("rows", COUNT),
            ("sort_order", TEXT),
        ],
    ),
    ("columns", &[("table", TEXT), ("column", TEXT), ("kind", TEXT), ("type", TEXT), ("first_seen", TIME)]),
    (
        "partitions",
        &[
            ("table", TEXT),
            ("partition_key", TEXT),
            ("template", TEXT),
            ("chunks", COUNT),
            ("rows", COUNT),
            ("bytes", COUNT),
            ("min_time", TIME),
            ("max_time", TIME),
        ],
    ),
    (
        "chunks",
        &[
            ("table", TEXT),
            ("partition_key", TEXT),
            ("template", TEXT),
            ("id", TEXT),
            ("stage", TEXT),
            ("rows", COUNT),
            ("bytes", COUNT),
            ("min_time", TIME),
            ("max_time", TIME),
            ("unique_keys", FLAG),
            ("in_memory", FLAG),
            ("object", TEXT),
        ],
    ),
    (
        "log",
        &[
            ("database", TEXT),
            ("log_id", TEXT),
            ("oldest", COUNT),
            ("appended", COUNT),
            ("synced", COUNT),
            ("applied", COUNT),
            ("low_water", COUNT),
        ],
    ),
    ("rules", &[("database", TEXT), ("path", TEXT), ("value", TEXT), ("line", COUNT)]),
    (
        "damage",
        &[
            ("found", TIME),
            ("kind", TEXT),
            ("database", TEXT),
            ("table", TEXT),
            ("place", TEXT),
            ("what", TEXT),
            ("missing", TEXT),
            ("advice", TEXT),
        ],
    ),
    (
        "operations",
        &[
            ("id", TEXT),
            ("kind", TEXT),
            ("database", TEXT),
            ("target", TEXT),
            ("state", TEXT),
            ("done", COUNT),
            ("total", COUNT),
            ("unit", TEXT),
            ("started", TIME),
            ("ended", TIME),
            ("message", TEXT),
            ("begun_by", TEXT),
        ],
    ),
    (
        "deletes",
        &[
            ("id", TEXT),
            ("deleted", TEXT),
            ("accepted", TIME),
            ("objects_left", COUNT),
            ("gone", TIME),
            ("undrop_until", TIME),
            ("reverted", TIME),
        ],
    ),
    ("rules_history", &[("generation", COUNT), ("applied_at", TIME), ("applied_by", TEXT), ("fence", COUNT)]),
];

/// The system tables with their columns.
pub fn tables() -> Vec<SystemTable> {
    TABLES.iter().map(|(name, columns)| SystemTable { name, schema: schema(columns) }).collect()
}

fn schema(columns: Columns) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The rows of one system table, as of now. `name` must be one of [`tables`].
pub fn rows(node: &Node, database: &Database, name: &str) -> RecordBatch {
    let rows = match name {
        "databases" => databases(node),
        "tables" => snapshots(database).iter().map(table_row).collect(),
        "columns" => snapshots(database).iter().flat_map(column_rows).collect(),
        "partitions" => snapshots(database).iter().flat_map(partition_rows).collect(),
        "chunks" => snapshots(database).iter().flat_map(chunk_rows).collect(),
        "operations" => operations(node, database),
        "damage" => damage(node, database),
        "deletes" => deletes(database),
        "rules" => rules(database),
        "rules_history" => rules_history(database),
        _ => log(node),
    };
    batch(name, &rows)
}

/// The system tables of a database of which there are only snapshots of its tables.
const OF_SNAPSHOTS: [&str; 4] = ["tables", "columns", "partitions", "chunks"];

/// Those of them that can be told from snapshots alone.
pub fn tables_of_snapshots() -> Vec<SystemTable> {
    tables().into_iter().filter(|table| OF_SNAPSHOTS.contains(&table.name)).collect()
}

/// The rows of one of [`tables_of_snapshots`].
pub fn rows_of_snapshots(snapshots: &[TableSnapshot], name: &str) -> RecordBatch {
    let rows: Vec<Vec<Value>> = match name {
        "tables" => snapshots.iter().map(table_row).collect(),
        "columns" => snapshots.iter().flat_map(column_rows).collect(),
        "partitions" => snapshots.iter().flat_map(partition_rows).collect(),
        _ => snapshots.iter().flat_map(chunk_rows).collect(),
    };
    batch(name, &rows)
}

fn batch(name: &str, rows: &[Vec<Value>]) -> RecordBatch {
    let columns = TABLES.iter().find(|(table, _)| *table == name).map_or(TABLES[5].1, |(_, columns)| columns);
    let arrays = columns.iter().enumerate().map(|(index, (_, data_type))| array(rows, index, data_type)).collect();
    RecordBatch::try_new(schema(columns), arrays).expect("every row has a value of its column's type for each column")
}

fn array(rows: &[Vec<Value>], index: usize, data_type: &DataType) -> ArrayRef {
    let values = rows.iter().map(|row| &row[index]);
    if *data_type == COUNT {
        let mut builder = UInt64Builder::new();
        values.for_each(|value| builder.append_option(if let Value::Count(count) = value { *count } else { None }));
        Arc::new(builder.finish())
    } else if *data_type == FLAG {
        let mut builder = BooleanBuilder::new();
        values.for_each(|value| builder.append_option(if let Value::Flag(flag) = value { Some(*flag) } else { None }));
        Arc::new(builder.finish())
    } else if *data_type == TIME {
        let mut builder = TimestampNanosecondBuilder::new();
        values.for_each(|value| builder.append_option(if let Value::Time(time) = value { Some(*time) } else { None }));
        Arc::new(builder.finish())
    } else {
        let mut builder = StringBuilder::new();
        values.for_each(|value| {
            builder.append_option(if let Value::Text(text) = value { text.as_deref() } else { None })
        });
        Arc::new(builder.finish())
    }
}

fn text(text: impl ToString) -> Value {
    Value::Text(Some(text.to_string()))
}

fn count(count: usize) -> Value {
    Value::Count(Some(count as u64))
}

fn millis(millis: u64) -> Value {
    Value::Time(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

fn snapshots(database: &Database) -> Vec<TableSnapshot> {
    database.buffer.tables().iter().filter_map(|table| database.buffer.snapshot(table.as_str())).collect()
}

fn databases(node: &Node) -> Vec<Vec<Value>> {
    let infos = node.databases().into_iter();
    infos
        .map(|info| {
            let tables = node.database(&info.name).map(|database| database.buffer.tables().len() as u64);
            vec![text(&info.name), millis(info.created_millis), Value::Text(info.retention), Value::Count(tables)]
        })
        .collect()
}

fn table_row(snapshot: &TableSnapshot) -> Vec<Value> {
    let mut partitions: Vec<_> = snapshot.chunks.iter().map(|chunk| (chunk.template_id, &chunk.key)).collect();
    partitions.dedup();
    let order: Vec<&str> = snapshot.order.tags().iter().map(|tag| tag.as_str()).collect();
    vec![
        text(&snapshot.table),
        count(snapshot.columns.len()),
        count(partitions.len()),
        count(snapshot.chunks.len()),
        Value::Count(Some(snapshot.chunks.iter().map(|chunk| chunk.rows).sum())),
        text(order.join(",")),
    ]
}

fn column_rows(snapshot: &TableSnapshot) -> Vec<Vec<Value>> {
    let columns = snapshot.columns.iter();
    columns
        .map(|column| {
            let (kind, data_type) = match column.id.kind {
                ochre_types::ColumnKind::Tag => ("tag", "string".to_owned()),
                ochre_types::ColumnKind::Time => ("time", "timestamp".to_owned()),
                ochre_types::ColumnKind::Field(field) => ("field", field.to_string()),
            };
            let name = column.visible_name(&snapshot.columns);
            vec![text(&snapshot.table), text(name), text(kind), text(data_type), millis(column.first_seen.hlc.millis())]
        })
        .collect()
}

fn partition_rows(snapshot: &TableSnapshot) -> Vec<Vec<Value>> {
    let chunks = snapshot.chunks.chunk_by(|a, b| (a.template_id, &a.key) == (b.template_id, &b.key));
    chunks
        .map(|chunks| {
            let first = &chunks[0];
            let template = first.template.as_ref().map(ToString::to_string);
            let bounds = chunks.iter().map(|chunk| chunk.time_range);
            let (low, high) = bounds.fold((i64::MAX, i64::MIN), |(low, high), (a, b)| (low.min(a), high.max(b)));
            vec![
                text(&snapshot.table),
                text(&first.key),
                Value::Text(template),
                count(chunks.len()),
                Value::Count(Some(chunks.iter().map(|chunk| chunk.rows).sum())),
                Value::Count(Some(chunks.iter().map(|chunk| chunk.bytes).sum())),
                Value::Time(low),
                Value::Time(high),
            ]
        })
        .collect()
}

fn chunk_rows(snapshot: &TableSnapshot) -> Vec<Vec<Value>> {
    let chunks = snapshot.chunks.iter();
    chunks
        .map(|chunk| {
            vec![
                text(&snapshot.table),
                text(&chunk.key),
                Value::Text(chunk.template.as_ref().map(ToString::to_string)),
                text(&chunk.id),
                text(chunk.stage.name()),
                Value::Count(Some(chunk.rows)),
                Value::Count(Some(chunk.bytes)),
                Value::Time(chunk.time_range.0),
                Value::Time(chunk.time_range.1),
                Value::Flag(chunk.unique_keys),
                Value::Flag(chunk.in_memory()),
                Value::Text(chunk.object.as_ref().map(ToString::to_string)),
            ]
        })
        .collect()
}

fn log(node: &Node) -> Vec<Vec<Value>> {
    let status = node.shared.log.status();
    let databases = status.databases.into_iter();
    databases
        .map(|(name, log)| {
            let database = node.database(&name);
            let applied = database.as_ref().map(|database| database.buffer.applied_through().0);
            let mark = database.as_ref().and_then(|database| database.catalog.state().low_water);
            let mark = mark.filter(|mark| mark.log == status.log_id).map(|mark| mark.sequence.0);
            vec![
                text(&name),
                text(status.log_id),
                Value::Count(Some(log.oldest.0)),
                Value::Count(Some(log.appended.0)),
                Value::Count(Some(log.synced.0)),
                Value::Count(applied),
                Value::Count(mark),
            ]
        })
        .collect()
}

/// That of the database, and that of which it is not known or which concerns all.
fn damage(node: &Node, database: &Database) -> Vec<Vec<Value>> {
    let found = node.damage().into_iter();
    found
        .filter(|found| found.damage.database.as_ref().is_none_or(|name| name == database.name()))
        .map(|found| {
            let damage = found.damage;
            vec![
                millis(found.at_millis),
                text(damage.kind),
                Value::Text(damage.database.map(|name| name.to_string())),
                Value::Text(damage.table.map(|name| name.to_string())),
                text(damage.place),
                text(damage.what),
                text(damage.missing),
                text(damage.advice),
            ]
        })
        .collect()
}

/// Those of the database, and those that concern all.
fn operations(node: &Node, database: &Database) -> Vec<Vec<Value>> {
    let operations = node.operations.list().into_iter();
    operations
        .filter(|operation| operation.work.database.as_ref().is_none_or(|name| name == database.name()))
        .map(|operation| {
            vec![
                text(operation.id),
                text(operation.work.kind),
                Value::Text(operation.work.database.as_ref().map(ToString::to_string)),
                text(operation.work.target),
                text(operation.state.name()),
                Value::Count(Some(operation.done)),
                Value::Count(Some(operation.total).filter(|total| *total > 0)),
                text(operation.work.unit),
                millis(operation.started_millis),
                operation.ended_millis.map_or(Value::Text(None), millis),
                text(operation.message),
                text(operation.work.begun_by),
            ]
        })
        .collect()
}

/// The deletions that are known, newest first.
fn deletes(database: &Database) -> Vec<Vec<Value>> {
    let at = |hlc: Option<Hlc>| hlc.map_or(Value::Text(None), |hlc| millis(hlc.millis()));
    let row = |receipt: Receipt| {
        vec![
            text(receipt.id),
            text(receipt.what),
            at(Some(receipt.accepted)),
            Value::Count(Some(receipt.objects_left)),
            at(receipt.gone),
            at(receipt.undrop_until),
            at(receipt.reverted),
        ]
    };
    database.deletes().into_iter().map(row).collect()
}

/// Every field with its value in force, and the line of the document that says it.
fn rules(database: &Database) -> Vec<Vec<Value>> {
    let in_force = database.rules_in_force();
    let fields = ochre_types::rules::fields(&in_force.rules).into_iter();
    fields
        .map(|(path, value)| {
            let line = in_force.line_of(&path).map(u64::from);
            vec![text(database.name()), text(path), text(value), Value::Count(line)]
        })
        .collect()
}

fn rules_history(database: &Database) -> Vec<Vec<Value>> {
    let state = database.catalog.state();
    let newest_first = state.rules_history.iter().rev();
    newest_first
        .map(|record| {
            vec![
                Value::Count(Some(record.generation)),
                millis(record.applied_millis),
                text(&record.applied_by),
                Value::Count(record.fence),
            ]
        })
        .collect()
}
