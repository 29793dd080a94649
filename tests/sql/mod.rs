//! Golden queries: the same questions over every arrangement of chunks, with the same answers.
//!
//! ```text
//!   data/*.lp --arrangement--> a node whose chunks are open | frozen | persisted | overlapping | ...
//!   *.slt     --session------> SQL in, rows as text out, compared with what stands in the file
//! ```
//!
//! The answers were worked out from the data by another engine, over tables that another reader of line protocol had
//! folded (those about system tables and errors, by reading); they are not what this server happened to say. After
//! adding a query, `OCHRE_SQL_COMPLETE=1` writes this server's answers (from open chunks) into the files: look at each
//! before you keep it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, in the real world")]

mod arrangement;
mod rewrite;
mod session;
mod upkeep;

use std::path::{Path, PathBuf};

use arrangement::Arrangement;
use sqllogictest::{Runner, default_validator, strict_column_validator};

/// Where the files are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql")
}

/// The files of a folder that end so, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "no .{extension} files in {}", folder.display());
    files
}

/// Answers are compared to the byte: the session has already made every value one line.
#[allow(clippy::ptr_arg, reason = "the runner wants this signature")]
fn as_it_is(text: &String) -> String {
    text.clone()
}

async fn ask_everything(arrangement: Arrangement) {
    let arranged = arrangement.build(&folder().join("data")).await;
    let mut runner = Runner::new(|| async { Ok(arranged.session()) });
    runner.with_normalizer(as_it_is);
    runner.with_column_validator(strict_column_validator);
    if arrangement.has_templates() {
        runner.add_label("templates");
    }
    if arrangement == Arrangement::Expired {
        runner.add_label("expired");
    }
    let mut failures = Vec::new();
    for file in files(&folder(), "slt") {
        if arrangement == Arrangement::Attached && file.ends_with("system.slt") {
            // A reader knows less of the node: it has no log, and one database at a time.
            continue;
        }
        // One file at a time, so that a wrong answer in one does not hide those in others.
        if let Err(error) = runner.run_file_async(&file).await {
            failures.push(error.display(false).to_string());
        }
    }
    arranged.close().await;
    assert!(failures.is_empty(), "{arrangement:?}: {} files fail\n{}", failures.len(), failures.join("\n\n"));
}

/// Writes the answers that open chunks give into the files, where that is asked for.
async fn complete() {
    let arranged = Arrangement::Open.build(&folder().join("data")).await;
    let mut runner = Runner::new(|| async { Ok(arranged.session()) });
    runner.with_normalizer(as_it_is);
    for file in files(&folder(), "slt") {
        let updated = runner.update_test_file(&file, " ", default_validator, as_it_is, strict_column_validator).await;
        updated.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    arranged.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open() {
    if std::env::var_os("OCHRE_SQL_COMPLETE").is_some() {
        complete().await;
    }
    ask_everything(Arrangement::Open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen() {
    ask_everything(Arrangement::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persisted() {
    ask_everything(Arrangement::Persisted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet() {
    ask_everything(Arrangement::Parquet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping() {
    ask_everything(Arrangement::Overlapping).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_parquet() {
    ask_everything(Arrangement::OverlappingParquet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed() {
    ask_everything(Arrangement::Mixed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted() {
    ask_everything(Arrangement::Restarted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates() {
    ask_everything(Arrangement::Templates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_restarted() {
    ask_everything(Arrangement::TemplatesRestarted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored() {
    ask_everything(Arrangement::Restored).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attached() {
    ask_everything(Arrangement::Attached).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacted() {
    ask_everything(Arrangement::Compacted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_then_open() {
    ask_everything(Arrangement::SettledThenOpen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired() {
    ask_everything(Arrangement::Expired).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted() {
    ask_everything(Arrangement::Deleted).await;
}
