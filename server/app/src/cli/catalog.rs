//! `ochre catalog repair`.

use std::path::Path;

use anyhow::Context;
use clap::{Args, Subcommand};
use ochre_database::repair::{Place, RepairReport, repair};
use ochre_env::Env;
use ochre_store::object::Layout;
use ochre_types::{DatabaseName, NodeId};

use super::Stop;
use super::inspect::{must_exist, only_node};
use crate::serve::object_store_url;

/// Repair a catalog that has lost revisions, without a server.
#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// Say what is left of a damaged catalog and what objects say of themselves, and make a catalog of it.
    Repair(Repair),
}

/// Say what is left of a damaged catalog and what objects say of themselves, and make a catalog of it.
///
/// Changes nothing without --apply. Stop the server before that: one that runs is fenced.
#[derive(Debug, Args)]
pub struct Repair {
    /// The node's name; needed only if there are several in the object store.
    #[arg(long, value_name = "NAME")]
    node_id: Option<NodeId>,
    /// Its object store, where PREFIX is a data directory and the objects are elsewhere.
    #[arg(long, value_name = "URL")]
    object_store: Option<String>,
    /// The database.
    #[arg(long, value_name = "NAME")]
    database: DatabaseName,
    /// Write the repaired catalog. Damaged revisions stay where they are, and are not read any more.
    #[arg(long)]
    apply: bool,
    /// The URL of an object store, or the data directory of a server.
    prefix: String,
}

impl Catalog {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let Self::Repair(repair) = self;
        repair.run().await
    }
}

impl Repair {
    async fn run(&self) -> Result<(), Stop> {
        let env = Env::system();
        let url = match self.prefix.contains("://") {
            true => self.prefix.clone(),
            false => object_store_url(
                self.object_store.as_deref().unwrap_or(""),
                &std::path::absolute(Path::new(&self.prefix))?,
            )?,
        };
        must_exist(&url)?;
        let objects = ochre_store::object::open(&url, &env).await.with_context(|| format!("opening {url}"))?;
        let node = match &self.node_id {
            Some(node) => node.clone(),
            None => only_node(&objects, &url).await?,
        };
        let layout = Layout::new(&object_store::path::Path::default(), &node);
        let place = Place { objects, layout, database: self.database.clone() };
        let report = repair(&env, &place, self.apply).await?;
        print!("{}", text(&self.database, &report));
        Ok(())
    }
}

fn text(database: &DatabaseName, report: &RepairReport) -> String {
    if report.lost.is_empty() {
        return format!("the catalog of database {database} has lost nothing: there is nothing to repair\n");
    }
    let mut text = String::new();
    let mut lines = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("{} {title}:\n", lines.len()));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    };
    lines("revisions are lost", report.lost.iter().map(ToString::to_string).collect());
    lines("chunks are named by the others and are gone: they are set aside", report.missing.clone());
    lines("chunks are named by none: they are taken in again", report.found.clone());
    lines("objects can't be taken in again", report.unclear.clone());
    let (chunks, rows) = report.kept;
    text.push_str(&format!("{chunks} chunks with {rows} rows are named by the others\n"));
    text.push_str(&format!(
        "uncertain: rows that a lost revision deleted or let expire come back; {} deletions are known and hold. Rules \
         that a lost revision set have to be applied again. What the log still has is replayed.\n",
        report.tombstones
    ));
    text.push_str(&match report.written {
        Some(revision) => format!("repaired: the catalog is read from revision {revision} on\n"),
        None => "nothing was changed: stop the server and give --apply\n".to_owned(),
    });
    text
}
