//! The client: what the command line uses to speak to a server, and programs may.
//!
//! ```text
//!   Options { url, token, tls, timeouts } --> Connection --+--> Management   gRPC: databases, rules, tokens, status
//!                                                          +--> Storage      gRPC: partitions, deletes, operations, backups
//!                                                          +--> Flight       gRPC: Arrow batches out (SQL) and in
//!                                                          +--> Lines        HTTP: line protocol in
//!                                                          '--> request()    HTTP: everything else
//! ```
//!
//! ```no_run
//! use futures::TryStreamExt;
//! use ochre_client::{Connection, Options, Precision, Secret};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let token = Some(Secret::new(std::env::var("OCHRE_TOKEN")?)?);
//! let server = Connection::new(Options { token, ..Options::new("http://127.0.0.1:8086") })?;
//! let metrics = "metrics".parse()?;
//!
//! let written = server.lines().write(&metrics, Precision::Seconds, b"cpu,host=a usage=1 1700000000", |_, _| ()).await?;
//! println!("{} lines, {} refused", written.written, written.rejected);
//!
//! let mut answer = server.flight().query(&metrics, "SELECT * FROM cpu", Default::default()).await?;
//! println!("{:?}", answer.schema());
//! while let Some(batch) = answer.try_next().await? {
//!     println!("{} rows", batch.num_rows());
//! }
//!
//! for database in server.management().databases().await? {
//!     println!("{}", database.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//!
//! 1. A [`Secret`] is never shown: not by `Debug`, not in an error, not in an address.
//! 2. Every call ends: by its answer, its deadline, or the death of the connection, which is watched.
//! 3. A call is made again only where that can't do anything twice, at most a few times, after a pause with jitter, and
//!    never beyond its deadline. Line protocol may always be sent again.
//! 4. HTTP and gRPC trust the same authorities, show the same certificate and the same token.
//! 5. An [`Error`] says what a program can do about it; the server's own words are kept.
//!
//! # Left to others
//!
//! Reading files of lines, printing, exit codes (the command line); pooling over several servers.

mod applied;
mod clock;
mod connection;
mod error;
mod flight;
mod grpc_error;
mod http_error;
mod lines;
mod management;
mod retry;
mod secret;
mod storage;
mod tls;
mod unary;

#[cfg(test)]
mod tests;

pub use applied::{Applied, Apply, GenerationRecord, RulesInForce, RulesSource};
pub use connection::{CONNECT_TIMEOUT, Connection, Options, REQUEST_TIMEOUT};
pub use error::{Error, Violation};
pub use flight::{Acknowledgement, Acknowledgements, Answer, Flight, Roles};
pub use http_error::{from_answer, from_failure};
pub use lines::{Lines, Precision, RefusedLine, Written};
pub use management::{Database, Management, Token};
pub use secret::{Secret, SecretError};
pub use storage::{DeleteRows, Partitions, RestoreBackup, Scrub, Storage};
pub use tls::{Pem, TlsOptions};
