//! Where objects live: opening a store from its URL, the names of objects, and creating them exactly once.
//!
//! ```text
//!   memory            -> object_store's InMemory (tests, demos)
//!   file:///path      -> DurableLocal, ours: file and directory are synced before success
//!   s3:// gs:// az:// -> object_store's clients, behind Patient: retries, time limits, one way to create
//! ```
//!
//! # Invariants
//! 1. What a store answers as put survives a crash of the machine: `object_store`'s own local file system never
//!    syncs, and is therefore not used.
//! 2. [`create::create`] writes one body under one name, however often it tries.
//! 3. What is wrong with a URL or a setting is said when the store is opened, and never repeats a secret.
//! 4. No name that anybody gives leaves its folder: every element of a path went through
//!    `ochre_types::path::encode_element`.

mod address;
mod client;
mod conditional;
pub mod create;
mod credentials;
mod durable;
mod layout;
mod patient;
mod probe;
mod settings;
pub mod verified;

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use ochre_env::Env;

pub use address::redact;
pub use credentials::{Credentials, CredentialsError};
pub use durable::DurableLocal;
pub use layout::Layout;
pub use patient::{Failing, Kind, KindCounts, Meter, Patient, SECONDS};
pub use probe::{ProbeError, probe};
pub use settings::{Policy, Settings};

use address::Address;

/// Why an object store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The text is no URL.
    #[error(
        "the object store {url:?} is not a URL ({source}): give memory, file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    )]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// The URL has parts that secrets are put into.
    #[error(
        "the object store {url:?} has a user, a password, a query or a fragment: credentials come from the environment \
         or from a file (--object-store-credentials-file), and an endpoint from --object-store-endpoint"
    )]
    SecretInUrl {
        /// What was given, without that.
        url: String,
    },
    /// The URL names no bucket.
    #[error("the object store {url:?} names no bucket: write such as s3://bucket/prefix")]
    Bucket {
        /// What was given.
        url: String,
    },
    /// The endpoint is not a URL of a service.
    #[error(
        "the endpoint {endpoint:?} of the object store: {reason}; write such as https://host or http://127.0.0.1:9000"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Requests would go unencrypted to another machine.
    #[error(
        "the endpoint {endpoint} is not encrypted: use https://, or accept that whoever is on the way reads and changes \
         data with --object-store-allow-http"
    )]
    PlainHttp {
        /// What was given.
        endpoint: String,
    },
    /// The URL names a kind of store that is not known.
    #[error("the object store {url:?} has the scheme {scheme:?}: use memory, file, s3, gs or az")]
    Scheme {
        /// What was given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A `file:` URL without an absolute path.
    #[error("the object store {url:?} does not name an absolute path on this machine: write file:///path")]
    FilePath {
        /// What was given.
        url: String,
    },
    /// The folder of a local store cannot be used.
    #[error("opening the folder {path} as an object store: {source}; check that it may be written to")]
    Local {
        /// The folder.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The client of a cloud store refused its configuration.
    #[error(
        "configuring the object store {url:?}: {source}; check the URL and the AWS_*, GOOGLE_* or AZURE_* variables"
    )]
    Client {
        /// What was given.
        url: String,
        /// What the client says.
        source: object_store::Error,
    },
}

/// A store, and what its requests are counted with.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// What is counted.
    pub meter: Arc<Meter>,
}

/// Opens the store at `url` as the environment says. Paths of the store are relative to the path of the URL.
///
/// # Errors
/// If the URL is not understood, or a local folder cannot be made. A cloud store is not contacted: see [`probe`].
pub async fn open(url: &str, env: &Env) -> Result<Arc<dyn ObjectStore>, OpenError> {
    open_with(url, &Settings::environment(), env).await.map(|opened| opened.store)
}

/// The same with settings of its own.
///
/// # Errors
/// As [`open`].
pub async fn open_with(url: &str, settings: &Settings, env: &Env) -> Result<Opened, OpenError> {
    let (inner, parts, policy, prefix): (Arc<dyn ObjectStore>, _, _, _) = match Address::parse(url)? {
        Address::Memory => (Arc::new(InMemory::new()), None, Policy::LOCAL, Path::default()),
        Address::Folder(path) => (open_folder(&path, env).await?, None, Policy::LOCAL, Path::default()),
        Address::Remote { service, bucket, prefix } => {
            let client = client::connect(service, &bucket, settings)?;
            (client.store, client.parts, settings.policy, prefix)
        }
    };
    let patient = Patient::new(inner, parts, policy, env);
    let meter = patient.meter();
    if prefix == Path::default() {
        return Ok(Opened { store: Arc::new(patient), meter });
    }
    Ok(Opened { store: Arc::new(PrefixStore::new(patient, prefix)), meter })
}

async fn open_folder(path: &FilePath, env: &Env) -> Result<Arc<dyn ObjectStore>, OpenError> {
    match DurableLocal::open(path, env).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(source) => Err(OpenError::Local { path: path.display().to_string(), source }),
    }
}

#[cfg(test)]
pub(crate) mod paused;
#[cfg(test)]
mod tests;
