//! `ochre partition list|show|freeze|persist|compact|read-only`.

use clap::{Args, Subcommand, ValueEnum};
use ochre_client::Partitions;
use ochre_types::{ByteSize, DatabaseName, TableName};
use ochre_wire::v1;
use serde_json::json;

use super::client::Remote;
use super::operations::{Follow, instant};
use super::table::table;
use super::{Output, Stop};

/// List partitions, move their chunks along, and close them for writes.
#[derive(Debug, Subcommand)]
pub enum Partition {
    /// List the partitions of a database.
    List(List),
    /// Show the chunks of a partition.
    Show(Show),
    /// Sort and fold what is open.
    Freeze(Work),
    /// Put everything into objects.
    Persist(Work),
    /// Persist, then join chunks, and carry out deletes and retention.
    Compact(Work),
    /// Close a partition for writes, or open it again.
    ReadOnly(ReadOnly),
}

/// List the partitions of a database.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// Only this table, or those that match a pattern as in rules.
    #[arg(long, value_name = "PATTERN")]
    table: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Show the chunks of a partition.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// The table.
    #[arg(long, value_name = "NAME")]
    table: TableName,
    /// The partition key; empty for a table that is one partition.
    #[arg(long)]
    key: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Works on partitions.
#[derive(Debug, Args)]
pub struct Work {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// Only this table, or those that match a pattern as in rules.
    #[arg(long, value_name = "PATTERN")]
    table: Option<String>,
    /// Only partitions with this key.
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    follow: Follow,
}

/// Close a partition for writes, or open it again.
#[derive(Debug, Args)]
pub struct ReadOnly {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// The table.
    #[arg(long, value_name = "NAME")]
    table: TableName,
    /// The partition key.
    #[arg(long)]
    key: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Whether it takes no writes from now on.
    #[arg(value_enum)]
    state: Switch,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// From now on.
    On,
    /// No longer.
    Off,
}

impl Partition {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Freeze(work) => work.run(v1::PartitionWork::Freeze).await,
            Self::Persist(work) => work.run(v1::PartitionWork::Persist).await,
            Self::Compact(work) => work.run(v1::PartitionWork::Compact).await,
            Self::ReadOnly(read_only) => read_only.run().await,
        }
    }
}

impl List {
    async fn run(&self) -> Result<(), Stop> {
        let found = self.remote.connect()?.storage().partitions(&self.database, self.table.as_deref()).await?;
        match self.output {
            Output::Json => println!("{}", json!(found.iter().map(partition_json).collect::<Vec<_>>())),
            Output::Text => print!("{}", partitions_text(&found)),
        }
        Ok(())
    }
}

impl Show {
    async fn run(&self) -> Result<(), Stop> {
        let found = self.remote.connect()?.storage().partition(&self.database, &self.table, &self.key).await?;
        match self.output {
            Output::Json => {
                let partitions: Vec<_> = found.partitions.iter().map(partition_json).collect();
                let chunks: Vec<_> = found.chunks.iter().map(chunk_json).collect();
                println!("{}", json!({ "partitions": partitions, "chunks": chunks }));
            }
            Output::Text => print!("{}\n{}", partitions_text(&found.partitions), chunks_text(&found.chunks)),
        }
        Ok(())
    }
}

impl Work {
    async fn run(&self, work: v1::PartitionWork) -> Result<(), Stop> {
        let storage = self.remote.connect()?.storage();
        let partitions = Partitions { tables: self.table.clone(), key: self.key.clone() };
        let begun = storage.work_on_partitions(&self.database, &partitions, work).await?;
        self.follow.run(&storage, begun).await
    }
}

impl ReadOnly {
    async fn run(&self) -> Result<(), Stop> {
        let on = self.state == Switch::On;
        let storage = self.remote.connect()?.storage();
        let changed = storage.set_partitions_read_only(&self.database, &self.table, &self.key, on).await?;
        match self.output {
            Output::Json => println!("{}", json!({ "read_only": on, "changed": changed })),
            Output::Text => {
                let (key, table) = (&self.key, self.table.as_str());
                let now = if on { "read-only" } else { "open for writes" };
                let already = if changed == 0 { " already" } else { "" };
                println!("partition {key:?} of table {table:?} is {now}{already}");
            }
        }
        Ok(())
    }
}

fn partition_json(info: &v1::PartitionInfo) -> serde_json::Value {
    json!({
        "table": info.table,
        "key": info.key,
        "template": info.template,
        "open_chunks": info.open_chunks,
        "frozen_chunks": info.frozen_chunks,
        "persisted_chunks": info.persisted_chunks,
        "buffered_rows": info.buffered_rows,
        "persisted_rows": info.persisted_rows,
        "persisted_bytes": info.persisted_bytes,
        "memory_bytes": info.memory_bytes,
        "time_min": instant(info.time_min),
        "time_max": instant(info.time_max),
        "read_only": info.read_only,
    })
}

fn chunk_json(info: &v1::ChunkInfo) -> serde_json::Value {
    json!({
        "id": info.id,
        "stage": info.stage,
        "level": info.level,
        "rows": info.rows,
        "bytes": info.bytes,
        "time_min": instant(info.time_min),
        "time_max": instant(info.time_max),
        "object": Some(&info.object).filter(|object| !object.is_empty()),
        "resident": info.resident,
        "settled": instant(info.settled),
        "template": info.template,
        "sorted_by": info.sorted_by,
    })
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn partitions_text(found: &[v1::PartitionInfo]) -> String {
    let header = ["table", "key", "open", "frozen", "persisted", "rows", "bytes", "from", "to", "writes"];
    let row = |info: &v1::PartitionInfo| {
        vec![
            info.table.clone(),
            info.key.clone(),
            info.open_chunks.to_string(),
            info.frozen_chunks.to_string(),
            info.persisted_chunks.to_string(),
            (info.buffered_rows + info.persisted_rows).to_string(),
            ByteSize(info.persisted_bytes + info.memory_bytes).to_string(),
            shown(instant(info.time_min)),
            shown(instant(info.time_max)),
            if info.read_only { "read-only" } else { "open" }.to_owned(),
        ]
    };
    table(&header, &found.iter().map(row).collect::<Vec<_>>())
}

fn chunks_text(found: &[v1::ChunkInfo]) -> String {
    let header = ["chunk", "stage", "level", "rows", "bytes", "from", "to", "settled", "in memory", "sorted by"];
    let row = |info: &v1::ChunkInfo| {
        let in_memory = info.resident || info.object.is_empty();
        vec![
            info.id.clone(),
            info.stage.clone(),
            info.level.to_string(),
            info.rows.to_string(),
            ByteSize(info.bytes).to_string(),
            shown(instant(info.time_min)),
            shown(instant(info.time_max)),
            shown(instant(info.settled)),
            if in_memory { "yes" } else { "no" }.to_owned(),
            info.sorted_by.join(","),
        ]
    };
    table(&header, &found.iter().map(row).collect::<Vec<_>>())
}
