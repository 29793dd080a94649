//! The start-up probe: does the store honour create-if-absent?

use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use ochre_env::Env;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The store let a second conditional create of one name succeed.
    #[error(
        "the object store {store} ignores create-if-absent: it let {path} be created twice, so two servers could \
         overwrite each other's catalog; use a store with conditional puts (If-None-Match)"
    )]
    IgnoresCreate {
        /// The store.
        store: String,
        /// The probe object.
        path: String,
    },
    /// The store could not be written to at all.
    #[error("probing the object store {store} by creating {path}: {source}; {}", advice(.source))]
    Store {
        /// The store.
        store: String,
        /// The probe object.
        path: String,
        /// What the store says.
        source: Error,
    },
}

/// What to look at first.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "does the bucket or container exist, and is the endpoint that of its region?",
        Error::PermissionDenied { .. } => "may these credentials create, read, list and delete objects there?",
        Error::Unauthenticated { .. } => "are the credentials right, and this machine's clock?",
        Error::NotImplemented { .. } => "conditional creates are needed: is aws_conditional_put set to disabled?",
        _ => "check its address and credentials",
    }
}

/// Creates an object of a random name below `prefix` twice; the second time must be refused. Cleans up.
///
/// # Errors
/// [`ProbeError::IgnoresCreate`] is final; [`ProbeError::Store`] may pass.
pub async fn probe(store: &Arc<dyn ObjectStore>, prefix: &Path, env: &Env) -> Result<(), ProbeError> {
    let path = prefix.clone().join("probe").join(format!("{:016x}", env.entropy.next_u64()));
    let answer = create_twice(store, &path).await;
    if let Err(error) = store.delete(&path).await {
        tracing::debug!(%path, %error, "the probe object could not be removed; it does no harm");
    }
    answer
}

async fn create_twice(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<(), ProbeError> {
    let failed = |source| ProbeError::Store { store: store.to_string(), path: path.to_string(), source };
    let create =
        |body: &'static str| store.put_opts(path, PutPayload::from_static(body.as_bytes()), PutMode::Create.into());
    match create("first").await {
        // The name is random: "exists" means that the client tried again after a lost answer.
        Ok(_) | Err(Error::AlreadyExists { .. }) => {}
        Err(source) => return Err(failed(source)),
    }
    match create("second").await {
        Ok(_) => Err(ProbeError::IgnoresCreate { store: store.to_string(), path: path.to_string() }),
        Err(Error::AlreadyExists { .. }) => Ok(()),
        Err(source) => Err(failed(source)),
    }
}
