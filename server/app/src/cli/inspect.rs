//! `ochre inspect`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat};
use clap::Args;
use object_store::ObjectStore;
use ochre_database::inspect::{CatalogReport, DatabaseReport, InLogOnly, Report, inspect};
use ochre_env::Env;
use ochre_store::object::Layout;
use ochre_types::{NodeId, path};
use serde_json::{Value, json};

use super::table::table;
use super::{Output, Stop};
use crate::serve::object_store_url;

/// Look at what a node has in its object store and log, without a server and without changing anything.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The node's name; needed only if there are several in the object store.
    #[arg(long, value_name = "NAME")]
    node_id: Option<NodeId>,
    /// The directory of its log, where PREFIX is a URL.
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Its object store, where PREFIX is a data directory and the objects are elsewhere.
    #[arg(long, value_name = "URL")]
    object_store: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The URL of an object store, or the data directory of a server.
    prefix: String,
}

impl Inspect {
    /// Runs the command. Damage is a failure, after everything has been printed.
    pub async fn run(&self) -> Result<(), Stop> {
        let env = Env::system();
        let (url, log_dir) = self.places()?;
        let objects = ochre_store::object::open(&url, &env).await.with_context(|| format!("opening {url}"))?;
        let node = match &self.node_id {
            Some(node) => node.clone(),
            None => only_node(&objects, &url).await?,
        };
        let layout = Layout::new(&object_store::path::Path::default(), &node);
        let report = inspect(&env, &objects, &layout, log_dir)
            .await
            .with_context(|| format!("looking at node {node} in {url}"))?;
        match self.output {
            Output::Text => print!("{}", text(&node, &report)),
            Output::Json => println!("{:#}", to_json(&node, &report)),
        }
        if is_damaged(&report) {
            return Err(Stop::Failed(anyhow::anyhow!("a part of it is damaged: see above")));
        }
        Ok(())
    }

    /// Where the objects are, and the log if there is one.
    fn places(&self) -> Result<(String, Option<PathBuf>), Stop> {
        if self.prefix.contains("://") {
            must_exist(&self.prefix)?;
            return Ok((self.prefix.clone(), self.log_dir.clone()));
        }
        let dir = std::path::absolute(Path::new(&self.prefix))?;
        if !dir.is_dir() {
            return Err(anyhow::anyhow!(
                "there is no directory {}: name a data directory or an object store's URL",
                dir.display()
            )
            .into());
        }
        let url = object_store_url(self.object_store.as_deref().unwrap_or(""), &dir)?;
        must_exist(&url)?;
        let log = self.log_dir.clone().or_else(|| Some(dir.join("log")).filter(|log| log.is_dir()));
        Ok((url, log))
    }
}

/// Opening a folder would make it: looking must not.
pub(super) fn must_exist(url: &str) -> anyhow::Result<()> {
    let folder = url::Url::parse(url).ok().filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok());
    match folder {
        Some(folder) if !folder.is_dir() => bail!("there is no directory {}", folder.display()),
        _ => Ok(()),
    }
}

pub(super) async fn only_node(objects: &Arc<dyn ObjectStore>, url: &str) -> anyhow::Result<NodeId> {
    let listed = objects.list_with_delimiter(None).await.with_context(|| format!("listing {url}"))?;
    let folders = listed.common_prefixes.iter().filter_map(|folder| folder.filename().map(str::to_owned));
    let names = folders.filter_map(|folder| NodeId::new(path::decode_element(&folder).ok()?).ok());
    let names: Vec<NodeId> = names.collect();
    match names.as_slice() {
        [] => bail!("there is no node in {url}"),
        [node] => Ok(node.clone()),
        several => {
            let several: Vec<&str> = several.iter().map(NodeId::as_str).collect();
            bail!("there are several nodes in {url}: choose one of {} with --node-id", several.join(", "))
        }
    }
}

fn is_damaged(report: &Report) -> bool {
    report.log.as_ref().is_some_and(|log| !log.damage.is_empty())
        || report.databases.iter().any(|database| match &database.catalog {
            Ok(catalog) => catalog.set_aside > 0 || !catalog.damaged.is_empty(),
            Err(_) => true,
        })
}

fn to_json(node: &NodeId, report: &Report) -> Value {
    json!({
        "node": node.as_str(),
        "owner": report.owner.as_ref().map(|owner| json!({
            "epoch": owner.epoch.0,
            "incarnation": owner.incarnation.to_string(),
            "claimed": time(owner.claimed_at_millis),
            "version": owner.version,
        })),
        "log_id": report.log_id.map(|id| id.to_string()),
        "log": report.log.as_ref().map(|log| json!({
            "id": log.log_id.map(|id| id.to_string()),
            "sealed": log.sealed,
            "segments": log.segments.len(),
            "bytes": log.segments.iter().map(|segment| segment.length).sum::<u64>(),
            "torn_tail": log.torn_tail.as_ref().map(ToString::to_string),
            "damage": log.damage.iter().map(|damage| damage.to_string()).collect::<Vec<_>>(),
        })),
        "databases": report.databases.iter().map(database_json).collect::<Vec<_>>(),
    })
}

fn database_json(database: &DatabaseReport) -> Value {
    let catalog = match &database.catalog {
        Ok(catalog) => json!({
            "revision": catalog.revision,
            "tables": catalog.tables,
            "chunks": catalog.chunks,
            "rows": catalog.rows,
            "bytes": catalog.bytes,
            "low_water": catalog.low_water.map(|(log, sequence)| json!({ "log": log.to_string(), "sequence": sequence.0 })),
            "removed_chunks": catalog.removed,
            "set_aside_chunks": catalog.set_aside,
            "set_aside_rows": catalog.set_aside_rows,
            "tombstones": catalog.tombstones,
            "settled_chunks": catalog.settled,
            "unchecked_chunks": catalog.unchecked,
            "damage": catalog.damaged,
        }),
        Err(error) => json!({ "error": error }),
    };
    let in_log_only = database.in_log_only.as_ref().map(|only| {
        json!({
            "batches": only.batches,
            "rows": only.rows,
            "durable_rows": only.durable_rows,
            "first": only.range.map(|(first, _)| first.0),
            "last": only.range.map(|(_, last)| last.0),
            "accepted_first": only.accepted.map(|(first, _)| time(first)),
            "accepted_last": only.accepted.map(|(_, last)| time(last)),
            "damaged": only.damaged,
        })
    });
    json!({ "name": database.name.as_str(), "catalog": catalog, "in_log_only": in_log_only })
}

fn text(node: &NodeId, report: &Report) -> String {
    let mut text = match &report.owner {
        Some(owner) => format!(
            "node {node}: epoch {}, incarnation {}, claimed {} by {}\n",
            owner.epoch,
            owner.incarnation,
            time(owner.claimed_at_millis),
            owner.version
        ),
        None => format!("node {node}: never claimed\n"),
    };
    if let Some(log) = &report.log {
        let id = log.log_id.map_or("unknown".to_owned(), |id| id.to_string());
        let bytes: u64 = log.segments.iter().map(|segment| segment.length).sum();
        let end = if log.sealed { "stopped cleanly" } else { "not stopped cleanly, or in use" };
        text.push_str(&format!("log {id}: {} segments, {bytes} bytes, {end}\n", log.segments.len()));
        if log.log_id.is_some() && report.log_id.is_some() && log.log_id != report.log_id {
            text.push_str("THIS IS NOT THE LOG THAT THE CATALOG NAMES\n");
        }
        text.extend(log.torn_tail.iter().map(|torn| format!("unfinished end: {torn}\n")));
        text.extend(log.damage.iter().map(|damage| format!("DAMAGE: {damage}\n")));
    }
    text.push('\n');
    let header = [
        "database",
        "revision",
        "tables",
        "chunks",
        "rows",
        "bytes",
        "low water",
        "in log only: batches",
        "rows",
        "durable",
        "sequences",
        "accepted",
    ];
    let rows: Vec<Vec<String>> = report.databases.iter().map(database_row).collect();
    text.push_str(&table(&header, &rows));
    for database in &report.databases {
        if let Ok(catalog) = &database.catalog {
            text.push_str(&catalog_text(database, catalog));
        }
    }
    text
}

/// What there is to say of a catalog beside its chunks.
fn catalog_text(database: &DatabaseReport, catalog: &CatalogReport) -> String {
    let name = &database.name;
    let counts = [
        (catalog.removed, "chunks taken out, whose objects may still be there"),
        (catalog.tombstones, "deletions"),
        (catalog.settled, "settled chunks"),
        (catalog.unchecked, "chunks without checksums"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let mut text = if counts.is_empty() { String::new() } else { format!("{name}: {}\n", counts.join(", ")) };
    if catalog.set_aside > 0 {
        let CatalogReport { set_aside, set_aside_rows, .. } = catalog;
        text.push_str(&format!(
            "MISSING: {name}: {set_aside} damaged chunks with {set_aside_rows} rows are set aside\n"
        ));
    }
    text.extend(catalog.damaged.iter().map(|damage| format!("DAMAGE: {name}: {damage}\n")));
    text
}

fn database_row(database: &DatabaseReport) -> Vec<String> {
    let mut row = vec![database.name.to_string()];
    match &database.catalog {
        Ok(CatalogReport { revision, tables, chunks, rows, bytes, low_water, .. }) => {
            row.extend([revision, tables, chunks, rows, bytes].map(ToString::to_string));
            row.push(low_water.map_or("-".to_owned(), |(_, sequence)| sequence.to_string()));
        }
        Err(error) => row.push(format!("UNREADABLE: {error}")),
    }
    if let Some(InLogOnly { batches, rows, durable_rows, range, accepted, .. }) = &database.in_log_only {
        row.extend([batches, rows, durable_rows].map(ToString::to_string));
        row.extend(range.map(|(first, last)| format!("{first}..={last}")));
        row.extend(accepted.map(|(first, last)| format!("{} .. {}", time(first), time(last))));
    }
    row
}

fn time(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| millis.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
