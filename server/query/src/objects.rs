//! The object stores that a query's runtime knows: the server's own, and no other.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use url::Url;

/// The private URL of the server's object store. It resolves in query plans only.
pub(crate) const OBJECTS_URL: &str = "ochre://objects/";

/// Knows [`OBJECTS_URL`]. DataFusion's own registry would open local files as well.
#[derive(Debug)]
pub(crate) struct OneStore {
    store: Arc<dyn ObjectStore>,
}

impl OneStore {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }
}

impl ObjectStoreRegistry for OneStore {
    /// Keeps what it has: nobody may add a store. Returns the one that was offered.
    fn register_store(&self, _url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        Some(store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == "ochre" && url.host_str() == Some("objects") {
            return Ok(self.store.clone());
        }
        Err(DataFusionError::Plan(format!("{url} can't be read by a query: it reads tables of its database only")))
    }
}
