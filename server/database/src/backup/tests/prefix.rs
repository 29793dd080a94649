//! A node's prefix with databases of made-up files, and a target beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_doubles::clock::SimClock;
use ochre_doubles::disk::SimDisk;
use ochre_doubles::entropy::{SimEntropy, env};
use ochre_doubles::objects::SimObjects;
use ochre_env::Env;
use ochre_store::catalog::{
    Catalog, CatalogState, Checkpoints, ChunkId, ChunkMeta, DatabaseEntry, Edit, LogRange, LowWater, NodeCatalog,
    NodeEdit, NodeState, Owner, Removal, SortedBy, TemplateId, TokenEntry,
};
use ochre_store::epoch;
use ochre_store::object::Layout;
use ochre_store::object::verified::checksums;
use ochre_types::partition::PartitionKey;
use ochre_types::token::{Grants, TokenHash, TokenName};
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{
    ColumnId, ColumnKind, ColumnName, DatabaseName, Hlc, Incarnation, LogId, NodeId, Sequence, Stamp, TableName,
};

use crate::backup::{Source, Target, Unwatched, create};

/// A node without a server, and a target.
pub struct Prefix {
    pub env: Env,
    pub objects: SimObjects,
    pub target: SimObjects,
    owner: Owner,
    catalogs: BTreeMap<DatabaseName, Catalog>,
    chunks: u64,
}

pub fn name(name: &str) -> DatabaseName {
    DatabaseName::new(name).unwrap()
}

fn stamp(hlc: u64) -> Stamp {
    Stamp { hlc: Hlc(hlc), incarnation: Incarnation(7) }
}

impl Prefix {
    /// A node with an empty database for each name.
    pub async fn with(databases: &[&str]) -> Self {
        let clock = Arc::new(SimClock::new());
        let env = env(clock.clone(), &SimEntropy::new(1), Arc::new(SimDisk::new(1)), Duration::from_millis(1));
        let objects = SimObjects::new(clock.clone(), 1);
        let target = SimObjects::new(clock, 2);
        let store: Arc<dyn ObjectStore> = Arc::new(objects.clone());
        let layout = Layout::new(&Path::default(), &NodeId::new("a").unwrap());
        let fence = epoch::claim(&store, &layout, &env, Incarnation(7)).await.unwrap();
        let owner = Owner { store, layout, env: env.clone(), fence, checkpoints: Checkpoints::default() };
        let node = NodeCatalog::open(&owner).await.unwrap();
        let mut catalogs = BTreeMap::new();
        for database in databases {
            let entry = DatabaseEntry { created: stamp(1), retention: None, dropped: None };
            node.commit(vec![NodeEdit::CreateDatabase { name: name(database), entry }]).await.unwrap();
            catalogs.insert(name(database), Catalog::open(&owner, &name(database), stamp(1)).await.unwrap());
        }
        let token = TokenEntry { hash: TokenHash([3; 32]), grants: Grants::everything(), created_millis: 5 };
        let edit = NodeEdit::SetToken { name: TokenName::new("reader").unwrap(), entry: token };
        node.commit(vec![edit, NodeEdit::RaiseCeiling(Hlc(9_000)), NodeEdit::SetLogId(LogId(4))]).await.unwrap();
        Self { env, objects, target, owner, catalogs, chunks: 0 }
    }

    /// Adds a chunk of `size` bytes to a database, with or without its checksums.
    pub async fn add_chunk(&mut self, database: &str, size: usize, with_checksums: bool) -> Arc<ChunkMeta> {
        self.chunks += 1;
        let table = TableName::new("cpu").unwrap();
        let id = ChunkId { incarnation: Incarnation(7), counter: self.chunks };
        let body: Vec<u8> = (0..size).map(|at| (at as u64 * 31 + self.chunks) as u8).collect();
        let object: Arc<str> = Layout::chunk(&table, "2026-11-22", &id.to_string()).into();
        let path = self.owner.layout.object(&name(database), &object);
        let sums = checksums(&body);
        self.objects.memory().put(&path, body.into()).await.unwrap();
        let host = ColumnId { name: ColumnName::new("host").unwrap(), kind: ColumnKind::Tag };
        let chunk = Arc::new(ChunkMeta {
            id,
            object,
            table: table.clone(),
            partition_key: PartitionKey::new("2026-11-22").unwrap(),
            template: TemplateId(1),
            size_bytes: size as u64,
            rows: 10,
            time: (0, 5),
            stamps: (stamp(self.chunks), stamp(self.chunks)),
            unique_keys: true,
            level: 0,
            sorted_by: SortedBy { version: 1, columns: [host.name.clone()].into() },
            log: LogRange { log: LogId(4), first: Sequence(self.chunks), last: Sequence(self.chunks) },
            stats: Vec::new(),
            intervals: BTreeMap::new(),
            settled: None,
            applied: Arc::default(),
            checksums: if with_checksums { sums } else { Arc::default() },
        });
        let edits = vec![
            Edit::CreateTable { table: table.clone() },
            Edit::AddColumns { table: table.clone(), columns: vec![(host.clone(), stamp(1))] },
            Edit::AddSortOrder { table, version: 1, columns: [host.name].into() },
            Edit::AddTemplate { id: TemplateId(1), text: "{day}".into() },
            Edit::AddChunks { chunks: vec![chunk.clone()] },
            Edit::SetLowWater(LowWater { log: LogId(4), sequence: Sequence(self.chunks) }),
        ];
        self.commit(database, edits).await;
        chunk
    }

    /// Deletes a table's rows.
    pub async fn delete(&self, database: &str) {
        let erasure = Erasure::Table { table: TableName::new("gone").unwrap(), undrop_until: Hlc(99) };
        let tombstones = vec![Arc::new(Tombstone::new(stamp(50), erasure))];
        self.commit(database, vec![Edit::AddTombstones { tombstones }]).await;
    }

    /// Takes a chunk out, and removes its object if it is collected at once.
    pub async fn remove_chunk(&self, database: &str, chunk: &ChunkMeta, collected: bool) {
        let edit = Edit::RemoveChunks { chunks: vec![chunk.id], at: Hlc(60), reason: Removal::Joined };
        self.commit(database, vec![edit]).await;
        if collected {
            let path = self.owner.layout.object(&name(database), &chunk.object);
            self.objects.memory().delete(&path).await.unwrap();
        }
    }

    async fn commit(&self, database: &str, edits: Vec<Edit>) {
        self.catalogs[&name(database)].commit(edits).await.unwrap();
    }

    pub fn object(&self, database: &str, chunk: &ChunkMeta) -> Path {
        self.owner.layout.object(&name(database), &chunk.object)
    }

    pub fn source(&self) -> Source {
        Source::Prefix {
            objects: Arc::new(self.objects.clone()),
            prefix: Path::default(),
            node: NodeId::new("a").unwrap(),
            env: self.env.clone(),
        }
    }

    pub fn target(&self) -> Target {
        Target { objects: Arc::new(self.target.clone()), env: self.env.clone() }
    }

    pub async fn backup(&self) -> crate::backup::Manifest {
        create(&self.source(), &self.target(), &[], &Unwatched).await.unwrap()
    }

    /// What a node of another prefix consists of, and that its files have the right bytes.
    pub async fn restored(&self, to: &SimObjects, node: &str) -> (NodeState, BTreeMap<DatabaseName, CatalogState>) {
        let layout = Layout::new(&Path::default(), &NodeId::new(node).unwrap());
        let objects: Arc<dyn ObjectStore> = Arc::new(to.clone());
        let (_, state) = NodeCatalog::load(&objects, &layout, &self.env).await.unwrap().unwrap();
        let mut databases = BTreeMap::new();
        for name in state.databases.keys() {
            let (_, state) = Catalog::load(&objects, &layout, &self.env, name).await.unwrap().unwrap();
            for chunk in state.chunks() {
                let bytes = to.memory().get(&layout.object(name, &chunk.object)).await.unwrap().bytes().await.unwrap();
                assert_eq!((bytes.len() as u64, checksums(&bytes)), (chunk.size_bytes, chunk.checksums.clone()));
            }
            databases.insert(name.clone(), state);
        }
        (state, databases)
    }

    /// The same of the original, as a restore has to make it of it.
    pub async fn expected(&self) -> BTreeMap<DatabaseName, CatalogState> {
        let mut expected = BTreeMap::new();
        for (name, catalog) in &self.catalogs {
            let mut sums = BTreeMap::new();
            for chunk in catalog.state().chunks() {
                let path = self.owner.layout.object(name, &chunk.object);
                let bytes = self.objects.memory().get(&path).await.unwrap().bytes().await.unwrap();
                sums.insert(chunk.id, checksums(&bytes));
            }
            let state = (*catalog.state()).clone();
            let mut state =
                state.with_chunks(|chunk| ChunkMeta { checksums: sums[&chunk.id].clone(), ..chunk.clone() });
            state.low_water = None;
            state.removed.clear();
            expected.insert(name.clone(), state);
        }
        expected
    }
}

/// States without what is another in every catalog.
pub fn without_identity(states: BTreeMap<DatabaseName, CatalogState>) -> Vec<CatalogState> {
    let nobody = |state| CatalogState { catalog_id: Default::default(), ..state };
    states.into_values().map(nobody).collect()
}
