//! The same rows in different arrangements of chunks.

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use ochre_database::rules::{Source, Terms};
use ochre_database::{Database, LogHome, Node, NodeConfig};
use ochre_env::Env;
use ochre_ingest::line_protocol::Options;
use ochre_store::catalog::Checkpoints;
use ochre_types::rules::{Rules, Target};
use ochre_types::{ByteSize, DatabaseName};
use tempfile::TempDir;

use super::session::Session;
use super::{files, rewrite};

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
            rules: Rules::default(),
            auto_create: true,
            spill_dir: None,
            query_threads: 2,
            checkpoints: Checkpoints::default(),
        };
        (Node::open(env.clone(), self.objects.clone(), config).await.unwrap(), env)
    }
}

async fn write(database: &Database, lines: &str) {
    let written = database.write_lines(lines.to_owned().into(), &Options::default()).await.unwrap();
    assert_eq!((written.lines, written.rejected_total), (lines.lines().count(), 0), "{:?}", written.rejected);
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
            Self::Overlapping | Self::OverlappingParquet | Self::Templates | Self::TemplatesRestarted => {
                sets.iter().map(|set| rewrite::overlapping(&rewrite::fold(set))).collect()
            }
            Self::Mixed | Self::Restarted => sets.iter().map(|set| thirds(set)).collect(),
            _ => sets.into_iter().map(|set| [set, String::new(), String::new()]).collect(),
        };
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
                _ => {}
            }
        }
        drop(database);
        let node = match self {
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
        let arranged = Arranged { node, database: name, home };
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
            Self::Overlapping | Self::Mixed | Self::Restarted => Some("freeze"),
            Self::Templates | Self::TemplatesRestarted => Some("freeze"),
            Self::OverlappingParquet => Some("persist"),
            _ => None,
        }
    }

    fn after_third(self) -> Option<&'static str> {
        (self == Self::OverlappingParquet).then_some("persist")
    }

    /// The stages that chunks must have, as (stage, in memory).
    fn stages(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["open true"],
            Self::Frozen => &["frozen true"],
            Self::Persisted => &["persisted true"],
            Self::Parquet | Self::OverlappingParquet => &["persisted false"],
            Self::Overlapping | Self::Mixed | Self::Templates => &["frozen true", "open true", "persisted true"],
            // Replay makes open chunks of what was frozen.
            Self::Restarted | Self::TemplatesRestarted => &["open true", "persisted false"],
        }
    }
}

impl Arranged {
    /// That the chunks are what the arrangement says: else all of this would prove nothing.
    async fn check(&self, arrangement: Arrangement) {
        let session = Session::new(&self.node, &self.database);
        let sql = "SELECT DISTINCT stage, in_memory FROM system.chunks ORDER BY stage, in_memory";
        let (_, rows) = session.ask(sql).await.unwrap();
        let stages: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(stages, arrangement.stages(), "{arrangement:?}");
        let sql = "SELECT max(chunks) FROM (SELECT count(*) AS chunks FROM system.chunks GROUP BY \"table\", partition_key) AS p";
        let (_, rows) = session.ask(sql).await.unwrap();
        let overlapping = matches!(arrangement, Arrangement::Overlapping | Arrangement::OverlappingParquet);
        assert!(!overlapping || rows[0][0] == "3", "a partition has three chunks: {rows:?}");
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
