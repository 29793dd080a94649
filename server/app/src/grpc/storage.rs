//! `ochre.v1.Storage`: what operators do with stored data. The contract is `proto/wire/ochre/v1/storage.proto`.
//!
//! ```text
//!   message -> domain types (ochre-wire) -> may the caller do that? -> the node -> message
//!   long work -> an operation: its id is the answer, its progress is asked for
//! ```
//!
//! Each method is one function of the file of its topic. What holds for management holds here: see
//! [`management`](super::management).

mod backup;
mod damage;
mod deletes;
mod operations;
mod partitions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ochre_wire::v1;
use ochre_wire::v1::storage_server::{Storage, StorageServer};
use tonic::{Request, Response, Status};

use super::call::{Call, REQUEST_LIMIT};
use crate::http::state::App;

/// The service, for the router.
pub fn service(app: Arc<App>) -> StorageServer<NodeStorage> {
    StorageServer::new(NodeStorage { app }).max_decoding_message_size(REQUEST_LIMIT)
}

/// The storage of the node.
pub struct NodeStorage {
    app: Arc<App>,
}

/// A method that hands its call and message on to a function of its topic.
macro_rules! delegate {
    ($self:ident, $request:ident, $function:path) => {{
        let (call, request) = Call::begin(&$self.app, $request)?;
        $function(&call, request).await.map(Response::new)
    }};
}

#[tonic::async_trait]
impl Storage for NodeStorage {
    async fn list_partitions(
        &self,
        request: Request<v1::ListPartitionsRequest>,
    ) -> Result<Response<v1::ListPartitionsResponse>, Status> {
        delegate!(self, request, partitions::list)
    }

    async fn get_partition(
        &self,
        request: Request<v1::GetPartitionRequest>,
    ) -> Result<Response<v1::GetPartitionResponse>, Status> {
        delegate!(self, request, partitions::get)
    }

    async fn work_on_partitions(
        &self,
        request: Request<v1::WorkOnPartitionsRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        delegate!(self, request, partitions::work)
    }

    async fn set_partitions_read_only(
        &self,
        request: Request<v1::SetPartitionsReadOnlyRequest>,
    ) -> Result<Response<v1::SetPartitionsReadOnlyResponse>, Status> {
        delegate!(self, request, partitions::set_read_only)
    }

    async fn list_operations(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<Response<v1::ListOperationsResponse>, Status> {
        delegate!(self, request, operations::list)
    }

    async fn get_operation(
        &self,
        request: Request<v1::GetOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        delegate!(self, request, operations::get)
    }

    async fn cancel_operation(
        &self,
        request: Request<v1::CancelOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        delegate!(self, request, operations::cancel)
    }

    async fn delete_rows(
        &self,
        request: Request<v1::DeleteRowsRequest>,
    ) -> Result<Response<v1::DeleteReceipt>, Status> {
        delegate!(self, request, deletes::rows)
    }

    async fn list_deletes(
        &self,
        request: Request<v1::ListDeletesRequest>,
    ) -> Result<Response<v1::ListDeletesResponse>, Status> {
        delegate!(self, request, deletes::list)
    }

    async fn drop_table(&self, request: Request<v1::DropTableRequest>) -> Result<Response<v1::DeleteReceipt>, Status> {
        delegate!(self, request, deletes::drop_table)
    }

    async fn undrop_table(
        &self,
        request: Request<v1::UndropTableRequest>,
    ) -> Result<Response<v1::UndropTableResponse>, Status> {
        delegate!(self, request, deletes::undrop_table)
    }

    async fn drop_database(
        &self,
        request: Request<v1::DropDatabaseRequest>,
    ) -> Result<Response<v1::DeleteReceipt>, Status> {
        delegate!(self, request, deletes::drop_database)
    }

    async fn undrop_database(
        &self,
        request: Request<v1::UndropDatabaseRequest>,
    ) -> Result<Response<v1::UndropDatabaseResponse>, Status> {
        delegate!(self, request, deletes::undrop_database)
    }

    async fn list_damage(
        &self,
        request: Request<v1::ListDamageRequest>,
    ) -> Result<Response<v1::ListDamageResponse>, Status> {
        delegate!(self, request, damage::list)
    }

    async fn scrub(&self, request: Request<v1::ScrubRequest>) -> Result<Response<v1::Operation>, Status> {
        delegate!(self, request, damage::scrub)
    }

    async fn create_backup(
        &self,
        request: Request<v1::CreateBackupRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        delegate!(self, request, backup::create)
    }

    async fn restore_backup(
        &self,
        request: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        delegate!(self, request, backup::restore)
    }
}
