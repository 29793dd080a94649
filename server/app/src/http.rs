//! The HTTP interfaces, on one port, over HTTP/1.1 and HTTP/2.
//!
//! ```text
//!   listener -> TLS -> connection -> decorate (ids, versions, CORS) -> auth -> admission -> /write /api/v2 /query …
//!                                                                               |            |
//!                                                          body (limits, gzip) -'            `- Failure -> error body
//!                                                                               `- Backend (the node)    of that API
//! ```
//!
//! # Invariants
//! 1. What a write could not do *now* is 503 with Retry-After, never another code: clients drop batches on 4xx.
//! 2. An answer of success is sent only after the node has acknowledged the write.
//! 3. Bodies in flight, requests and connections are bounded; a body's limit holds before and after decompression.
//! 4. A [`failure::Failure`] is made into a status and a body in one place for each API.
//! 5. No query string, header or body is ever logged: they carry passwords.
//!
//! # Absent on purpose
//! Any decision about data: that is the node's. Who may do what: that is `auth`'s, which comes before.

pub mod admission;
pub mod attached;
pub mod backend;
pub mod body;
pub mod budget;
pub mod decorate;
pub mod deletes;
pub mod failure;
pub mod health;
pub mod inflate;
pub mod listen;
pub mod metrics;
pub mod names;
pub mod node;
pub mod node_report;
pub mod object_report;
pub mod params;
pub mod router;
pub mod state;
pub mod tls;
pub mod v1;
pub mod v2;
pub mod v3;
pub mod write;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
