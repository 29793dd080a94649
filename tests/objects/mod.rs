//! Real object stores, as processes: what they must honour, and whole servers on them.
//!
//! ```text
//!   servers.rs      starts versitygw, MinIO, fake-gcs-server or azurite on loopback, with a fresh directory
//!   conformance.rs  every condition that Ochre relies on, through its own client
//!   whole.rs        the real binary over s3://: restart, take-over, secrets
//!   proxy.rs        HTTP that fails: 500, 503, slow, reset, truncated
//!   faults.rs       the real binary through that proxy
//!   outage.rs       a store that is away for half an hour, on paused time
//! ```
//!
//! The programs are named by variables: `OCHRE_OBJECTS_VERSITYGW` is needed by the tiers `ci` and `full`, and
//! `./dev test` sets it; `OCHRE_OBJECTS_MINIO`, `OCHRE_OBJECTS_GCS` and `OCHRE_OBJECTS_AZURE` are set by
//! `./dev objects`, and tests that need one that is not set are skipped with a word.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, in the real world")]

mod conformance;
mod faults;
mod outage;
mod proxy;
mod servers;
mod whole;
