//! Partitions and operations over the router, with tokens of all kinds, over a real node in memory.

use std::sync::Arc;

use object_store::memory::InMemory;
use ochre_database::Node;
use ochre_database::operations::Work;
use ochre_env::Env;
use ochre_types::token::{Grants, TokenHash, TokenName};
use ochre_wire::v1;
use ochre_wire::v1::storage_client::StorageClient;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

use crate::auth::{Access, Secret};
use crate::grpc::management::tests::config;
use crate::http::node::NodeBackend;
use crate::http::router::router;
use crate::http::testing::Server;

const OPERATOR: &str = "operator-operator-operator-operator";

fn hash(secret: &str) -> TokenHash {
    Secret::new(secret.to_owned()).hash()
}

struct Fixture {
    client: StorageClient<axum::Router>,
    node: Arc<Node>,
}

impl Fixture {
    /// A server with the databases `a` and `b`, a row in each, and tokens whose secrets are their scopes.
    async fn new() -> Self {
        let node = Node::open(Env::system(), Arc::new(InMemory::new()), config()).await.unwrap();
        for database in ["a", "b"] {
            let name = database.parse().unwrap();
            node.create_database(&name).await.unwrap();
            let database = node.database(&name).unwrap();
            database.write_lines("cpu v=1 1".into(), &ochre_ingest::line_protocol::Options::default()).await.unwrap();
        }
        for scope in ["read:a", "write:a", "manage:a", "read:*", "manage:*"] {
            let name = TokenName::new(&scope.replace(':', "-").replace('*', "all")).unwrap();
            let grants = Grants(vec![scope.parse().unwrap()]);
            node.create_token(name, hash(scope), grants).await.unwrap();
        }
        let server = Server::guarded(Access::Tokens { operators: vec![hash(OPERATOR)] }, |_| {});
        server.app.serve(Arc::new(NodeBackend(node.clone())));
        Self { client: StorageClient::new(router(server.app)), node }
    }

    async fn operations(&self, token: &str, database: &str) -> Vec<String> {
        let request = v1::ListOperationsRequest { database: database.to_owned(), running: false };
        let listed = self.client.clone().list_operations(ask(token, request)).await.unwrap().into_inner();
        listed.operations.into_iter().map(|operation| operation.target).collect()
    }
}

/// A request that shows a token.
fn ask<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// The codes of all calls about partitions of database `a`, and about an operation of it and one of the whole node.
async fn codes(fixture: &Fixture, token: &str, operations: &[String; 2]) -> Vec<(&'static str, Code)> {
    let mut client = fixture.client.clone();
    let a = || "a".to_owned();
    let list = v1::ListPartitionsRequest { database: a(), tables: String::new() };
    let (table, key) = (|| "cpu".to_owned(), || "1970-01-01".to_owned());
    let get = v1::GetPartitionRequest { database: a(), table: table(), key: key() };
    let freeze = v1::PartitionWork::Freeze.into();
    let work = v1::WorkOnPartitionsRequest { database: a(), work: freeze, ..Default::default() };
    let open = v1::SetPartitionsReadOnlyRequest { database: a(), table: table(), key: key(), read_only: false };
    let one = |index: usize| v1::GetOperationRequest { id: operations[index].clone(), wait: true };
    let cancel = |index: usize| v1::CancelOperationRequest { id: operations[index].clone() };
    let of_a = v1::ListOperationsRequest { database: a(), running: false };
    vec![
        ("list", code(client.list_partitions(ask(token, list)).await)),
        ("get", code(client.get_partition(ask(token, get)).await)),
        ("work", code(client.work_on_partitions(ask(token, work)).await)),
        ("open", code(client.set_partitions_read_only(ask(token, open)).await)),
        ("operations", code(client.list_operations(ask(token, v1::ListOperationsRequest::default())).await)),
        ("operations of a", code(client.list_operations(ask(token, of_a)).await)),
        ("operation of a", code(client.get_operation(ask(token, one(0))).await)),
        ("operation of all", code(client.get_operation(ask(token, one(1))).await)),
        ("cancel one of a", code(client.cancel_operation(ask(token, cancel(0))).await)),
        ("cancel one of all", code(client.cancel_operation(ask(token, cancel(1))).await)),
    ]
}

fn work(database: Option<&str>, target: &str) -> Work {
    let database = database.map(|name| name.parse().unwrap());
    Work { kind: "test", database, target: target.to_owned(), unit: "steps", begun_by: String::new() }
}

#[tokio::test]
async fn every_call_asks_for_what_its_contract_says() {
    let fixture = Fixture::new().await;
    let registry = fixture.node.operations();
    let done = |database| {
        let progress = registry.begin(work(database, "done")).unwrap();
        progress.finish("");
        progress.id().to_owned()
    };
    let operations = [done(Some("a")), done(None)];
    for token in ["read:a", "write:a", "manage:a", "read:*", "manage:*", OPERATOR, "nobody"] {
        for (call, code) in codes(&fixture, token, &operations).await {
            let may_all = ["manage:*", OPERATOR].contains(&token);
            let allowed = match call {
                "operations" => true,
                "operation of all" => may_all || token == "read:*",
                "cancel one of all" => may_all,
                "work" | "open" | "cancel one of a" => may_all || token == "manage:a",
                _ => token != "write:a",
            };
            let expected = match allowed {
                _ if token == "nobody" => Code::Unauthenticated,
                true => Code::Ok,
                false => Code::PermissionDenied,
            };
            assert_eq!(code, expected, "{call} with {token}");
        }
    }
}

#[tokio::test]
async fn operations_are_shown_to_whom_they_concern() {
    let fixture = Fixture::new().await;
    let registry = fixture.node.operations();
    let running: Vec<_> = [(Some("a"), "of a"), (Some("b"), "of b"), (None, "of all")]
        .map(|(database, target)| registry.begin(work(database, target)).unwrap())
        .into();
    assert_eq!(fixture.operations("read:a", "").await, ["of a"]);
    assert_eq!(fixture.operations("write:a", "").await, Vec::<String>::new());
    assert_eq!(fixture.operations(OPERATOR, "").await, ["of all", "of b", "of a"]);
    assert_eq!(fixture.operations(OPERATOR, "b").await, ["of b"]);

    let mut client = fixture.client.clone();
    let id = running[0].id().to_owned();
    running[0].set_total(7);
    running[0].advance(3);
    let cancelled = client.cancel_operation(ask("manage:a", v1::CancelOperationRequest { id: id.clone() })).await;
    assert_eq!(cancelled.unwrap().into_inner().state(), v1::OperationState::Running);
    assert!(running[0].cancelled() && !running[1].cancelled());
    running[0].fail("stopped");
    let ended = client.get_operation(ask("read:a", v1::GetOperationRequest { id, wait: true })).await;
    let ended = ended.map(Response::into_inner).unwrap();
    assert_eq!((ended.state(), ended.done, ended.total), (v1::OperationState::Cancelled, 3, 7));
    assert!(ended.ended.is_some() && ended.message == "stopped");
    let unknown = v1::GetOperationRequest { id: "1-1".to_owned(), wait: false };
    assert_eq!(code(client.get_operation(ask(OPERATOR, unknown)).await), Code::NotFound);
}

#[tokio::test]
async fn mistakes_are_told_with_their_fields() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client.clone();
    let field = |status: Status| status.get_error_details().bad_request().unwrap().field_violations[0].field.clone();
    let request = |tables: &str, key: &str, work| v1::WorkOnPartitionsRequest {
        database: "a".to_owned(),
        tables: tables.to_owned(),
        key: key.to_owned(),
        work,
    };
    let freeze: i32 = v1::PartitionWork::Freeze.into();
    for (request, wrong) in [
        (request("/(/", "", freeze), "tables"),
        (request("", "|||||||||", freeze), "key"),
        (request("", "", 0), "work"),
        (request("", "", 99), "work"),
    ] {
        assert_eq!(field(client.work_on_partitions(ask(OPERATOR, request)).await.unwrap_err()), wrong);
    }
    let get =
        |key: &str| v1::GetPartitionRequest { database: "a".to_owned(), table: "cpu".to_owned(), key: key.to_owned() };
    let found = client.get_partition(ask(OPERATOR, get("1970-01-01"))).await.unwrap().into_inner();
    assert_eq!((found.partitions.len(), found.chunks.len(), found.chunks[0].rows), (1, 1, 1));
    let missing = client.get_partition(ask(OPERATOR, get("1971-01-01"))).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(missing.get_error_details().resource_info().unwrap().resource_name, "cpu/1971-01-01");
    let unknown = v1::ListPartitionsRequest { database: "c".to_owned(), tables: String::new() };
    assert_eq!(code(client.list_partitions(ask(OPERATOR, unknown)).await), Code::NotFound);
}
