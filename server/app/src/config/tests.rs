//! Precedence, problems that are reported together, and what `config show` prints.

use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches};
use ochre_types::ByteSize;
use ochre_types::rules::{Ack, Rules};

use super::*;

fn flags(args: &[&str]) -> Flags {
    let command = Flags::augment_args(Command::new("test"));
    let matches = command.try_get_matches_from(std::iter::once(&"test").chain(args)).unwrap();
    Flags::from_arg_matches(&matches).unwrap()
}

fn collect(args: &[&str], environment: &[(&str, &str)]) -> Sources {
    Sources::collect(&flags(args), |name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

#[allow(clippy::disallowed_methods, reason = "a test writes its own input")]
fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ochre.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn every_default_can_be_read_and_the_rules_are_the_default_rules() {
    let config = Config::read(&Sources::default()).unwrap();
    assert_eq!(config.node.id.as_str(), "ochre");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8086");
    assert_eq!(config.storage.data_dir, PathBuf::from("ochre-data"));
    assert_eq!(config.memory.limit.bytes().0, crate::machine::memory().0 / 100 * 50);
    assert_eq!(config.rules(), Rules::default());
}

#[test]
fn keys_flags_and_variables_are_unique_and_derived() {
    for (i, a) in Config::SETTINGS.iter().enumerate() {
        for b in &Config::SETTINGS[i + 1..] {
            assert!(a.flag != b.flag && a.key != b.key, "{} and {}", a.key, b.key);
        }
        assert!(a.doc.trim().ends_with('.') && !a.unit.is_empty(), "{}", a.key);
    }
    let data_dir = Config::SETTINGS.iter().find(|s| s.flag == "data-dir").unwrap();
    assert_eq!(data_dir.env(), "OCHRE_DATA_DIR");
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let (_dir, path) = file("[node]\nid = \"f\"\n[memory]\nlimit = \"1GiB\"\n[buffer]\nfreeze-rows = 7\n");
    let environment = [("OCHRE_CONFIG", path.as_str()), ("OCHRE_NODE_ID", "e"), ("OCHRE_MEMORY", "2GiB")];
    let sources = collect(&["--node-id", "a", "--ack", "accepted", "--no-auto-create"], &environment);
    let config = Config::read(&sources).unwrap();
    assert_eq!(config.node.id.as_str(), "a");
    assert_eq!(config.memory.limit.bytes(), ByteSize::mib(2048));
    assert_eq!(config.buffer.freeze_rows, 7);
    assert_eq!(config.databases.ack, Ack::Accepted);
    assert!(config.databases.no_auto_create);

    let shown = show_json(&sources);
    let entry = |key: &str| {
        let all = shown.as_array().unwrap();
        let entry = all.iter().find(|entry| entry["key"] == key).unwrap();
        (entry["value"].as_str().unwrap().to_owned(), entry["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(entry("node.id"), ("a".to_owned(), "flag --node-id".to_owned()));
    assert_eq!(entry("memory.limit"), ("2GiB".to_owned(), "environment OCHRE_MEMORY".to_owned()));
    assert_eq!(entry("buffer.freeze-rows"), ("7".to_owned(), format!("file {path}, buffer.freeze-rows")));
    assert_eq!(entry("http.listen"), ("127.0.0.1:8086".to_owned(), "default".to_owned()));
    let text = show_text(&sources);
    let line = text.lines().find(|line| line.starts_with("node.id ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["node.id", "a", "flag", "--node-id"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let (_dir, path) = file("[http]\nlissten = \"x\"\n[limits]\nbody = [1]\ntables = \"many\"\n");
    let sources = collect(&["--config", &path, "--node-id", "a/b"], &[("OCHRE_FREEZE_SIZE", "big")]);
    let problems = Config::read(&sources).unwrap_err().problems;
    assert_eq!(
        problems,
        [
            format!("file {path}: the key http.lissten is not known: did you mean http.listen?"),
            format!("file {path}: limits.body is of the type array: write text, a number, true or false"),
            "flag --node-id is \"a/b\": a node id \"a/b\" has the character '/' at byte 1: use letters, digits, '-', \
             '_' and '.', starting with a letter or digit"
                .to_owned(),
            "environment OCHRE_FREEZE_SIZE is \"big\": \"big\" is not a size: write a number and B, KiB, MiB, GiB, \
             TiB, kB, MB or GB, such as 64MiB"
                .to_owned(),
            format!("file {path}, limits.tables is \"many\": not a whole number"),
        ]
    );
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_named() {
    let missing = Config::read(&collect(&["--config", "/nowhere/ochre.toml"], &[])).unwrap_err().to_string();
    assert!(missing.contains("the file /nowhere/ochre.toml can't be read"), "{missing}");
    let (_dir, path) = file("[http\n");
    let broken = Config::read(&collect(&["--config", &path], &[])).unwrap_err().to_string();
    assert!(broken.contains("is not TOML"), "{broken}");
}

#[test]
fn tokens_are_asked_for_unless_told() {
    let read = |args: &[&str]| Config::read(&collect(args, &[]));
    for address in ["0.0.0.0:8086", "[::1]:0"] {
        let config = read(&["--listen", address]).unwrap();
        assert_eq!((config.http.without_auth, config.http.token_file), (false, None));
    }
    assert!(read(&["--without-auth"]).unwrap().http.without_auth);
    assert_eq!(read(&["--token-file", "t"]).unwrap().http.token_file, Some(PathBuf::from("t")));
    assert_eq!(
        read(&["--token-file", "t", "--without-auth"]).unwrap_err().problems,
        ["http.token-file and http.without-auth are both given: leave one of them out"]
    );
}

#[test]
fn tls_needs_a_certificate_and_its_key() {
    let read = |args: &[&str]| Config::read(&collect(args, &[]));
    let tls = read(&["--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"]).unwrap().tls;
    assert_eq!((tls.cert, tls.key, tls.client_ca), (Some("c".into()), Some("k".into()), Some("a".into())));
    for (args, problem) in [
        (["--tls-cert", "c"], "tls.cert is given without tls.key: TLS needs both"),
        (["--tls-key", "k"], "tls.key is given without tls.cert: TLS needs both"),
        (
            ["--tls-client-ca", "a"],
            "tls.client-ca is given without tls.cert and tls.key: client certificates are part of TLS",
        ),
    ] {
        assert_eq!(read(&args).unwrap_err().problems, [problem]);
    }
}

#[test]
fn values_that_can_not_work_are_refused() {
    let args = ["--max-requests", "0", "--memory", "1MiB", "--log-level", "info,=x=", "--freeze-rows", "0"];
    assert_eq!(Config::read(&collect(&args, &[])).unwrap_err().problems.len(), 4);
    for memory in ["0%", "101%", "x%"] {
        assert!(Config::read(&collect(&["--memory", memory], &[])).is_err(), "{memory}");
    }
    assert!(Config::read(&collect(&["--log", "tape"], &[])).unwrap_err().to_string().contains("object-store"));
}

#[test]
fn shares_of_the_memory_are_a_hundred_percent_at_most() {
    let config =
        Config::read(&collect(&["--memory", "1000MiB", "--memory-queries", "26%", "--memory-open=20"], &[])).unwrap();
    let budget = config.budget();
    assert_eq!((budget.queries, budget.chunks.open), (ByteSize::mib(260), ByteSize::mib(200)));
    let error = Config::read(&collect(&["--memory-queries", "30%"], &[])).unwrap_err();
    assert!(error.to_string().contains("the shares of memory are 104 % together"), "{error}");
    let error = Config::read(&collect(&["--memory-persist", "0%"], &[])).unwrap_err();
    assert!(error.to_string().contains("write a number from 1% to 99%"), "{error}");
}
