//! The real binary over real sockets: what clients see, to the byte.
//!
//! `server` starts and stops servers; each other module is a set of promises to one kind of client.

mod admin;
mod attach;
mod backup;
mod cli;
mod damage;
mod deletes;
mod flight;
mod lifecycle;
mod management;
mod object_log;
mod operations;
mod partitions;
mod query_sql;
mod rules;
pub mod server;
mod tls;
mod tokens;
mod upgrades;
mod writes_v1;
mod writes_v2;
mod writes_v3;
