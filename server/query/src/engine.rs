//! Runs statements.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use chrono::DateTime;
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use ochre_env::Clock;
use ochre_store::memory::{Gauge, ShareUse};
use ochre_types::ByteSize;

use crate::catalog::{CATALOG, Catalogs, Database, TABLES};
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::memory::QueryMemory;
use crate::objects::OneStore;
use crate::params::Params;
use crate::running::Running;
use crate::source::Source;
use crate::statement::{self, Parsed};

/// The stack for planning, in bytes; only what is used of it is ever in memory. Planning walks expressions and plans
/// recursively: [`crate::limits`] bounds how deep they are, and this is more than such a depth needs.
const PLANNING_STACK: usize = 16 << 20;

/// How queries run on this server.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The memory that all queries share.
    pub memory: ByteSize,
    /// The memory that footers of Parquet objects may take.
    pub caches: ByteSize,
    /// How many parts of a plan run at a time; 1 in simulation.
    pub target_partitions: usize,
    /// Where queries that outgrow their memory put what doesn't fit; without it they fail.
    pub spill_dir: Option<PathBuf>,
    /// Bytes that all queries together may have there.
    pub spill_limit: ByteSize,
    /// The rows of a batch.
    pub batch_size: usize,
    /// What `now()` reads.
    pub clock: Arc<dyn Clock>,
}

/// What one query may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// The memory that it may reserve, within what all queries share.
    pub memory: ByteSize,
    /// How long it may run, from planning to its last rows; a client that is slow to read them counts too.
    pub time: Duration,
}

/// Why an engine can't be made.
#[derive(Debug, thiserror::Error)]
#[error("the query engine can't start: {0}")]
pub struct EngineError(String);

/// Runs queries, one per server.
pub struct Engine {
    template: SessionState,
    clock: Arc<dyn Clock>,
    memory: Gauge,
    running: Arc<Running>,
}

/// What queries hold at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryUse {
    /// The memory that they have reserved.
    pub memory: ShareUse,
    /// The memory of cached footers.
    pub caches: ShareUse,
    /// Bytes that they have on disk.
    pub spilled: u64,
    /// Queries that run.
    pub running: u64,
    /// Queries that were ended because the process took too much memory.
    pub ended: u64,
}

/// A query's answer, as it comes.
pub struct QueryResult {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows. Dropping it ends the query.
    pub stream: BoxStream<'static, Result<RecordBatch, QueryError>>,
}

impl std::fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryResult").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that reads persisted chunks from `objects`.
    pub fn new(config: EngineConfig, objects: Arc<dyn ObjectStore>) -> Result<Self, EngineError> {
        let runtime = runtime(&config, objects).map_err(|error| EngineError(error.strip_backtrace()))?;
        let template = SessionStateBuilder::new_with_default_features()
            .with_config(session(&config).map_err(|error| EngineError(error.strip_backtrace()))?)
            .with_runtime_env(runtime)
            // Reading by URL and making tables need formats and factories: there are none.
            .with_table_factories(Default::default())
            .build();
        Ok(Self { template, clock: config.clock, memory: Gauge::new(config.memory), running: Arc::default() })
    }

    /// Lets no query begin, for that reason; `None` lets them again.
    pub fn refuse(&self, reason: Option<String>) {
        self.running.refuse(reason);
    }

    /// Ends the query that has reserved most memory, for that reason. Returns the bytes; `None` if none runs.
    pub fn end_largest(&self, reason: &str) -> Option<u64> {
        self.running.end_largest(reason)
    }

    /// What queries hold now.
    pub fn usage(&self) -> QueryUse {
        let runtime = self.template.runtime_env();
        let manager = &runtime.cache_manager;
        let footers = manager.get_file_metadata_cache().list_entries();
        let footers = footers.values().map(|entry| entry.size_bytes as u64).sum();
        let (running, ended) = self.running.counts();
        QueryUse {
            memory: self.memory.read(),
            // The cache keeps to its limit by itself and tells no peak.
            caches: ShareUse { used: footers, peak: footers, limit: manager.get_metadata_cache_limit() as u64 },
            spilled: runtime.disk_manager.used_disk_space(),
            running,
            ended,
        }
    }

    /// Runs one statement over `source`.
    ///
    /// Planning, which takes the snapshots, is done when this returns; reading goes on as the stream is polled. Once
    /// the time of `limits` is over, it ends with [`QueryError::TimedOut`].
    ///
    /// A panic of a library, as over a damaged Parquet object, ends the query and nothing else.
    pub async fn query(
        &self,
        source: Arc<dyn Source>,
        sql: &str,
        params: &Params,
        limits: QueryLimits,
    ) -> Result<QueryResult, QueryError> {
        let pool = self.template.runtime_env().memory_pool.clone();
        let memory = Arc::new(QueryMemory::new(pool, limits.memory, self.memory.clone()));
        let (ticket, ended) = self.running.begin(&memory)?;
        let mut deadline = Deadline::new(&self.clock, limits.time, ended);
        let mut planning = Box::pin(AssertUnwindSafe(self.plan(source, sql, params, memory)).catch_unwind());
        let planned = poll_fn(|context| stacker::grow(PLANNING_STACK, || planning.as_mut().poll(context)));
        let answer = async {
            match planned.await {
                Ok(answer) => answer,
                Err(panic) => Err(QueryError::panicked(&*panic)),
            }
        };
        let QueryResult { schema, stream } = deadline.bound(answer).await?;
        let stream = deadline.end(stream).inspect(move |_| {
            let _running = &ticket;
        });
        Ok(QueryResult { schema, stream: stream.boxed() })
    }

    async fn plan(
        &self,
        source: Arc<dyn Source>,
        sql: &str,
        params: &Params,
        memory: Arc<QueryMemory>,
    ) -> Result<QueryResult, QueryError> {
        let parsed = statement::parse(sql)?;
        let database = Database::new(source);
        let state = self.session(&database, &parsed, memory);
        let plan = match state.statement_to_plan(parsed.statement.clone()).await {
            Ok(plan) => plan,
            Err(error) => {
                let unknown = parsed.unknown(&|schema, table| is_known(&database, &state, schema, table));
                return Err(unknown.unwrap_or_else(|| QueryError::planning(&error)));
            }
        };
        let plan = bind(plan, params)?;
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        read_only.verify_plan(&plan).map_err(|error| QueryError::Refused(error.strip_backtrace()))?;
        let physical = state.create_physical_plan(&plan).await.map_err(|error| QueryError::planning(&error))?;
        let stream = execute_stream(physical, state.task_ctx()).map_err(|error| QueryError::running(&error))?;
        let schema = stream.schema();
        let stream = AssertUnwindSafe(stream).catch_unwind().map(|batch| match batch {
            Ok(batch) => batch.map_err(|error| QueryError::running(&error)),
            Err(panic) => Err(QueryError::panicked(&*panic)),
        });
        let stream: Pin<Box<_>> = Box::pin(stream);
        Ok(QueryResult { schema, stream })
    }

    fn session(&self, database: &Arc<Database>, parsed: &Parsed, memory: Arc<QueryMemory>) -> SessionState {
        let shared = self.template.runtime_env();
        let mut runtime = RuntimeEnv::clone(shared);
        runtime.memory_pool = memory;
        let mut config = self.template.config().clone();
        config.options_mut().sql_parser.enable_ident_normalization = parsed.folds_case;
        let now = DateTime::from_timestamp_nanos(self.clock.wall_nanos());
        let mut started = ExecutionProps::new().with_query_execution_start_time(now);
        started.config_options = Some(config.options().clone());
        SessionStateBuilder::new_from_existing(self.template.clone())
            .with_config(config)
            .with_runtime_env(Arc::new(runtime))
            .with_catalog_list(Arc::new(Catalogs(database.clone())))
            .with_execution_props(started)
            .build()
    }
}

fn is_known(database: &Database, state: &SessionState, schema: Option<&str>, table: &str) -> bool {
    database.has(schema, table) || (schema.is_none() && state.table_functions().contains_key(table))
}

fn bind(plan: LogicalPlan, params: &Params) -> Result<LogicalPlan, QueryError> {
    let has_placeholders = plan.get_parameter_names().map(|names| !names.is_empty());
    if !has_placeholders.map_err(|error| QueryError::planning(&error))? {
        return Ok(plan);
    }
    plan.with_param_values(params.to_datafusion()?).map_err(|error| QueryError::planning(&error))
}

fn runtime(config: &EngineConfig, objects: Arc<dyn ObjectStore>) -> PlanResult<Arc<RuntimeEnv>> {
    let memory = config.memory.as_usize();
    let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(memory));
    let mode = match &config.spill_dir {
        Some(directory) => DiskManagerMode::Directories(vec![directory.clone()]),
        None => DiskManagerMode::Disabled,
    };
    RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(config.spill_limit.0),
        )
        .with_object_store_registry(Arc::new(OneStore::new(objects)))
        .with_metadata_cache_limit(config.caches.as_usize())
        .build_arc()
}

fn session(config: &EngineConfig) -> Result<SessionConfig, DataFusionError> {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.target_partitions.max(1))
        .with_batch_size(config.batch_size.max(1))
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, TABLES);
    let options = session.options_mut();
    // Clients know Utf8; views are a matter of reading.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.recursion_limit = ConfigNonZeroUsize::try_new(statement::PARSER_RECURSION)?;
    Ok(session)
}
