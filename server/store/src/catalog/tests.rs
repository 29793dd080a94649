//! Catalogs over a store that fails: what is committed is there, once, and nothing else is.

mod arbitrary;
mod collecting;
mod copies;
mod damage;
mod fencing;
mod outcomes;
mod round_trip;
mod salvage;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_doubles::disk::SimDisk;
use ochre_doubles::objects::SimObjects;
use ochre_env::Env;
use ochre_types::{Hlc, Incarnation, NodeId, TableName};

use super::*;
use crate::epoch::claim;
use crate::object::paused::env;

/// One prefix in one store.
struct Bench {
    env: Env,
    objects: SimObjects,
    store: Arc<dyn ObjectStore>,
    layout: Layout,
    database: DatabaseName,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let env = env(&SimDisk::new(seed));
        let objects = SimObjects::new(env.clock.clone(), seed);
        let store: Arc<dyn ObjectStore> = Arc::new(objects.clone());
        let layout = Layout::new(&Path::default(), &NodeId::new("a").unwrap());
        Self { env, objects, store, layout, database: DatabaseName::new("db").unwrap() }
    }

    /// Claims the next epoch.
    async fn owner(&self, incarnation: u64, every: u64) -> Owner {
        let fence = claim(&self.store, &self.layout, &self.env, Incarnation(incarnation)).await.unwrap();
        Owner {
            store: self.store.clone(),
            layout: self.layout.clone(),
            env: self.env.clone(),
            fence,
            checkpoints: Checkpoints { every, ..Checkpoints::default() },
        }
    }

    async fn open(&self, owner: &Owner) -> Result<Catalog, OpenError> {
        Catalog::open(owner, &self.database, Stamp::default()).await
    }

    async fn load(&self) -> Result<Option<(Revision, CatalogState)>, LoadError> {
        Catalog::load(&self.store, &self.layout, &self.env, &self.database).await
    }

    /// The state as a reader finds it, without faults.
    async fn loaded(&self) -> (Revision, CatalogState) {
        self.load().await.unwrap().unwrap()
    }

    fn object(&self, revision: u64) -> Path {
        load::object(&self.layout.catalog(&self.database), Revision(revision))
    }
}

fn table(name: &str) -> Edit {
    Edit::CreateTable { table: TableName::new(name).unwrap() }
}

fn rules(generation: u64) -> RulesRecord {
    RulesRecord {
        generation,
        text: format!("rules {generation}").into(),
        applied_millis: 1_000 + generation,
        applied_by: "somebody".to_owned(),
        fence: generation.is_multiple_of(2).then_some(generation / 2),
    }
}

fn tables(state: &CatalogState) -> Vec<String> {
    state.tables.keys().map(ToString::to_string).collect()
}

fn stamp(hlc: u64, incarnation: u64) -> Stamp {
    Stamp { hlc: Hlc(hlc), incarnation: Incarnation(incarnation) }
}
