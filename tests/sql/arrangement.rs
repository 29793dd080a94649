//! The same rows in different arrangements of chunks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use ochre_database::attach::{AttachConfig, Attached};
use ochre_database::backup::{self, Target as BackupTarget, Unwatched};
use ochre_database::rules::{Source, Terms};
use ochre_database::{Database, LogHome, Node, NodeConfig};
use ochre_env::Env;
use ochre_ingest::line_protocol::Options;
use ochre_store::catalog::Checkpoints;
use ochre_store::object::Layout;
use ochre_types::matching::RowMatch;
use ochre_types::rules::{Rules, Target};
use ochre_types::{ByteSize, DatabaseName};
use tempfile::TempDir;

use super::session::{Answerer, Session};
use super::{files, rewrite, upkeep};

/// How a table's rows are spread over chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// One write, nothing frozen.
    Open,
    /// Frozen, not persisted.
    Frozen,
    /// Persisted, with the copies in memory.
    Persisted,
    /// Persisted, and read from Parquet.
    Parquet,
    /// Keys stand in up to three chunks, with other values and other fields in each: one persisted, one frozen, one
    /// open.
    Overlapping,
    /// As before, all of them Parquet.
    OverlappingParquet,
    /// A third of the lines of each file persisted, a third frozen, a third open.
    Mixed,
    /// As before, and read back from objects and log after a crash.
    Restarted,
    /// As overlapping, each time with other partition rules: keys stand in chunks of up to three templates.
    Templates,
    /// As before, and read back after a crash: what was only in the log is partitioned by the template of the end.
    TemplatesRestarted,
    /// As mixed, backed up as it was, and restored to another prefix.
    Restored,
    /// As overlapping Parquet, read by another process from the objects alone.
    Attached,
    /// As overlapping Parquet, joined and settled.
    Compacted,
    /// As overlapping: two of the chunks are joined and settled, the last versions are open.
    SettledThenOpen,
    /// Persisted together with older rows that are too old to be seen.
    Expired,
    /// As mixed, after all of it was there twice before, and was deleted.
    Deleted,
}

/// The partition rules of the stages in arrangements with several templates: every kind of part, keys that tell much
/// and keys that tell nothing.
const TEMPLATES: [&str; 3] = [
    r#"[{tables: "*", by: [{table: {}}, {bucket: {tag: host, count: 3}}, {time: "%Y-%m"}]}]"#,
    r#"[
        {tables: "/cpu|meter|m.*/", by: [{tag: host}, {tag: dev}, {time: "%Y-%m-%dT%H"}]},
        {tables: "*", by: [{regex: {tag: level, pattern: "^([a-z])"}}, {bucket: {tag: src, count: 4}}, {tag: line}]},
    ]"#,
    r#"[{tables: flow, by: []}, {tables: "*", by: [{regex: {tag: region, pattern: "^(.)"}}, {time: "%Y"}]}]"#,
];

/// A node that holds the data sets.
pub struct Arranged {
    /// The node.
    pub node: Arc<Node>,
    /// Its one database.
    pub database: DatabaseName,
    /// A reader of its objects, if that is asked.
    attached: Option<Arc<Attached>>,
    home: Home,
}

/// What outlives a node.
struct Home {
    objects: Arc<dyn ObjectStore>,
    log: TempDir,
}

impl Home {
    async fn open(&self) -> (Arc<Node>, Env) {
        let env = Env::system();
        let config = NodeConfig {
            node_id: "golden".parse().unwrap(),
            prefix: object_store::path::Path::default(),
            log: LogHome::Disk(self.log.path().join("log")),
            memory: ByteSize::mib(256),
            resources: Default::default(),
            rules: Rules::default(),
            auto_create: true,
            spill_dir: None,
            query_threads: 2,
            checkpoints: Checkpoints::default(),
        };
        (Node::open(env.clone(), self.objects.clone(), config).await.unwrap(), env)
    }
}

impl Home {
    /// A backup of the node, made while it runs and restored elsewhere. The node is stopped.
    async fn restored(&self, node: &Arc<Node>) -> Self {
        let target = BackupTarget { objects: Arc::new(InMemory::new()), env: Env::system() };
        let source = backup::Source::Node(node.clone());
        let manifest = backup::create(&source, &target, &[], &Unwatched).await.unwrap();
        node.close().await.unwrap();
        let home = Self { objects: Arc::new(InMemory::new()), log: tempfile::tempdir().unwrap() };
        let layout = Layout::new(&object_store::path::Path::default(), &"golden".parse().unwrap());
        backup::restore(&target, &manifest, &[], &home.objects, &layout, &Unwatched).await.unwrap();
        home
    }

    /// A reader of the objects.
    async fn attach(&self) -> Arc<Attached> {
        let config = AttachConfig {
            node_id: "golden".parse().unwrap(),
            prefix: object_store::path::Path::default(),
            memory: ByteSize::mib(256),
            resources: Default::default(),
            rules: Rules::default(),
            spill_dir: None,
            query_threads: 2,
            refresh: Duration::from_secs(10),
        };
        Attached::open(Env::system(), self.objects.clone(), config).await.unwrap()
    }
}

async fn write(database: &Database, lines: &str) {
    let written = database.write_lines(lines.to_owned().into(), &Options::default()).await.unwrap();
    assert_eq!((written.lines, written.rejected_total), (lines.lines().count(), 0), "{:?}", written.rejected);
}

/// Writes everything, so that some is in Parquet and some open, and deletes it: row by row as far as chunks know, since
/// there is a predicate.
async fn write_and_delete(database: &Database, pieces: &[[String; 3]]) {
    for persist in [true, false] {
        for piece in pieces.iter().flatten().filter(|piece| !piece.is_empty()) {
            write(database, piece).await;
        }
        if persist {
            database.persist_all().await.unwrap();
        }
    }
    let rows = RowMatch { tables: Vec::new(), predicate: Some("TRUE".parse().unwrap()) };
    database.delete_rows(rows, (i64::MIN, i64::MAX)).await.unwrap();
}

/// Puts the partition rules of a stage into force.
async fn partition_by(node: &Node, database: &DatabaseName, stage: usize) {
    let document = format!("database: {database}\npartition: {}\n", TEMPLATES[stage]);
    let target = Target::Database(database.clone());
    let applied = node.apply_rules(&target, Source::Text(document), Terms::default()).await.unwrap();
    assert_eq!(applied.generation, stage as u64 + 1);
}

/// Three parts of about as many lines, in order.
fn thirds(lines: &str) -> [String; 3] {
    let lines: Vec<&str> = lines.lines().collect();
    let cut = |part: usize| lines.len() * part / 3;
    [0, 1, 2].map(|part| lines[cut(part)..cut(part + 1)].join("\n"))
}

impl Arrangement {
    /// Writes the data sets of a folder to a new node.
    pub async fn build(self, data: &Path) -> Arranged {
        let home = Home { objects: Arc::new(InMemory::new()), log: tempfile::tempdir().unwrap() };
        let name: DatabaseName = "golden".parse().unwrap();
        let (node, env) = home.open().await;
        let database = node.database_or_create(&name).await.unwrap();
        let sets: Vec<String> = files(data, "lp").iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        assert!(sets.len() >= 6, "at least six data sets");
        let pieces: Vec<[String; 3]> = match self {
            Self::Overlapping
            | Self::OverlappingParquet
            | Self::Templates
            | Self::TemplatesRestarted
            | Self::Compacted
            | Self::SettledThenOpen
            | Self::Attached => sets.iter().map(|set| rewrite::overlapping(&rewrite::fold(set))).collect(),
            Self::Mixed | Self::Restarted | Self::Restored | Self::Deleted => {
                sets.iter().map(|set| thirds(set)).collect()
            }
            _ => sets.into_iter().map(|set| [set, String::new(), String::new()]).collect(),
        };
        if self == Self::Expired {
            upkeep::retain(&node, &name, false).await;
            for set in pieces.iter().map(|set| upkeep::older(&set[0])).filter(|set| !set.is_empty()) {
                write(&database, &set).await;
            }
        }
        if self == Self::Deleted {
            write_and_delete(&database, &pieces).await;
        }
        for (stage, move_on) in [(0, self.after_first()), (1, self.after_second()), (2, self.after_third())] {
            if self.has_templates() {
                partition_by(&node, &name, stage).await;
            }
            for piece in pieces.iter().map(|pieces| &pieces[stage]).filter(|piece| !piece.is_empty()) {
                write(&database, piece).await;
            }
            match move_on {
                Some("persist") => database.persist_all().await.unwrap(),
                Some("freeze") => database.freeze_all().await.unwrap(),
                Some("compact") => upkeep::compact(&node, &database).await,
                _ => {}
            }
        }
        if self == Self::Expired {
            upkeep::retain(&node, &name, true).await;
        }
        drop(database);
        let mut home = home;
        let node = match self {
            Self::Restored => {
                home = home.restored(&node).await;
                drop((node, env));
                home.open().await.0
            }
            Self::Parquet | Self::OverlappingParquet => {
                node.close().await.unwrap();
                drop(node);
                home.open().await.0
            }
            Self::Restarted | Self::TemplatesRestarted => {
                // No farewell: what was not persisted is in the log only.
                env.tasks.abort().await;
                drop((node, env));
                home.open().await.0
            }
            _ => node,
        };
        let attached = match self {
            Self::Attached => Some(home.attach().await),
            _ => None,
        };
        let arranged = Arranged { node, database: name, attached, home };
        arranged.check(self).await;
        arranged
    }

    /// Whether the partition rules change from stage to stage.
    pub fn has_templates(self) -> bool {
        matches!(self, Self::Templates | Self::TemplatesRestarted)
    }

    fn after_first(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Frozen => Some("freeze"),
            _ => Some("persist"),
        }
    }

    fn after_second(self) -> Option<&'static str> {
        match self {
            Self::Overlapping | Self::Mixed | Self::Restarted | Self::Restored | Self::Deleted => Some("freeze"),
            Self::Templates | Self::TemplatesRestarted => Some("freeze"),
            Self::OverlappingParquet | Self::Attached | Self::Compacted => Some("persist"),
            Self::SettledThenOpen => Some("compact"),
            _ => None,
        }
    }

    fn after_third(self) -> Option<&'static str> {
        match self {
            Self::OverlappingParquet | Self::Attached => Some("persist"),
            Self::Compacted => Some("compact"),
            _ => None,
        }
    }

    /// The stages that chunks must have, as (stage, in memory).
    fn stages(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["open true"],
            Self::Frozen => &["frozen true"],
            Self::Persisted | Self::Expired => &["persisted true"],
            Self::Compacted => &["persisted false"],
            Self::SettledThenOpen => &["open true", "persisted false"],
            Self::Parquet | Self::OverlappingParquet | Self::Restored | Self::Attached => &["persisted false"],
            Self::Overlapping | Self::Mixed | Self::Templates | Self::Deleted => {
                &["frozen true", "open true", "persisted true"]
            }
            // Replay makes open chunks of what was frozen.
            Self::Restarted | Self::TemplatesRestarted => &["open true", "persisted false"],
        }
    }
}

impl Arranged {
    /// Whoever answers queries.
    pub fn session(&self) -> Session {
        let answerer = match &self.attached {
            Some(attached) => Answerer::Attached(attached.clone()),
            None => Answerer::Node(self.node.clone()),
        };
        Session::new(&answerer, &self.database)
    }

    /// That the chunks are what the arrangement says: else all of this would prove nothing.
    async fn check(&self, arrangement: Arrangement) {
        let session = self.session();
        let sql = "SELECT DISTINCT stage, in_memory FROM system.chunks ORDER BY stage, in_memory";
        let (_, rows) = session.ask(sql).await.unwrap();
        let stages: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(stages, arrangement.stages(), "{arrangement:?}");
        let sql = "SELECT max(chunks) FROM (SELECT count(*) AS chunks FROM system.chunks GROUP BY \"table\", partition_key) AS p";
        let (_, rows) = session.ask(sql).await.unwrap();
        let overlapping = matches!(arrangement, Arrangement::Overlapping | Arrangement::OverlappingParquet);
        assert!(!overlapping || rows[0][0] == "3", "a partition has three chunks: {rows:?}");
        assert!(arrangement != Arrangement::Compacted || rows[0][0] == "1", "a partition has one chunk: {rows:?}");
        let sql = "SELECT \"table\", count(DISTINCT template) FROM system.chunks GROUP BY 1 ORDER BY 1";
        let (_, rows) = session.ask(sql).await.unwrap();
        // After the crash, what was frozen and what was open is of one template.
        let templates = match arrangement {
            Arrangement::Templates => "3",
            Arrangement::TemplatesRestarted => "2",
            _ => "1",
        };
        assert!(rows.len() == 9 && rows.iter().all(|row| row[1] == templates), "{arrangement:?}: {rows:?}");
    }

    /// Stops the node; the files of its log are then removed.
    pub async fn close(self) {
        self.node.close().await.unwrap();
        drop(self.home);
    }
}
