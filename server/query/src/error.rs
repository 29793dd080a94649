//! Why a query gave no answer, or not all of it.

use std::any::Any;
use std::io;
use std::time::Duration;

use arrow_schema::ArrowError;
use datafusion::common::DataFusionError;
use ochre_store::object::verified::DamagedObject;
use ochre_types::size::format_duration;

use crate::params::ParamError;

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no SQL, or it names columns or functions that don't exist or don't fit.
    #[error("this SQL can't be planned: {0}")]
    Sql(String),
    /// The statement is too long or too deep to be planned safely.
    #[error("this SQL is too complex: {0}")]
    TooComplex(String),
    /// There are several statements, or none.
    #[error("a query has one statement, and here are {0}: send them one by one")]
    Statements(usize),
    /// The statement does something else than reading.
    #[error("{0} is not allowed here: a query can only read, with SELECT, EXPLAIN or SHOW")]
    Refused(String),
    /// A table is named in another database, which one statement can't reach.
    #[error("database {0:?} is not known here: a query reads the one database that it is sent to")]
    UnknownDatabase(String),
    /// A table does not exist.
    #[error("table {0:?} is not known: SHOW TABLES lists those that are")]
    UnknownTable(String),
    /// A parameter can't be used.
    #[error(transparent)]
    Parameter(#[from] ParamError),
    /// The memory for queries is used up.
    #[error("the memory for queries is used up: narrow the time range, or raise it on the server ({0})")]
    ResourcesExhausted(String),
    /// The process as a whole takes more memory than it may.
    #[error("the server is short of memory: send the query again later, or narrow it by time ({0})")]
    ServerMemory(String),
    /// The disk that queries spill to is full.
    #[error("a query that outgrew its memory found no room on disk: narrow the time range, or make room ({0})")]
    SpillFull(String),
    /// Too many queries of the database wait for their turn.
    #[error(
        "{waiting} queries of this database wait for their turn while {running} run: send the query again later, or raise limits.concurrent_queries"
    )]
    TooManyQueries {
        /// Queries that run.
        running: usize,
        /// Queries that wait.
        waiting: usize,
    },
    /// It ran for too long.
    #[error("the query ran for more than {}: narrow it by time, or raise limits.query_time", format_duration(*.0))]
    TimedOut(Duration),
    /// It needs rows that can't be read as they were written.
    #[error("the query needs a damaged chunk: {0}")]
    Damaged(Box<DamagedObject>),
    /// Reading or computing failed.
    #[error("the query failed while it ran: {0}")]
    Execution(String),
}

/// Whether a disk has no room; queries write to nothing else than what they spill.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What kind of error it is, for mapping to a protocol's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryErrorKind {
    /// The client's SQL or its parameters are at fault.
    Sql,
    /// The client named a database that is not there.
    UnknownDatabase,
    /// The client named a table that is not there.
    UnknownTable,
    /// The client asked for what queries may not do.
    Refused,
    /// The server is short of memory; the same query may work later.
    ResourcesExhausted,
    /// The query took longer than it may.
    TimedOut,
    /// The server failed, or a value did (such as a division by zero).
    Execution,
}

impl QueryError {
    /// The kind of this error. Stable: protocols map it.
    pub fn kind(&self) -> QueryErrorKind {
        match self {
            Self::Sql(_) | Self::TooComplex(_) | Self::Statements(_) | Self::Parameter(_) => QueryErrorKind::Sql,
            Self::Refused(_) => QueryErrorKind::Refused,
            Self::UnknownDatabase(_) => QueryErrorKind::UnknownDatabase,
            Self::UnknownTable(_) => QueryErrorKind::UnknownTable,
            Self::ResourcesExhausted(_) | Self::ServerMemory(_) | Self::SpillFull(_) | Self::TooManyQueries { .. } => {
                QueryErrorKind::ResourcesExhausted
            }
            Self::TimedOut(_) => QueryErrorKind::TimedOut,
            Self::Damaged(_) | Self::Execution(_) => QueryErrorKind::Execution,
        }
    }

    /// An error that came while the statement was planned: the client's fault unless it says otherwise.
    pub(crate) fn planning(error: &DataFusionError) -> Self {
        if let Some(damaged) = DamagedObject::of(error) {
            return Self::Damaged(Box::new(damaged.clone()));
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => Self::ResourcesExhausted(message.clone()),
            DataFusionError::ObjectStore(_)
            | DataFusionError::IoError(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::External(_)
            | DataFusionError::Internal(_) => Self::Execution(error.strip_backtrace()),
            _ => Self::Sql(error.strip_backtrace()),
        }
    }

    /// A panic of a library below: the query is over, the server goes on.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no reason given");
        Self::Execution(format!("it panicked, over a damaged Parquet object or by a bug: {text}"))
    }

    /// An error that came while the plan ran.
    pub(crate) fn running(error: &DataFusionError) -> Self {
        if let Some(damaged) = DamagedObject::of(error) {
            return Self::Damaged(Box::new(damaged.clone()));
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => Self::ResourcesExhausted(message.clone()),
            DataFusionError::IoError(cause) if is_full(cause) => Self::SpillFull(cause.to_string()),
            DataFusionError::ArrowError(cause, _) => match &**cause {
                ArrowError::IoError(_, cause) if is_full(cause) => Self::SpillFull(cause.to_string()),
                _ => Self::Execution(error.strip_backtrace()),
            },
            _ => Self::Execution(error.strip_backtrace()),
        }
    }
}
