//! A node within the test, whose files and objects can be copied and changed between two starts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use ochre_database::{LogHome, Node, NodeConfig, OpenError};
use ochre_env::Env;
use ochre_ingest::line_protocol::Options;
use ochre_query::{Params, QueryError};
use ochre_store::catalog::Checkpoints;
use ochre_types::rules::Rules;
use ochre_types::{ByteSize, DatabaseName};
use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;

/// What outlives a node: its log's directory and its objects.
pub struct Home {
    dir: TempDir,
    /// The objects.
    pub objects: InMemory,
}

/// A running node.
pub struct Running {
    /// The node.
    pub node: Arc<Node>,
    env: Env,
}

/// The one database.
pub fn database() -> DatabaseName {
    "d".parse().unwrap()
}

impl Home {
    /// An empty one.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), objects: InMemory::new() }
    }

    /// An independent copy of the files and objects as they are now.
    pub fn copy(&self) -> Self {
        let copy = Self { dir: tempfile::tempdir().unwrap(), objects: self.objects.fork() };
        std::fs::create_dir(copy.log_dir()).unwrap();
        for file in self.log_files() {
            std::fs::copy(&file, copy.log_dir().join(file.file_name().unwrap())).unwrap();
        }
        copy
    }

    fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The files of the log, by name.
    pub fn log_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.log_dir()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
        files.sort();
        files
    }

    /// The log's segments, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        self.log_files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "seg")).collect()
    }

    /// The newest segment.
    pub fn newest_segment(&self) -> PathBuf {
        self.segments().pop().expect("a log has a segment")
    }

    /// Starts a node on it.
    pub async fn open(&self) -> Result<Running, OpenError> {
        let env = Env::system();
        let config = NodeConfig {
            node_id: "a".parse().unwrap(),
            prefix: object_store::path::Path::default(),
            log: LogHome::Disk(self.log_dir()),
            memory: ByteSize::mib(128),
            resources: Default::default(),
            rules: Rules::default(),
            auto_create: true,
            spill_dir: None,
            query_threads: 1,
            checkpoints: Checkpoints::default(),
        };
        let opened = Node::open(env.clone(), Arc::new(self.objects.clone()), config).await;
        match opened {
            Ok(node) => Ok(Running { node, env }),
            Err(error) => {
                env.tasks.abort().await;
                Err(error)
            }
        }
    }
}

impl Running {
    /// Writes lines; returns once they are acknowledged.
    pub async fn write(&self, lines: &str) {
        let database = self.node.database_or_create(&database()).await.unwrap();
        let written = database.write_lines(lines.to_owned().into(), &Options::default()).await.unwrap();
        assert_eq!((written.lines, written.rejected_total), (lines.lines().count(), 0));
    }

    /// The rows of table `t` as pairs of `batch` and `value`, in order.
    pub async fn pairs(&self) -> Result<Vec<(i64, i64)>, QueryError> {
        self.pairs_by("SELECT batch, value FROM t ORDER BY batch, value").await
    }

    /// The pairs that another query asks for.
    pub async fn pairs_by(&self, sql: &str) -> Result<Vec<(i64, i64)>, QueryError> {
        let answer = match self.node.query(&database(), sql, &Params::default()).await {
            // Nothing was left of the table, or of the database.
            Err(QueryError::UnknownTable(_) | QueryError::UnknownDatabase(_)) => return Ok(Vec::new()),
            answer => answer?,
        };
        let mut pairs = Vec::new();
        let batches: Vec<_> = answer.stream.try_collect().await?;
        for batch in &batches {
            let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().values().to_vec();
            pairs.extend(column(0).into_iter().zip(column(1)));
        }
        Ok(pairs)
    }

    /// Ends as a crash does: nothing is sealed or persisted.
    pub async fn crash(self) {
        self.env.tasks.abort().await;
    }
}

/// A line of batch `batch`: its value says where it belongs.
pub fn line(batch: i64, row: i64) -> String {
    let nanos = 1_740_787_200_000_000_000 + batch * 86_400_000_000_000 + row;
    format!("t,row=r{row} batch={batch}i,value={}i {nanos}\n", batch * 1_000_003 + row)
}

/// The pairs of the rows `0..rows` of a batch.
pub fn pairs_of(batch: i64, rows: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..rows).map(move |row| (batch, batch * 1_000_003 + row))
}

/// What is logged on this thread while it lives.
pub struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

impl Captured {
    /// Begins to listen; needs a runtime of one thread.
    pub fn start() -> Self {
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Writer(text.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// What was logged since the last call.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.text.lock().unwrap())).unwrap()
    }
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The length of a file.
pub fn len(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}
