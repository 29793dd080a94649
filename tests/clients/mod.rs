//! Real clients from their packages, against the real binary.
//!
//! ```text
//!   python/       influxdb, influxdb-client, influxdb3-python, pyarrow.flight: part of the tests
//!   go/ javascript/ java/   the clients of InfluxDB 3: `./dev clients NAME`
//! ```
//!
//! The packages live outside the tree, in a virtual environment that `./dev clients-setup` makes and whose Python
//! `OCHRE_CLIENTS_PYTHON` names. `./dev test` does both. `OCHRE_TEST_TIER` decides over the rows of the large checks:
//! `ci` 50,000, `full` 1,000,000; `quick` leaves these tests out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::e2e::server::{Server, Start, dir, now, pause};

/// Names the Python of the virtual environment.
const PYTHON: &str = "OCHRE_CLIENTS_PYTHON";
/// How long the checks may take: a client that waits for ever must not stop everything.
const END: Duration = Duration::from_secs(15 * 60);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(50);

/// The Python with the clients, and how many rows the large checks write; none in a tier that leaves them out.
fn python() -> Option<(PathBuf, u32)> {
    let rows = match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("quick") => {
            use std::io::Write;
            // Not `eprintln!`, which only failing tests show.
            let _ = writeln!(std::io::stderr(), "SKIPPED: clients from their packages: not in the tier quick");
            return None;
        }
        Ok("full") => 1_000_000,
        _ => 50_000,
    };
    let python = std::env::var_os(PYTHON).unwrap_or_else(|| {
        panic!(
            "{PYTHON} is not set: run ./dev test, or export {PYTHON}=$(./dev clients-setup); \
             OCHRE_TEST_TIER=quick leaves this test out"
        )
    });
    Some((python.into(), rows))
}

/// Runs all checks against a server; panics with what they said if one fails.
fn check(python: &Path, rows: u32, server: &Server, token: Option<&str>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/python/check.py");
    let said = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let output = said.reopen().expect("it is there");
    let errors = output.try_clone().expect("a file can be opened twice");
    let mut command = Command::new(python);
    // `-B`: no compiled files in the tree.
    command.arg("-B").arg(script).arg(server.url("")).args(["--rows", &rows.to_string()]);
    command.env_remove("OCHRE_TOKEN").env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    if let Some(token) = token {
        command.env("OCHRE_TOKEN", token);
    }
    let mut child = (command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn())
        .unwrap_or_else(|error| panic!("{}, which {PYTHON} names, does not run: {error}", python.display()));
    let begun = now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break Some(status);
        }
        if begun.elapsed() > END {
            // It may end in this moment; that does not matter any more.
            let _ = child.kill();
            child.wait().expect("it can be waited for");
            break None;
        }
        pause(LOOK);
    };
    let said = std::fs::read_to_string(said.path()).expect("what it says is text");
    println!("{said}");
    let passed = status.is_some_and(|status| status.success());
    assert!(passed, "{status:?} (none: not ended after {END:?})\n{said}\n{}", server.logs());
}

#[test]
fn python_without_tokens() {
    let Some((python, rows)) = python() else { return };
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    check(&python, rows, &server, None);
}

#[test]
fn python_with_a_token() {
    let Some((python, rows)) = python() else { return };
    let dir = dir();
    let server = Start::in_dir(dir.path()).with_tokens().start();
    // The server makes the file at its first start.
    let file = std::fs::read_to_string(dir.path().join("admin.token")).expect("the server made a token");
    let token = file.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    check(&python, rows, &server, Some(token.expect("it holds one")));
}
