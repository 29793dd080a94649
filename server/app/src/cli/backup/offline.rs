//! Backups without a server.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use chrono::{DateTime, SecondsFormat};
use indicatif::{ProgressBar, ProgressStyle};
use object_store::ObjectStore;
use ochre_database::backup::{self, BackupId, Manifest, Retain, Source, Target, Watch};
use ochre_env::Env;
use ochre_store::object::Layout;
use ochre_types::{ByteSize, DatabaseName, NodeId};
use serde_json::{Value, json};

use crate::cli::inspect::must_exist;
use crate::cli::table::table;
use crate::cli::{Output, Stop};

/// Shows a bar where a person looks on.
#[derive(Debug)]
struct Bar(ProgressBar);

impl Bar {
    fn new(what: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let template = "{prefix} [{wide_bar}] {bytes}/{total_bytes} {eta}";
        let style = ProgressStyle::with_template(template).expect("this template is legal");
        Self(ProgressBar::new(0).with_style(style).with_prefix(what))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Watch for Bar {
    fn total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Which backup is meant.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// Its id.
    pub backup: Option<&'a str>,
    /// The newest that was begun by this time.
    pub at: Option<&'a str>,
}

impl Which<'_> {
    async fn find(self, target: &Target) -> Result<Manifest, Stop> {
        let id = self.backup.map(str::parse::<BackupId>).transpose();
        let id = id.map_err(|error| Stop::Usage(error.to_string()))?;
        let at = self.at.map(|text| match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(u64::try_from(time.timestamp_millis()).unwrap_or(0)),
            Err(error) => Err(Stop::Usage(format!("--at {text:?} is no time as in RFC 3339: {error}"))),
        });
        Ok(backup::choose(target, id, at.transpose()?).await?)
    }
}

async fn open(url: &str, env: &Env) -> Result<Arc<dyn ObjectStore>, Stop> {
    Ok(ochre_store::object::open(url, env).await.with_context(|| format!("opening {url}"))?)
}

/// A target that is there.
async fn target(url: &str) -> Result<Target, Stop> {
    must_exist(url)?;
    let env = Env::system();
    Ok(Target { objects: open(url, &env).await?, env })
}

/// Backs up what a node's catalogs have.
pub async fn create(url: &str, node: &NodeId, to: &str, databases: &[DatabaseName]) -> Result<(), Stop> {
    must_exist(url)?;
    if url.trim_end_matches('/') == to.trim_end_matches('/') {
        return Err(Stop::Usage("--to is the node's own object store: give backups a folder of their own".to_owned()));
    }
    let env = Env::system();
    let objects = open(url, &env).await?;
    let target = Target { objects: open(to, &env).await?, env: env.clone() };
    let prefix = object_store::path::Path::default();
    let source = Source::Prefix { objects, prefix, node: node.clone(), env };
    let made = backup::create(&source, &target, databases, &Bar::new("backup")).await?;
    let (count, rows, bytes) = (made.databases.len(), made.rows(), ByteSize(made.bytes()));
    println!("backup {}: {count} databases, {rows} rows, {bytes}", made.id);
    eprintln!("it was made without the server: what only the server's log and memory had is not in it");
    Ok(())
}

/// Lists backups. Those that can't be read are a failure, after all were printed.
pub async fn list(from: &str, output: Output) -> Result<(), Stop> {
    let (manifests, damaged) = backup::list(&target(from).await?).await?;
    match output {
        Output::Json => println!("{}", json!(manifests.iter().map(manifest_json).collect::<Vec<_>>())),
        Output::Text => {
            let header = ["backup", "node", "begun", "databases", "rows", "bytes", "complete"];
            print!("{}", table(&header, &manifests.iter().map(row).collect::<Vec<_>>()));
        }
    }
    fail_if_damaged(&damaged)
}

/// Reads a backup through.
pub async fn verify(from: &str, id: Option<&str>, output: Output) -> Result<(), Stop> {
    let target = target(from).await?;
    let manifest = Which { backup: id, at: None }.find(&target).await?;
    let verified = backup::verify(&target, &manifest, &Bar::new("verify")).await?;
    match output {
        Output::Json => {
            let damaged = verified.damaged.iter();
            let damaged = damaged.map(|damaged| json!({ "object": damaged.object, "what": damaged.what }));
            let damaged: Vec<Value> = damaged.collect();
            let (id, files, bytes) = (manifest.id.to_string(), verified.files, verified.bytes);
            println!("{}", json!({ "id": id, "files": files, "bytes": bytes, "damaged": damaged }));
        }
        Output::Text => {
            let (id, files, bytes) = (manifest.id, verified.files, ByteSize(verified.bytes));
            println!("backup {id}: {files} files with {bytes} are as they were written");
        }
    }
    fail_if_damaged(&verified.damaged)
}

/// Removes old backups.
pub async fn prune(from: &str, retain: Retain, apply: bool, output: Output) -> Result<(), Stop> {
    let pruned = backup::prune(&target(from).await?, retain, apply, &Bar::new("prune")).await?;
    let ids: Vec<String> = pruned.backups.iter().map(ToString::to_string).collect();
    match output {
        Output::Json => println!(
            "{}",
            json!({
                "applied": apply,
                "backups": ids,
                "kept": pruned.kept,
                "files": pruned.files,
                "bytes": pruned.bytes,
                "young_files": pruned.young,
            })
        ),
        Output::Text => {
            let removed = if apply { "removed" } else { "would be removed" };
            ids.iter().for_each(|id| println!("backup {id} {removed}"));
            let bytes = ByteSize(pruned.bytes);
            println!("{} files with {bytes} {removed}; {} backups stay", pruned.files, pruned.kept);
            if pruned.young > 0 {
                println!("{} files that no backup names stay until they are a day old", pruned.young);
            }
            if !apply {
                println!("nothing was removed: give --apply for that");
            }
        }
    }
    Ok(())
}

/// Restores to an empty prefix.
pub async fn restore(
    from: &str,
    which: Which<'_>,
    databases: &[DatabaseName],
    url: &str,
    node: &NodeId,
) -> Result<(), Stop> {
    let target = target(from).await?;
    let manifest = which.find(&target).await?;
    let objects = open(url, &target.env).await?;
    let layout = Layout::new(&object_store::path::Path::default(), node);
    let bar = Bar::new("restore");
    let restored = backup::restore(&target, &manifest, databases, &objects, &layout, &bar).await?;
    drop(bar);
    let names: Vec<&str> = restored.databases.iter().map(DatabaseName::as_str).collect();
    println!("backup {}: {} rows are back in {} of node {node}", manifest.id, restored.rows, names.join(", "));
    eprintln!("what was written or deleted after {} is not known to it", time(manifest.id.begun_millis));
    Ok(())
}

fn fail_if_damaged(damaged: &[backup::Damaged]) -> Result<(), Stop> {
    damaged.iter().for_each(|damaged| eprintln!("DAMAGE: {}: {}", damaged.object, damaged.what));
    if damaged.is_empty() { Ok(()) } else { Err(Stop::Failed(anyhow!("{} objects are damaged", damaged.len()))) }
}

fn row(manifest: &Manifest) -> Vec<String> {
    vec![
        manifest.id.to_string(),
        manifest.node.to_string(),
        time(manifest.id.begun_millis),
        manifest.databases.len().to_string(),
        manifest.rows().to_string(),
        ByteSize(manifest.bytes()).to_string(),
        if manifest.complete { "yes" } else { "no" }.to_owned(),
    ]
}

fn manifest_json(manifest: &Manifest) -> Value {
    let databases = manifest.databases.iter().map(|part| {
        json!({
            "name": part.name.as_str(),
            "revision": part.catalog.revision,
            "chunks": part.chunks,
            "rows": part.rows,
            "bytes": part.bytes,
        })
    });
    json!({
        "id": manifest.id.to_string(),
        "node": manifest.node.as_str(),
        "epoch": manifest.epoch.0,
        "begun": time(manifest.id.begun_millis),
        "ended": time(manifest.ended_millis),
        "complete": manifest.complete,
        "rows": manifest.rows(),
        "bytes": manifest.bytes(),
        "databases": databases.collect::<Vec<_>>(),
    })
}

fn time(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| millis.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
