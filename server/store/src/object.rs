//! Where objects live: opening a store from its URL, the names of objects, and creating them exactly once.
//!
//! ```text
//!   memory            -> object_store's InMemory (tests, demos)
//!   file:///path      -> DurableLocal, ours: file and directory are synced before success
//!   s3:// gs:// az:// -> object_store's clients, configured by AWS_*, GOOGLE_* and AZURE_* variables
//! ```
//!
//! # Invariants
//! 1. What a store answers as put survives a crash of the machine: `object_store`'s own local file system never
//!    syncs, and is therefore not used.
//! 2. [`create::create`] writes one body under one name, however often it tries.
//! 3. No name that anybody gives leaves its folder: every element of a path went through
//!    `ochre_types::path::encode_element`.

pub mod create;
mod durable;
mod layout;
mod probe;

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, parse_url_opts};
use ochre_env::Env;
use url::Url;

pub use durable::DurableLocal;
pub use layout::Layout;
pub use probe::{ProbeError, probe};

/// Prefixes of the environment variables that configure the clients of cloud stores. Others are not handed on: the
/// clients would take a variable named `TOKEN` or `BUCKET` for theirs.
const VARIABLE_PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

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

/// Opens the store at `url`. Paths of the store are relative to the path of the URL.
///
/// # Errors
/// If the URL is not understood, or a local folder cannot be made. A cloud store is not contacted: see [`probe`].
pub async fn open(url: &str, env: &Env) -> Result<Arc<dyn ObjectStore>, OpenError> {
    if url == "memory" {
        return Ok(Arc::new(InMemory::new()));
    }
    let parsed = Url::parse(url).map_err(|source| OpenError::Url { url: url.to_owned(), source })?;
    match parsed.scheme() {
        "memory" => Ok(Arc::new(InMemory::new())),
        "file" => {
            let path = parsed.to_file_path().map_err(|()| OpenError::FilePath { url: url.to_owned() })?;
            open_folder(&path, env).await
        }
        "s3" | "gs" | "az" => cloud(url, &parsed),
        scheme => Err(OpenError::Scheme { url: url.to_owned(), scheme: scheme.to_owned() }),
    }
}

async fn open_folder(path: &FilePath, env: &Env) -> Result<Arc<dyn ObjectStore>, OpenError> {
    match DurableLocal::open(path, env).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(source) => Err(OpenError::Local { path: path.display().to_string(), source }),
    }
}

fn cloud(url: &str, parsed: &Url) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
    let (store, path) =
        parse_url_opts(parsed, variables).map_err(|source| OpenError::Client { url: url.to_owned(), source })?;
    if path == Path::default() {
        return Ok(Arc::from(store));
    }
    Ok(Arc::new(PrefixStore::new(store, path)))
}

#[cfg(test)]
pub(crate) mod paused;
#[cfg(test)]
mod tests;
