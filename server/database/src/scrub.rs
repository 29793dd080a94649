//! Scrubbing: reads everything that the catalogs name, and says what is damaged, missing, or named by nothing.
//!
//! ```text
//!   each database: chunks -> whole object against its checksums, then its footer -> damaged? -> set aside, if asked
//!                  chunks that are set aside -> readable again?
//!                  revisions of its catalog
//!                  objects below data/ -> named by nothing, and not of this start, and older than the grace? -> an orphan
//! ```
//!
//! An object is an orphan only if the catalog that is read *after* the listing does not name it. One of this
//! incarnation may be about to be named, however old it is, and is left to the next start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use ochre_store::catalog::{CatalogState, ChunkId, ChunkMeta, Verified};
use ochre_store::footer::{FooterError, read_footer};
use ochre_store::object::verified::DamagedObject;
use ochre_types::DatabaseName;

use crate::damage::{AsideError, report_copies};
use crate::database::Database;
use crate::node::Node;
use crate::operations::{Operation, OperationError, Progress, Work};

/// Bytes that are read a second, about: queries come first.
const BYTES_PER_SECOND: u64 = 64 << 20;

/// What a scrub is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubOrder {
    /// Only this database; `None`: all, and the node's catalog.
    pub database: Option<DatabaseName>,
    /// Whether orphans are removed; else they are only named.
    pub remove_orphans: bool,
    /// Whether damaged chunks are set aside; else they are only named.
    pub set_aside: bool,
    /// The name of the token that asks.
    pub by: String,
}

/// What a scrub has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    objects: u64,
    damaged: u64,
    unknown: u64,
    set_aside: u64,
    revisions: u64,
    damaged_revisions: u64,
    orphans: u64,
    removed: u64,
}

impl Tally {
    fn message(&self) -> String {
        let mut text = format!("{} objects and {} revisions verified", self.objects, self.revisions);
        for (count, what) in [
            (self.damaged, "objects damaged"),
            (self.set_aside, "set aside"),
            (self.unknown, "objects not read, as the store did not answer"),
            (self.damaged_revisions, "revisions damaged"),
            (self.orphans, "orphans"),
            (self.removed, "orphans removed"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }
}

impl Node {
    /// Begins to verify everything, or one database, as an operation.
    pub fn scrub(self: &Arc<Self>, order: ScrubOrder) -> Result<Operation, OperationError> {
        let target = match (order.set_aside, order.remove_orphans) {
            (false, false) => "objects and revisions",
            (true, false) => "objects and revisions, setting damaged chunks aside",
            (false, true) => "objects and revisions, removing orphans",
            (true, true) => "objects and revisions, setting damaged chunks aside and removing orphans",
        };
        let work = Work {
            kind: "scrub",
            database: order.database.clone(),
            target: target.to_owned(),
            unit: "objects",
            begun_by: order.by.clone(),
        };
        let node = self.clone();
        self.operations.spawn(work, |progress| async move {
            let mut scrub = Scrub { node, order, progress, tally: Tally::default() };
            scrub.run().await.map(|()| scrub.tally.message())
        })
    }
}

impl Node {
    /// Begins to put a chunk back that was set aside, as an operation.
    pub fn begin_take_back(
        self: &Arc<Self>,
        database: &Arc<Database>,
        chunk: ChunkId,
        by: String,
    ) -> Result<Operation, OperationError> {
        let work = Work {
            kind: "scrub",
            database: Some(database.name().clone()),
            target: format!("chunk {chunk}, which is set aside"),
            unit: "objects",
            begun_by: by,
        };
        let (node, database) = (self.clone(), database.clone());
        self.operations.spawn(work, |progress| async move {
            progress.set_total(1);
            let meta = node.take_back(&database, chunk).await.map_err(|error| error.to_string())?;
            progress.advance(1);
            Ok(format!("chunk {chunk} is back: {} rows", meta.rows))
        })
    }
}

struct Scrub {
    node: Arc<Node>,
    order: ScrubOrder,
    progress: Arc<Progress>,
    tally: Tally,
}

impl Scrub {
    async fn run(&mut self) -> Result<(), String> {
        let only = self.order.database.clone();
        let databases: Vec<_> = self
            .node
            .open_now()
            .into_iter()
            .filter(|found| only.as_ref().is_none_or(|name| name == found.name()))
            .collect();
        let total: usize = databases.iter().map(|database| database.catalog.state().chunks().count()).sum();
        self.progress.set_total(total as u64);
        for database in &databases {
            self.chunks(database).await;
            self.set_aside_before(database).await;
            let verified = database.catalog.verify().await.map_err(|error| error.to_string())?;
            self.revisions(Some(database.name()), &verified);
            self.orphans(database).await?;
            if self.progress.cancelled() {
                return Err("it was asked to end".to_owned());
            }
        }
        if only.is_none() {
            let verified = self.node.catalog.verify().await.map_err(|error| error.to_string())?;
            self.revisions(None, &verified);
        }
        Ok(())
    }

    async fn chunks(&mut self, database: &Arc<Database>) {
        let state = database.catalog.state();
        for meta in state.chunks() {
            if self.progress.cancelled() {
                return;
            }
            self.chunk(database, meta).await;
            self.progress.advance(1);
            let pause = Duration::from_nanos(meta.size_bytes.saturating_mul(1_000_000_000) / BYTES_PER_SECOND);
            self.node.shared.env.clock.sleep(pause).await;
        }
    }

    async fn chunk(&mut self, database: &Arc<Database>, meta: &Arc<ChunkMeta>) {
        let name = database.name();
        let found = match self.node.objects.verify(&self.node.owner.layout, name, meta).await {
            Ok(()) => self.footer(name, meta).await,
            Err(error) => Err(error),
        };
        self.tally.objects += 1;
        let Err(error) = found else { return };
        // Joined into others, or dropped, and collected meanwhile: nobody misses it.
        if !is_held(&database.catalog.state(), meta) {
            return;
        }
        let Some(damaged) = DamagedObject::of(&error) else {
            self.tally.unknown += 1;
            self.progress.finding(format!("chunk {} of table {} could not be read: {error}", meta.id, meta.table));
            return;
        };
        self.tally.damaged += 1;
        self.node.damage.report(damaged.entry());
        self.progress.finding(damaged.to_string());
        if self.order.set_aside {
            let outcome = self.node.set_aside(database, meta).await;
            let finding = self.aside(meta, outcome);
            self.progress.finding(finding);
        }
    }

    fn aside(&mut self, meta: &ChunkMeta, outcome: Result<(), AsideError>) -> String {
        match outcome {
            Ok(()) => {
                self.tally.set_aside += 1;
                format!("chunk {} was set aside: queries answer without its {} rows", meta.id, meta.rows)
            }
            Err(error) => format!("chunk {} was not set aside: {error}", meta.id),
        }
    }

    /// Whether the footer speaks of the chunk that the catalog means.
    async fn footer(&self, database: &DatabaseName, meta: &Arc<ChunkMeta>) -> object_store::Result<()> {
        let path = self.node.owner.layout.object(database, &meta.object);
        let damaged = |what: String| DamagedObject::new(database, meta, &path, what);
        let compute = &self.node.shared.env.compute;
        let footer = match read_footer(&self.node.owner.store, compute, &path, meta.size_bytes).await {
            Ok(footer) => footer,
            Err(FooterError::Store { source, .. }) => return Err(source),
            Err(FooterError::Damaged { reason, .. }) => {
                return Err(damaged(format!("its footer can't be read: {reason}")).into());
            }
        };
        if footer.rows != meta.rows {
            return Err(damaged(format!("it has {} rows instead of {}", footer.rows, meta.rows)).into());
        }
        match footer.metadata.get("ochre.chunk") {
            Some(chunk) if *chunk != meta.id.to_string() => Err(damaged(format!("it is that of chunk {chunk}")).into()),
            _ => Ok(()),
        }
    }

    /// Chunks that were set aside earlier and can be read again.
    async fn set_aside_before(&mut self, database: &Arc<Database>) {
        let state = database.catalog.state();
        for (id, lost) in state.removed.iter().filter_map(|(id, removed)| Some((id, removed.lost.as_ref()?))) {
            if self.progress.cancelled() {
                return;
            }
            let name = database.name();
            if self.node.objects.verify(&self.node.owner.layout, name, lost).await.is_ok() {
                self.progress.finding(format!(
                    "chunk {id}, which is set aside, can be read again: ochre scrub --database {name} --restore {id}"
                ));
            }
        }
    }

    fn revisions(&mut self, database: Option<&DatabaseName>, verified: &Verified) {
        self.tally.revisions += verified.revisions;
        self.tally.damaged_revisions += verified.damaged.len() as u64;
        for damaged in &verified.damaged {
            self.progress.finding(damaged.to_string());
        }
        report_copies(&self.node.damage, database, &verified.damaged);
    }

    async fn orphans(&mut self, database: &Arc<Database>) -> Result<(), String> {
        let layout = &self.node.owner.layout;
        let folder = layout.object(database.name(), "data");
        let listed: Vec<ObjectMeta> = self
            .node
            .owner
            .store
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|error| format!("listing {folder}: {error}"))?;
        let state = database.catalog.state();
        let named = named(&state, |object| layout.object(database.name(), object));
        let now = i128::from(self.node.shared.env.clock.wall_nanos());
        let grace = database.rules().lifecycle.grace.as_nanos() as i128;
        for object in listed.into_iter().filter(|object| !named.contains(&object.location)) {
            let age = now - i128::from(object.last_modified.timestamp_millis()) * 1_000_000;
            if age < grace
                || chunk_of(&object.location).is_some_and(|id| id.incarnation == self.node.shared.incarnation)
            {
                continue;
            }
            self.orphan(&object).await;
        }
        Ok(())
    }

    async fn orphan(&mut self, object: &ObjectMeta) {
        self.tally.orphans += 1;
        let (path, size) = (&object.location, object.size);
        if !self.order.remove_orphans {
            self.progress.finding(format!("{path}, {size} bytes, is named by nothing"));
            return;
        }
        match self.node.owner.store.delete(path).await {
            Ok(()) => {
                self.tally.removed += 1;
                self.progress.finding(format!("{path}, {size} bytes, was named by nothing and is removed"));
            }
            Err(error) => self.progress.finding(format!("{path} is named by nothing and was not removed: {error}")),
        }
    }
}

fn is_held(state: &CatalogState, meta: &ChunkMeta) -> bool {
    state.tables.get(&meta.table).is_some_and(|table| table.chunks.contains_key(&meta.id))
}

/// Every object that a state names, removed ones among them.
fn named(state: &CatalogState, path: impl Fn(&str) -> Path) -> BTreeSet<Path> {
    let held = state.chunks().map(|chunk| path(&chunk.object));
    held.chain(state.removed.values().map(|removed| path(&removed.object))).collect()
}

/// The chunk whose object bears this name, if it is one of ours.
fn chunk_of(path: &Path) -> Option<ChunkId> {
    path.filename()?.strip_suffix(".parquet")?.parse().ok()
}
