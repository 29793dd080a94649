//! Who is asking, and what they may do: one layer before HTTP, gRPC and Flight alike.
//!
//! ```text
//!   request -> secret (Authorization, or u and p of InfluxDB 1) -> its hash -> operator tokens (the token file)
//!                |                                                          \-> tokens of the node's catalog
//!                |                                                                      |
//!                `- none, or not known: 401 in the words of its API     Identity -> handler: require(action, database)
//! ```
//!
//! # Invariants
//! 1. Only this layer makes an [`Identity`] out of a request, and a handler gets at the node with one only.
//! 2. A secret is in memory as long as its request is looked at, and then only as its hash. No type that holds one can
//!    be printed, and no error or log line names one.
//! 3. What needs no token is a list of paths, [`layer::PUBLIC`]; everything else is refused unless it shows one.
//!
//! # Absent on purpose
//! Making, listing and revoking tokens: that is management. Keeping them: that is the node's catalog.

mod access;
mod identity;
pub mod layer;
mod refusal;
mod secret;
mod token_file;

pub use access::Access;
pub use identity::Identity;
pub use layer::who_has;
pub use secret::Secret;
#[cfg(test)]
pub use secret::hash;
pub use token_file::open as open_token_file;

#[cfg(test)]
mod tests;
