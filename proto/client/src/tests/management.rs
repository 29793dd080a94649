//! Management: every call, its token, its errors, and what is tried again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ochre_types::rules::document::Target;
use ochre_types::rules::{Change, Rules};
use ochre_wire::v1;
use ochre_wire::v1::management_server::{Management, ManagementServer};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Script, with_server};
use crate::{Apply, Connection, Error, Options, RulesSource, Violation};

pub(super) struct Fake(pub Arc<Script>);

type Answer<T> = Result<Response<T>, Status>;

fn seconds(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[tonic::async_trait]
impl Management for Fake {
    async fn get_status(&self, request: Request<v1::GetStatusRequest>) -> Answer<v1::GetStatusResponse> {
        self.0.admit("status", request)?;
        Ok(Response::new(v1::GetStatusResponse { node: "a".to_owned(), epoch: 3, ..Default::default() }))
    }

    async fn create_database(&self, request: Request<v1::CreateDatabaseRequest>) -> Answer<v1::CreateDatabaseResponse> {
        let name = self.0.admit("create database", request)?.name;
        assert_eq!(name, "m");
        Ok(Response::new(v1::CreateDatabaseResponse {}))
    }

    async fn list_databases(&self, request: Request<v1::ListDatabasesRequest>) -> Answer<v1::ListDatabasesResponse> {
        self.0.admit("databases", request)?;
        let database = |name: &str| v1::DatabaseInfo { name: name.to_owned(), created: Some(seconds(7).into()) };
        Ok(Response::new(v1::ListDatabasesResponse { databases: vec![database("a"), database("b")] }))
    }

    async fn apply_rules(&self, request: Request<v1::ApplyRulesRequest>) -> Answer<v1::ApplyRulesResponse> {
        let request = self.0.admit("apply", request)?;
        let change = v1::RuleChange { path: format!("{request:?}"), before: String::new(), after: "1".to_owned() };
        let warnings = vec!["careful".to_owned()];
        Ok(Response::new(v1::ApplyRulesResponse { generation: 5, changes: vec![change], warnings }))
    }

    async fn get_rules(&self, request: Request<v1::GetRulesRequest>) -> Answer<v1::GetRulesResponse> {
        let request = self.0.admit("rules", request)?;
        let rules = v1::Rules::from((&request.database.parse::<Target>().unwrap(), &Rules::default()));
        Ok(Response::new(v1::GetRulesResponse {
            generation: request.generation.unwrap_or(9),
            document: "database: m # mine".to_owned(),
            rules: Some(rules),
            effective: "all of it".to_owned(),
        }))
    }

    async fn list_rules_history(
        &self,
        request: Request<v1::ListRulesHistoryRequest>,
    ) -> Answer<v1::ListRulesHistoryResponse> {
        self.0.admit("history", request)?;
        let generation = |generation, applied_by: &str, fence| v1::RulesGeneration {
            generation,
            applied_at: Some(seconds(generation).into()),
            applied_by: applied_by.to_owned(),
            fence,
            document: "database: m".to_owned(),
        };
        let generations = vec![generation(2, "ops", Some(4)), generation(1, "", None)];
        Ok(Response::new(v1::ListRulesHistoryResponse { generations }))
    }

    async fn rollback_rules(&self, request: Request<v1::RollbackRulesRequest>) -> Answer<v1::ApplyRulesResponse> {
        let request = self.0.admit("rollback", request)?;
        Ok(Response::new(v1::ApplyRulesResponse { generation: request.generation + 10, ..Default::default() }))
    }

    async fn explain_rules(&self, request: Request<v1::ExplainRulesRequest>) -> Answer<v1::ExplainRulesResponse> {
        let request = self.0.admit("explain", request)?;
        let line = v1::LineExplanation { table: request.lines, ..Default::default() };
        Ok(Response::new(v1::ExplainRulesResponse { lines: vec![line], generation: 9 }))
    }

    async fn create_token(&self, request: Request<v1::CreateTokenRequest>) -> Answer<v1::CreateTokenResponse> {
        let request = self.0.admit("create token", request)?;
        Ok(Response::new(v1::CreateTokenResponse { token: format!("{}-{}", request.name, request.scopes.len()) }))
    }

    async fn list_tokens(&self, request: Request<v1::ListTokensRequest>) -> Answer<v1::ListTokensResponse> {
        self.0.admit("tokens", request)?;
        let scopes = vec![v1::TokenScope { action: 1, database: "*".to_owned() }];
        let token = v1::TokenInfo { name: "ops".to_owned(), scopes, created_at: Some(seconds(8).into()) };
        Ok(Response::new(v1::ListTokensResponse { tokens: vec![token] }))
    }

    async fn revoke_token(&self, request: Request<v1::RevokeTokenRequest>) -> Answer<v1::RevokeTokenResponse> {
        self.0.admit("revoke", request)?;
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }
}

async fn run<F: Future<Output = ()>>(test: impl FnOnce(crate::Management, Arc<Script>) -> F) {
    let script = Arc::<Script>::default();
    let router = Server::builder().add_service(ManagementServer::new(Fake(script.clone())));
    with_server(router, async |connection| test(connection.management(), script).await).await;
}

fn unavailable() -> Status {
    Status::with_error_details(
        tonic::Code::Unavailable,
        "starting",
        ErrorDetails::with_retry_info(Some(Duration::from_millis(1))),
    )
}

#[tokio::test]
async fn databases_status_and_tokens() {
    run(async |server, script| {
        let m = "m".parse().unwrap();
        assert_eq!(server.status().await.unwrap().node, "a");
        server.create_database(&m).await.unwrap();
        let databases = server.databases().await.unwrap();
        let databases: Vec<_> = databases.iter().map(|database| (database.name.as_str(), database.created)).collect();
        assert_eq!(databases, [("a", seconds(7)), ("b", seconds(7))]);
        assert_eq!(server.explain_rules(&m, "cpu f=1").await.unwrap().lines[0].table, "cpu f=1");
        let scopes = ["read:m".parse().unwrap(), "write:*".parse().unwrap()];
        let secret = server.create_token(&"ops".parse().unwrap(), &scopes).await.unwrap();
        assert_eq!(secret.reveal(), "ops-2");
        let tokens = server.tokens().await.unwrap();
        assert_eq!(tokens[0].name.as_str(), "ops");
        assert_eq!(tokens[0].grants.0, ["read:*".parse().unwrap()]);
        server.revoke_token(&"ops".parse().unwrap()).await.unwrap();
        let calls = ["status", "create database", "databases", "explain", "create token", "tokens", "revoke"];
        assert_eq!(script.calls(), calls.map(|call| format!("{call} Bearer ochre_secret")));
    })
    .await;
}

#[tokio::test]
async fn rules_in_both_forms_and_their_history() {
    run(async |server, _| {
        let apply = Apply { expected_generation: Some(4), fence: Some(2), dry_run: true };
        let text = RulesSource::Document("database: m".to_owned());
        let applied = server.apply_rules(text, apply).await.unwrap();
        assert_eq!((applied.generation, applied.warnings), (5, vec!["careful".to_owned()]));
        let request = v1::ApplyRulesRequest {
            source: Some(v1::apply_rules_request::Source::Document("database: m".to_owned())),
            expected_generation: Some(4),
            fence: Some(2),
            dry_run: true,
        };
        let change = Change { path: format!("{request:?}"), before: None, after: Some("1".to_owned()) };
        assert_eq!(applied.changes, [change]);
        let typed = RulesSource::Typed(Target::Default, Box::default());
        let applied = server.apply_rules(typed, Apply::default()).await.unwrap();
        assert!(applied.changes[0].path.contains("Rules(Rules { database: \"*\""), "{:?}", applied.changes);

        let rules = server.rules(&Target::Default, None).await.unwrap();
        assert_eq!((rules.generation, rules.effective.as_str()), (9, "all of it"));
        assert_eq!(rules.document, "database: m # mine");
        assert_eq!(rules.parse().unwrap(), (Target::Default, Rules::default()));
        assert_eq!(server.rules(&"m".parse().unwrap(), Some(3)).await.unwrap().generation, 3);

        let history = server.rules_history(&Target::Default).await.unwrap();
        let by: Vec<_> = history.iter().map(|record| (record.applied_at, record.applied_by.as_deref())).collect();
        assert_eq!(by, [(seconds(2), Some("ops")), (seconds(1), None)]);
        assert_eq!((history[0].fence, history[1].fence), (Some(4), None));
        let applied = server.rollback_rules(&Target::Default, 1, Apply::default()).await.unwrap();
        assert_eq!((applied.generation, applied.changes), (11, Vec::new()));
    })
    .await;
}

#[tokio::test]
async fn mistakes_arrive_with_their_paths() {
    run(async |server, script| {
        let details = ErrorDetails::with_bad_request_violation("limits.columns", "-1 columns: 1 to 9 are allowed");
        script.fail([Status::with_error_details(tonic::Code::InvalidArgument, "1 mistake", details)]);
        let error = server.apply_rules(RulesSource::Document(String::new()), Apply::default()).await.unwrap_err();
        let violation =
            Violation { path: "limits.columns".to_owned(), message: "-1 columns: 1 to 9 are allowed".to_owned() };
        assert_eq!(error, Error::Invalid { message: "1 mistake".to_owned(), violations: vec![violation] });
        script.fail([Status::aborted("the generation is 4")]);
        let error = server.rollback_rules(&Target::Default, 1, Apply::default()).await.unwrap_err();
        assert_eq!(error, Error::Conflict { message: "the generation is 4".to_owned() });
        assert_eq!(script.calls().len(), 2, "neither is tried again");
    })
    .await;
}

#[tokio::test]
async fn calls_are_repeated_only_where_that_is_harmless() {
    run(async |server, script| {
        script.fail([unavailable(), unavailable(), unavailable()]);
        server.status().await.unwrap();
        assert_eq!(script.calls().len(), 4);
        script.fail([unavailable()]);
        server.apply_rules(RulesSource::Document(String::new()), Apply::default()).await.unwrap();
        assert_eq!(script.calls().len(), 2, "a document takes the place of itself");

        let busy = Error::Unavailable { message: "starting".to_owned(), retry_after: Some(Duration::from_millis(1)) };
        let m = "m".parse().unwrap();
        script.fail([unavailable()]);
        assert_eq!(server.create_database(&m).await.unwrap_err(), busy);
        script.fail([unavailable()]);
        assert_eq!(server.revoke_token(&"t".parse().unwrap()).await.unwrap_err(), busy);
        script.fail([unavailable()]);
        let expecting = Apply { expected_generation: Some(1), ..Apply::default() };
        let source = RulesSource::Document(String::new());
        assert_eq!(server.apply_rules(source, expecting).await.unwrap_err(), busy);
        assert_eq!(script.calls().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    // Nobody listens on the port of a listener that is gone.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let connection = Connection::new(Options::new(url.clone())).unwrap();
    let error = connection.management().create_database(&"m".parse().unwrap()).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { url: at, .. } if *at == url), "{error:?}");
    let error = connection.flight().handshake().await.unwrap_err();
    assert!(matches!(&error, Error::Connect { url: at, .. } if *at == url), "{error:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_beyond_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let request_timeout = Duration::from_millis(200);
    let connection = Connection::new(Options { request_timeout, ..Options::new(url.clone()) }).unwrap();
    let error = connection.management().status().await.unwrap_err();
    assert_eq!(error, Error::Timeout { message: format!("{url} has not answered in time") });
}

#[tokio::test]
async fn calls_can_be_made_from_tasks_of_their_own() {
    fn spawnable(_: impl Future + Send + 'static) {}
    let server = Connection::new(Options::new("http://127.0.0.1:9")).unwrap();
    let (management, flight, lines) = (server.management(), server.flight(), server.lines());
    let m: ochre_types::DatabaseName = "m".parse().unwrap();
    let apply = RulesSource::Document(String::new());
    spawnable({
        let (management, m) = (management.clone(), m.clone());
        async move { management.create_database(&m).await }
    });
    spawnable(async move { management.apply_rules(apply, Apply::default()).await });
    spawnable({
        let m = m.clone();
        async move { flight.query(&m, "SELECT 1", Default::default()).await }
    });
    spawnable(async move { lines.write(&m, crate::Precision::Seconds, b"a b=1", |_, _| ()).await });
}
