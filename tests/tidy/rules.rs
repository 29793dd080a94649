//! The numbers and lists of the house rules, in one place.

/// Lines of a file, without its test module.
pub const FILE_LINES: usize = 1_000;
/// Lines of a function, from `fn` to its closing brace.
pub const FUNCTION_LINES: usize = 70;
/// Lines of a test module within a file; longer ones live in `<file>/tests.rs`.
pub const INLINE_TEST_LINES: usize = 150;
/// Lines of the middle one of all files that are not tests.
pub const MEDIAN_LINES: usize = 200;

/// Names that say nothing about what is inside.
pub const EMPTY_NAMES: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"];

/// What a crate of ours may depend on, of ours: everything further in.
pub const INWARD: [(&str, &[&str]); 12] = [
    ("ochre-types", &[]),
    ("ochre-wire", &["ochre-types"]),
    ("ochre-client", &["ochre-types", "ochre-wire"]),
    ("ochre-env", &[]),
    ("ochre-batch", &["ochre-types"]),
    ("ochre-ingest", &["ochre-types", "ochre-batch"]),
    ("ochre-log", &["ochre-types", "ochre-env", "ochre-batch"]),
    ("ochre-store", &["ochre-types", "ochre-env", "ochre-batch", "ochre-log"]),
    ("ochre-query", &["ochre-types", "ochre-env", "ochre-batch", "ochre-log", "ochre-store"]),
    (
        "ochre-database",
        &["ochre-types", "ochre-env", "ochre-batch", "ochre-ingest", "ochre-log", "ochre-store", "ochre-query"],
    ),
    (
        "ochre",
        &[
            "ochre-types",
            "ochre-wire",
            "ochre-client",
            "ochre-env",
            "ochre-batch",
            "ochre-ingest",
            "ochre-log",
            "ochre-store",
            "ochre-query",
            "ochre-database",
        ],
    ),
    ("ochre-doubles", &["ochre-types", "ochre-env", "ochre-batch"]),
];

/// The crate of doubles: only ever a dev-dependency.
pub const DOUBLES: &str = "ochre-doubles";

/// Crates from outside that only these crates of ours may use (as a normal or build dependency).
pub const RESERVED: [(&str, &[&str]); 10] = [
    ("prost", &["ochre-store", "ochre-wire", "ochre-client", "ochre"]),
    ("prost-build", &["ochre-store"]),
    ("protox", &["ochre-store", "ochre-wire"]),
    ("tonic", &["ochre-wire", "ochre-client", "ochre"]),
    ("tonic-prost", &["ochre-wire", "ochre-client", "ochre"]),
    ("tonic-prost-build", &["ochre-wire"]),
    ("datafusion", &["ochre-query", "ochre-database"]),
    ("anyhow", &["ochre"]),
    ("kube", &[]),
    ("raft", &[]),
];

/// Crates of ours without clock, chance, files, network and async.
pub const PURE: [&str; 3] = ["ochre-types", "ochre-batch", "ochre-ingest"];

/// What a pure crate must not depend on.
pub const IMPURE: [&str; 11] = [
    "tokio",
    "futures",
    "async-trait",
    "object_store",
    "rand",
    "rustix",
    "hyper",
    "axum",
    "reqwest",
    "prost",
    "tracing",
];

/// What the code of a pure crate must not name.
pub const IMPURE_PATHS: [&str; 6] =
    ["std::fs", "std::net", "std::process", "std::thread", "SystemTime::now", "Instant::now"];

/// The one module of `ochre-store` that may name prost.
pub const PROST_HOME: (&str, &str) = ("server/store/src/", "server/store/src/catalog");
