//! What those are promised who delete: gone for the next query, gone for good after compaction and grace, and a receipt
//! that says when; drops that can be taken back.

#![allow(clippy::disallowed_methods, reason = "a test, in the real world")]

mod canary;
mod drops;
mod interfaces;

use std::process::Output;

use serde_json::Value;

use super::server::{Server, ochre};

const WRITE: &str = "/api/v3/write_lp?precision=nanosecond&db=mine";
const ROWS: &str = "SELECT host, v FROM cpu ORDER BY host, time";

/// Runs the binary against the server.
fn run(server: &Server, args: &[&str]) -> Output {
    let url = server.url("");
    let mut all = args.to_vec();
    all.extend(["--host", &url]);
    ochre(&all)
}

/// Standard output of a run that must succeed.
fn out(output: &Output) -> &str {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(out(output)).unwrap()
}

/// Exit code and standard error.
fn refused(output: &Output) -> (i32, &str) {
    (output.status.code().unwrap(), std::str::from_utf8(&output.stderr).unwrap())
}
