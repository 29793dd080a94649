//! Every call over the router, with tokens of all kinds, over a real node in memory.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use ochre_database::{LogHome, Node, NodeConfig};
use ochre_env::Env;
use ochre_store::catalog::Checkpoints;
use ochre_types::ByteSize;
use ochre_types::rules::Rules;
use ochre_types::token::{Grants, TokenHash, TokenName};
use ochre_wire::v1;
use ochre_wire::v1::apply_rules_request::Source;
use ochre_wire::v1::management_client::ManagementClient;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

use crate::auth::{Access, Secret};
use crate::http::node::NodeBackend;
use crate::http::router::router;
use crate::http::testing::Server;

const OPERATOR: &str = "operator-operator-operator-operator";

fn hash(secret: &str) -> TokenHash {
    Secret::new(secret.to_owned()).hash()
}

/// A small node in memory.
pub(in crate::grpc) fn config() -> NodeConfig {
    NodeConfig {
        node_id: "a".parse().unwrap(),
        prefix: Path::default(),
        log: LogHome::Memory,
        memory: ByteSize::mib(64),
        resources: Default::default(),
        rules: Rules::default(),
        auto_create: true,
        spill_dir: None,
        query_threads: 1,
        checkpoints: Checkpoints::default(),
    }
}

struct Fixture {
    router: axum::Router,
    client: ManagementClient<axum::Router>,
    node: Arc<Node>,
}

impl Fixture {
    /// A server with the databases `a` and `b`, and tokens whose secrets are their scopes.
    async fn new() -> Self {
        let node = Node::open(Env::system(), Arc::new(InMemory::new()), config()).await.unwrap();
        for database in ["a", "b"] {
            node.create_database(&database.parse().unwrap()).await.unwrap();
        }
        for scope in ["read:a", "write:a", "manage:a", "read:*", "manage:*"] {
            let name = TokenName::new(&scope.replace(':', "-").replace('*', "all")).unwrap();
            let grants = Grants(vec![scope.parse().unwrap()]);
            node.create_token(name, hash(scope), grants).await.unwrap();
        }
        let server = Server::guarded(Access::Tokens { operators: vec![hash(OPERATOR)] }, |_| {});
        server.app.serve(Arc::new(NodeBackend(node.clone())));
        let router = router(server.app);
        Self { client: ManagementClient::new(router.clone()), router, node }
    }

    async fn apply(&self, token: &str, text: &str) -> Result<v1::ApplyRulesResponse, Status> {
        self.apply_with(token, text, |_| {}).await
    }

    async fn apply_with(
        &self,
        token: &str,
        text: &str,
        change: impl FnOnce(&mut v1::ApplyRulesRequest),
    ) -> Result<v1::ApplyRulesResponse, Status> {
        let mut request =
            v1::ApplyRulesRequest { source: Some(Source::Document(text.to_owned())), ..Default::default() };
        change(&mut request);
        self.client.clone().apply_rules(ask(token, request)).await.map(Response::into_inner)
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

fn database(name: &str) -> String {
    name.to_owned()
}

/// The codes of all calls about database `a` and about tokens, and of rules for `*`.
async fn codes(fixture: &Fixture, token: &str) -> Vec<(&'static str, Code)> {
    let mut client = fixture.client.clone();
    let create = v1::CreateDatabaseRequest { name: database("a") };
    let get = |of: &str| v1::GetRulesRequest { database: database(of), generation: None };
    let history = v1::ListRulesHistoryRequest { database: database("a") };
    let rollback = v1::RollbackRulesRequest { database: database("a"), dry_run: true, ..Default::default() };
    let explain = v1::ExplainRulesRequest { database: database("a"), lines: "cpu v=1 1".to_owned() };
    vec![
        ("status", code(client.get_status(ask(token, v1::GetStatusRequest {})).await)),
        ("create database", code(client.create_database(ask(token, create)).await)),
        ("list databases", code(client.list_databases(ask(token, v1::ListDatabasesRequest {})).await)),
        ("apply", code(fixture.apply(token, "database: a").await)),
        ("apply to all", code(fixture.apply(token, "database: \"*\"").await)),
        ("get", code(client.get_rules(ask(token, get("a"))).await)),
        ("get of all", code(client.get_rules(ask(token, get("*"))).await)),
        ("history", code(client.list_rules_history(ask(token, history)).await)),
        ("rollback", code(client.rollback_rules(ask(token, rollback)).await)),
        ("explain", code(client.explain_rules(ask(token, explain)).await)),
        ("create token", code(client.create_token(ask(token, v1::CreateTokenRequest::default())).await)),
        ("list tokens", code(client.list_tokens(ask(token, v1::ListTokensRequest {})).await)),
        ("revoke token", code(client.revoke_token(ask(token, v1::RevokeTokenRequest { name: "x".to_owned() })).await)),
    ]
}

#[tokio::test]
async fn every_call_asks_for_what_its_contract_says() {
    let fixture = Fixture::new().await;
    let reads = ["get", "history", "explain"];
    let manages = ["create database", "apply", "rollback"];
    let everywhere = ["apply to all", "create token", "list tokens", "revoke token"];
    for token in ["read:a", "write:a", "manage:a", "read:*", "manage:*", OPERATOR, "nobody"] {
        for (call, code) in codes(&fixture, token).await {
            let may_all = ["manage:*", OPERATOR].contains(&token);
            let allowed = match call {
                "status" | "list databases" => true,
                "get of all" => may_all || token == "read:*",
                call if reads.contains(&call) => token != "write:a",
                call if manages.contains(&call) => may_all || token == "manage:a",
                call => may_all || !everywhere.contains(&call),
            };
            let expected = match call {
                _ if token == "nobody" => Code::Unauthenticated,
                _ if !allowed => Code::PermissionDenied,
                "create database" => Code::AlreadyExists,
                "create token" => Code::InvalidArgument,
                "revoke token" => Code::NotFound,
                _ => Code::Ok,
            };
            assert_eq!(code, expected, "{call} with {token}");
        }
    }
}

#[tokio::test]
async fn nobody_sees_what_is_not_theirs() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client.clone();
    for (token, read, seen) in [
        ("read:a", &["a"][..], &["a"][..]),
        ("write:a", &[], &["a"]),
        ("read:*", &["a", "b"], &["a", "b"]),
        (OPERATOR, &["a", "b"], &["a", "b"]),
    ] {
        let status = client.get_status(ask(token, v1::GetStatusRequest {})).await.unwrap().into_inner();
        assert_eq!(status.databases.iter().map(|database| &*database.name).collect::<Vec<_>>(), read, "{token}");
        let list = client.list_databases(ask(token, v1::ListDatabasesRequest {})).await.unwrap().into_inner();
        assert_eq!(list.databases.iter().map(|database| &*database.name).collect::<Vec<_>>(), seen, "{token}");
    }
    // Whether a database is there is not told either.
    let get = |name: &str| v1::GetRulesRequest { database: database(name), generation: None };
    let there = client.get_rules(ask("read:a", get("b"))).await.unwrap_err();
    let nowhere = client.get_rules(ask("read:a", get("c"))).await.unwrap_err();
    assert_eq!(there.message().replace('b', "c"), nowhere.message().replace('b', "c"));
    assert_eq!((there.code(), nowhere.code()), (Code::PermissionDenied, Code::PermissionDenied));
}

#[tokio::test]
async fn mistakes_are_told_with_their_paths() {
    let fixture = Fixture::new().await;
    let text = "database: a\nbufer: {}\nlimits: {tables: 0}";
    let status = fixture.apply(OPERATOR, text).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "the document has 2 mistakes"));
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let paths: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(paths, ["bufer", "limits.tables"]);
    assert!(violations[1].description.ends_with(" (line 3)"), "{violations:?}");

    let none = fixture.client.clone().apply_rules(ask(OPERATOR, v1::ApplyRulesRequest::default())).await.unwrap_err();
    assert_eq!(none.get_error_details().bad_request().unwrap().field_violations[0].field, "source");
    let typed = v1::Rules { database: "a".to_owned(), store: Some(v1::StoreRule { rule: None }), ..Default::default() };
    let typed = v1::ApplyRulesRequest { source: Some(Source::Rules(typed)), ..Default::default() };
    let refused = fixture.client.clone().apply_rules(ask(OPERATOR, typed)).await.unwrap_err();
    assert_eq!(refused.get_error_details().bad_request().unwrap().field_violations[0].field, "store");
    let explain = v1::ExplainRulesRequest { database: database("a"), lines: "cpu v=1 1\n".repeat(1_001) };
    let refused = fixture.client.clone().explain_rules(ask(OPERATOR, explain)).await.unwrap_err();
    assert_eq!(refused.get_error_details().bad_request().unwrap().field_violations[0].field, "lines");
}

#[tokio::test]
async fn what_stands_against_a_change_is_told() {
    let fixture = Fixture::new().await;
    let unknown = fixture.apply(OPERATOR, "database: c").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.get_error_details().resource_info().unwrap().resource_name, "c");

    let applied = fixture.apply_with("manage:a", "database: a\nlimits: {tables: 5}", |it| it.fence = Some(4)).await;
    let change = |path: &str, before: &str, after: &str| v1::RuleChange {
        path: path.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let expected = (1, vec![change("limits.tables", "10000", "5")]);
    assert_eq!(applied.map(|applied| (applied.generation, applied.changes)).unwrap(), expected);
    let kept = &fixture.node.rules_history(&"a".parse().unwrap()).unwrap()[0];
    assert_eq!((&*kept.applied_by, kept.fence), ("manage-a", Some(4)));

    let raced = fixture.apply_with(OPERATOR, "database: a", |it| it.expected_generation = Some(0)).await.unwrap_err();
    assert_eq!(raced.code(), Code::Aborted);
    let fenced = fixture.apply_with(OPERATOR, "database: b", |it| it.fence = Some(3)).await.unwrap_err();
    assert_eq!(fenced.code(), Code::FailedPrecondition);
    let details = fenced.get_error_details();
    let violation = &details.precondition_failure().unwrap().violations[0];
    assert_eq!((&*violation.r#type, &*violation.subject), ("FENCE", "fence"));
    let rollback = v1::RollbackRulesRequest { database: database("a"), generation: 7, ..Default::default() };
    let missing = fixture.client.clone().rollback_rules(ask(OPERATOR, rollback)).await.unwrap_err();
    assert_eq!(missing.code(), Code::OutOfRange);

    let a = fixture.node.database(&"a".parse().unwrap()).unwrap();
    a.write_lines("cpu usage=1i 1".into(), &ochre_ingest::line_protocol::Options::default()).await.unwrap();
    let contradicted = fixture.apply(OPERATOR, "database: a\ncolumns: {usage: float}").await.unwrap_err();
    assert_eq!(contradicted.code(), Code::FailedPrecondition);
    let details = contradicted.get_error_details();
    let violation = &details.precondition_failure().unwrap().violations[0];
    assert_eq!((&*violation.r#type, &*violation.subject), ("DATA", "columns.usage"));
    assert!(violation.description.contains("cpu (integer)"), "{violation:?}");
}

#[tokio::test]
async fn a_token_is_shown_once_and_valid_until_it_is_revoked() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client.clone();
    let new = |name: &str| v1::CreateTokenRequest {
        name: name.to_owned(),
        scopes: vec![v1::TokenScope { action: v1::Action::Read.into(), database: "*".to_owned() }],
    };
    let secret = client.create_token(ask("manage:*", new("one"))).await.unwrap().into_inner().token;
    assert_eq!(fixture.node.token(&hash(&secret)).unwrap().0.as_str(), "one");
    assert_eq!(code(client.get_status(ask(&secret, v1::GetStatusRequest {})).await), Code::Ok);
    let again = client.create_token(ask(OPERATOR, new("one"))).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let details = again.get_error_details();
    let resource = details.resource_info().unwrap();
    assert_eq!((&*resource.resource_type, &*resource.resource_name), ("token", "one"));
    for reserved in ["operator", "anybody", ""] {
        let refused = client.create_token(ask(OPERATOR, new(reserved))).await.unwrap_err();
        assert_eq!(refused.get_error_details().bad_request().unwrap().field_violations[0].field, "name", "{reserved}");
    }
    let listed = client.list_tokens(ask(OPERATOR, v1::ListTokensRequest {})).await.unwrap().into_inner();
    assert!(!format!("{listed:?}").contains(&secret));
    assert_eq!((listed.tokens.len(), &*listed.tokens[2].name), (6, "one"));
    let revoke = v1::RevokeTokenRequest { name: "one".to_owned() };
    client.revoke_token(ask(OPERATOR, revoke)).await.unwrap();
    assert_eq!(code(client.get_status(ask(&secret, v1::GetStatusRequest {})).await), Code::Unauthenticated);
}

#[tokio::test]
async fn fields_of_a_newer_release_are_refused_and_nothing_is_done() {
    let fixture = Fixture::new().await;
    let known = v1::ApplyRulesRequest {
        source: Some(Source::Document("{database: a, limits: {tables: 7}}".to_owned())),
        ..Default::default()
    };
    for (more, expected) in [
        // Field 15 with the text "x".
        (&[15 << 3 | 2, 1, b'x'][..], ("3", "fields #15:")),
        // rules (2) { lifecycle (6) { 15: "x" } }
        (&[2 << 3 | 2, 5, 6 << 3 | 2, 3, 15 << 3 | 2, 1, b'x'][..], ("3", "fields rules.lifecycle.#15:")),
        (&[][..], ("0", "")),
    ] {
        let mut message = prost::Message::encode_to_vec(&known);
        message.extend(more);
        let mut body = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        body.extend(message);
        let request = http::Request::post("/ochre.v1.Management/ApplyRules")
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {OPERATOR}"))
            .body(axum::body::Body::from(body))
            .unwrap();
        let response = tower::ServiceExt::oneshot(fixture.router.clone(), request).await.unwrap();
        let status = Status::from_header_map(response.headers());
        let (code, message) =
            status.map_or((0, String::new()), |status| (i32::from(status.code()), status.message().to_owned()));
        assert_eq!(code.to_string(), expected.0, "{message}");
        assert!(message.contains(expected.1), "{message}");
        let generation = fixture.node.rules(&"a".parse().unwrap()).unwrap().generation;
        assert_eq!(generation, u64::from(more.is_empty()));
    }
}
