//! `ochre`: the storage server and its command line. Configuration, HTTP, wiring; no decision about data.
//!
//! ```text
//!   ochre serve --> config -> lock -> listener -> node -> ready … signal -> drain -> close
//!   ochre attach | adopt --> the same: reading another's objects | taking over
//!   ochre write | query | status | database | rules | token --> ochre-client --> a server
//!   ochre inspect --> object store and log, read-only
//! ```
//!
//! # Invariants
//! 1. Exit codes: 0 done; 1 the server refused or failed; 2 the command was given wrongly.
//! 2. Standard output carries answers (and the ready line) only; everything else goes to standard error.
//! 3. Two processes never share a data directory.

mod attach;
mod auth;
mod cli;
mod config;
mod flight;
mod grpc;
mod http;
mod logging;
mod machine;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
