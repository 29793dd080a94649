//! What programs are promised of `ochre.v1.Management`: its calls, its errors, and that tools find it.

use futures::StreamExt;
use ochre_client::{Apply, Connection, Error, Options, RulesSource, Secret};
use ochre_types::token::{Scope, TokenName};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::server::{Server, Start, dir};

fn connect(server: &Server, token: &str) -> Connection {
    let token = Some(Secret::new(token).unwrap());
    Connection::new(Options { token, ..Options::new(server.url("")) }).unwrap()
}

fn document(text: &str) -> RulesSource {
    RulesSource::Document(text.to_owned())
}

#[tokio::test]
async fn tools_find_the_services_and_their_health() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let channel = Endpoint::from_shared(server.url("")).unwrap().connect_lazy();
    let ask = |request| {
        let ask = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let mut client = ServerReflectionClient::new(channel.clone());
        async move {
            let mut answers = client.server_reflection_info(futures::stream::iter([ask])).await.unwrap().into_inner();
            answers.next().await.unwrap().unwrap().message_response.unwrap()
        }
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("no list of services");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"ochre.v1.Management") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    let symbol = MessageRequest::FileContainingSymbol("ochre.v1.Management.ExplainRules".to_owned());
    let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else { panic!("no descriptor") };
    assert_eq!(files.file_descriptor_proto.len(), 1);

    let mut health = HealthClient::new(channel);
    for service in ["", "ochre.v1.Management"] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service} is not serving");
    }
}

#[tokio::test]
async fn programs_manage_a_server_with_types() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).with_tokens().start();
    let operator = connect(&server, &server.operator_token()).management();
    let mine = "mine".parse().unwrap();
    operator.create_database(&mine).await.unwrap();
    assert!(matches!(operator.create_database(&mine).await, Err(Error::AlreadyExists { .. })));

    let name = TokenName::new("dashboards").unwrap();
    let scopes: Vec<Scope> = vec!["read:mine".parse().unwrap()];
    let secret = operator.create_token(&name, &scopes).await.unwrap();
    let reader = connect(&server, secret.reveal());
    assert_eq!(reader.management().databases().await.unwrap()[0].name, mine);
    let applied = reader.management().apply_rules(document("database: mine"), Apply::default()).await;
    assert!(matches!(applied, Err(Error::Denied { .. })), "{applied:?}");

    let applied =
        operator.apply_rules(document("database: mine\nlimits: {tables: 3}"), Apply::default()).await.unwrap();
    assert_eq!((applied.generation, applied.warnings), (1, vec![]));
    let kept = operator.rules_history(&"mine".parse().unwrap()).await.unwrap();
    assert_eq!((kept[0].generation, kept[0].applied_by.as_deref()), (1, Some("operator")));
    let expected = Apply { expected_generation: Some(0), ..Apply::default() };
    let conflict = operator.apply_rules(document("database: mine"), expected).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");

    let status = reader.management().status().await.unwrap();
    assert_eq!((status.node.as_str(), status.healthy, status.databases.len()), ("a", true, 1));
    assert_eq!((status.databases[0].name.as_str(), status.databases[0].rules_generation), ("mine", 1));
    operator.revoke_token(&name).await.unwrap();
    let ended = reader.management().status().await;
    assert!(matches!(ended, Err(Error::Unauthenticated { .. })), "{ended:?}");
    let nobody = Connection::new(Options::new(server.url(""))).unwrap().management().status().await;
    assert!(matches!(nobody, Err(Error::Unauthenticated { .. })), "{nobody:?}");
}

#[tokio::test]
async fn a_document_with_many_mistakes_fits_into_an_answer() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let management = Connection::new(Options::new(server.url(""))).unwrap().management();
    let mut text = "database: mine\ncolumns:\n".to_owned();
    (0..99).for_each(|column| text.push_str(&format!("  column_with_a_long_name_{column}: double\n")));
    let Err(Error::Invalid { message, violations }) = management.apply_rules(document(&text), Apply::default()).await
    else {
        panic!("it was not refused");
    };
    assert_eq!(message, "the document has 99 mistakes");
    assert_eq!(violations[0].path, "columns.column_with_a_long_name_0");
    assert!(violations[0].message.ends_with(" (line 3)"), "{}", violations[0].message);
    let (rest, named) = violations.split_last().unwrap();
    let more = 99 - named.len();
    assert_eq!(rest.message, format!("and {more} more: `ochre rules check` names them all"));
    assert!(named.len() > 10, "{}", named.len());
}
