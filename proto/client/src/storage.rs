//! Stored data of a server: the typed calls of `ochre.v1.Storage`.

mod backup;
mod damage;
mod deletes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ochre_types::{DatabaseName, TableName};
use ochre_wire::v1;
use ochre_wire::v1::storage_client::StorageClient;
use tonic::{Request, Response, Status};

use crate::connection::Authorized;
use crate::error::Error;
use crate::retry::Repeat;
use crate::unary;

pub use backup::RestoreBackup;
pub use damage::Scrub;
pub use deletes::DeleteRows;

/// Bytes that an answer may have: a list of many partitions, or of findings.
const MAX_ANSWER: usize = 64 << 20;

/// Partitions by table pattern and key; what is `None` is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partitions {
    /// A table, or a pattern of tables as in rules.
    pub tables: Option<String>,
    /// The partition key.
    pub key: Option<String>,
}

/// Works on the stored data of one server. Cheap to clone.
///
/// Deadlines and attempts are as those of [`crate::Management`]. Long work is begun, and then asked for until it has
/// ended: [`Storage::wait`].
#[derive(Clone)]
pub struct Storage {
    client: Client,
    url: Arc<str>,
    timeout: Duration,
}

/// The generated client.
type Client = StorageClient<Authorized>;

impl Storage {
    pub(crate) fn new(channel: Authorized, url: Arc<str>, timeout: Duration) -> Self {
        let client = StorageClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        Self { client, url, timeout }
    }

    /// The same with another deadline for each call.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The partitions of a database, by table and key.
    pub async fn partitions(
        &self,
        database: &DatabaseName,
        tables: Option<&str>,
    ) -> Result<Vec<v1::PartitionInfo>, Error> {
        let tables = tables.unwrap_or_default().to_owned();
        let request = v1::ListPartitionsRequest { database: database.to_string(), tables };
        let send = |mut client: Client, request| async move { client.list_partitions(request).await };
        Ok(self.call(Repeat::Always, request, send).await?.partitions)
    }

    /// The chunks of the partitions with a key.
    pub async fn partition(
        &self,
        database: &DatabaseName,
        table: &TableName,
        key: &str,
    ) -> Result<v1::GetPartitionResponse, Error> {
        let (database, table) = (database.to_string(), table.to_string());
        let request = v1::GetPartitionRequest { database, table, key: key.to_owned() };
        let send = |mut client: Client, request| async move { client.get_partition(request).await };
        self.call(Repeat::Always, request, send).await
    }

    /// Begins to freeze, persist or compact partitions.
    pub async fn work_on_partitions(
        &self,
        database: &DatabaseName,
        partitions: &Partitions,
        work: v1::PartitionWork,
    ) -> Result<v1::Operation, Error> {
        let request = v1::WorkOnPartitionsRequest {
            database: database.to_string(),
            tables: partitions.tables.clone().unwrap_or_default(),
            key: partitions.key.clone().unwrap_or_default(),
            work: work.into(),
        };
        let send = |mut client: Client, request| async move { client.work_on_partitions(request).await };
        self.call(Repeat::IfNotSent, request, send).await
    }

    /// Closes the partitions with a key for writes, or opens them. Returns how many have changed.
    pub async fn set_partitions_read_only(
        &self,
        database: &DatabaseName,
        table: &TableName,
        key: &str,
        read_only: bool,
    ) -> Result<u64, Error> {
        let (database, table) = (database.to_string(), table.to_string());
        let request = v1::SetPartitionsReadOnlyRequest { database, table, key: key.to_owned(), read_only };
        let send = |mut client: Client, request| async move { client.set_partitions_read_only(request).await };
        Ok(self.call(Repeat::IfNotSent, request, send).await?.changed)
    }

    /// Long work: what runs, and the last that ended; newest first.
    pub async fn operations(
        &self,
        database: Option<&DatabaseName>,
        running: bool,
    ) -> Result<Vec<v1::Operation>, Error> {
        let database = database.map(ToString::to_string).unwrap_or_default();
        let request = v1::ListOperationsRequest { database, running };
        let send = |mut client: Client, request| async move { client.list_operations(request).await };
        Ok(self.call(Repeat::Always, request, send).await?.operations)
    }

    /// One operation as it is now.
    pub async fn operation(&self, id: &str) -> Result<v1::Operation, Error> {
        self.ask(id, false).await
    }

    /// One operation once it has ended; as it is after some seconds, if it has not: ask again then.
    pub async fn wait(&self, id: &str) -> Result<v1::Operation, Error> {
        self.ask(id, true).await
    }

    async fn ask(&self, id: &str, wait: bool) -> Result<v1::Operation, Error> {
        let request = v1::GetOperationRequest { id: id.to_owned(), wait };
        let send = |mut client: Client, request| async move { client.get_operation(request).await };
        self.call(Repeat::Always, request, send).await
    }

    /// Asks an operation to end. What it has done so far stays.
    pub async fn cancel(&self, id: &str) -> Result<v1::Operation, Error> {
        let request = v1::CancelOperationRequest { id: id.to_owned() };
        let send = |mut client: Client, request| async move { client.cancel_operation(request).await };
        self.call(Repeat::Always, request, send).await
    }

    /// Makes a call, and again where that is harmless.
    async fn call<Q: Clone, A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        repeat: Repeat,
        message: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Error> {
        unary::call(&self.client, (&self.url, self.timeout), repeat, message, send).await
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("url", &self.url).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
