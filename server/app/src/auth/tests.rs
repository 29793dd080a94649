//! Every form of showing a token, right, wrong and missing, at every API: statuses and bodies to the letter.

use axum::body::Body;
use http::Request;
use ochre_types::token::{Grants, Scope};

use super::{Access, hash};
use crate::http::failure::Failure;
use crate::http::testing::{Answer, Server};

const OPERATOR: &str = "ochre_the-operators-own-token-that-may-do-all";
const READER: &str = "ochre_a-token-that-may-read-and-write-mine-only";
const WRONG: &str = "ochre_a-token-that-nobody-has-made-here-ever";
const LINE: &str = "cpu,host=a usage=1 1\n";

const MISSING: &str = "this server asks for a token and none was sent: send the header Authorization: Bearer <token>";
const UNKNOWN: &str = "the token that was sent is not known here: was it revoked, or is it of another server?";
const UNREADABLE: &str = "the header Authorization can't be read: send it once, as Bearer <token>, Token <token>, or \
                          Basic with any user and the token as password";

fn starting() -> Server {
    let server = Server::guarded(Access::Tokens { operators: vec![hash(OPERATOR)] }, |_| {});
    let scopes: Vec<Scope> = ["read:mine", "write:mine"].iter().map(|scope| scope.parse().unwrap()).collect();
    server.double.tokens.lock().push((hash(READER), "reader".to_owned(), Grants(scopes)));
    server.double.databases.lock().extend(["mine".parse().unwrap(), "other".parse().unwrap()]);
    server
}

fn serving() -> Server {
    let server = starting();
    server.app.serve(server.double.clone());
    server
}

fn basic(secret: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("any:{secret}")))
}

async fn ask(server: &Server, method: &str, path: &str, authorization: Option<&str>, body: &'static str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
    server.send(request.body(Body::from(body)).unwrap()).await
}

/// A request of each HTTP API that is answered 204 or 200 to who may: method, path, body.
const ASKED: [(&str, &str, &str); 4] = [
    ("POST", "/write?db=mine", LINE),
    ("POST", "/query?q=SHOW+DATABASES", ""),
    ("POST", "/api/v2/write?bucket=mine", LINE),
    ("POST", "/api/v3/write_lp?db=mine", LINE),
];

/// How the API of a path says 401 for a reason.
fn refused(path: &str, reason: &str) -> String {
    match path {
        "/write?db=mine" | "/query?q=SHOW+DATABASES" => "{\"error\":\"authorization failed\"}\n".to_owned(),
        path if path.starts_with("/api/v2") => format!("{{\"code\":\"unauthorized\",\"message\":\"{reason}\"}}"),
        _ => format!("{{\"error\":\"{reason}\"}}"),
    }
}

#[tokio::test]
async fn every_form_of_a_token_is_understood_at_every_api() {
    let server = serving();
    for (method, path, body) in ASKED {
        let success = if path.starts_with("/query") { 200 } else { 204 };
        for (secret, outcome) in [(OPERATOR, Ok(())), (READER, Ok(())), (WRONG, Err(UNKNOWN))] {
            for header in [
                format!("Bearer {secret}"),
                format!("bearer {secret}"),
                format!("Token {secret}"),
                format!("Token any:{secret}"),
                basic(secret),
            ] {
                let answer = ask(&server, method, path, Some(&header), body).await;
                match outcome {
                    Ok(()) => assert_eq!(answer.status, success, "{path}, {header}: {}", answer.body),
                    Err(reason) => assert_eq!((answer.status, answer.body), (401, refused(path, reason)), "{header}"),
                }
            }
        }
        for (header, reason) in [(None, MISSING), (Some("Digest x"), UNREADABLE), (Some("Basic !"), UNREADABLE)] {
            let answer = ask(&server, method, path, header, body).await;
            assert_eq!((answer.status, &answer.body), (401, &refused(path, reason)));
            let is_v1 = path.starts_with("/write") || path.starts_with("/query");
            let challenge = if is_v1 { "Basic realm=\"InfluxDB\"" } else { "" };
            assert_eq!(answer.header("www-authenticate"), challenge, "{path}");
            assert_eq!(answer.header("request-id").len(), 36, "refusals are decorated like all answers");
        }
    }
    assert_eq!(server.double.writes.lock().len(), 3 * 2 * 5, "what was refused did not reach the node");
}

#[tokio::test]
async fn parameters_of_the_query_string_count_at_the_first_api_only() {
    let server = serving();
    for (path, status) in [
        (format!("/write?db=mine&u=me&p={OPERATOR}"), 204),
        (format!("/write?db=mine&p={READER}"), 204),
        (format!("/write?db=mine&u=me&p={WRONG}"), 401),
        (format!("/write?db=mine&u={OPERATOR}"), 401),
        (format!("/query?q=SHOW+DATABASES&u=me&p={OPERATOR}"), 200),
        (format!("/api/v2/write?bucket=mine&p={OPERATOR}"), 401),
        (format!("/api/v3/write_lp?db=mine&p={OPERATOR}"), 401),
    ] {
        assert_eq!(ask(&server, "POST", &path, None, LINE).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn grpc_is_refused_in_its_own_words() {
    let server = serving();
    let call = |token: Option<&str>| {
        let request = Request::post("/arrow.flight.protocol.FlightService/DoGet").header("te", "trailers");
        let request = request.header("content-type", "application/grpc");
        let request = token.into_iter().fold(request, |r, token| r.header("authorization", format!("Bearer {token}")));
        server.send(request.body(Body::empty()).unwrap())
    };
    for (token, message) in [(None, MISSING), (Some(WRONG), UNKNOWN)] {
        let answer = call(token).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!((answer.header("content-type"), answer.header("grpc-status")), ("application/grpc", "16"));
        assert_eq!(tonic::Status::from_header_map(&answer.headers).unwrap().message(), message);
    }
    let health = Request::post("/grpc.health.v1.Health/Check").header("content-type", "application/grpc");
    assert_ne!(server.send(health.body(Body::empty()).unwrap()).await.header("grpc-status"), "16");
}

#[tokio::test]
async fn some_paths_are_for_everybody_and_the_others_for_any_token() {
    let server = serving();
    for path in ["/ping", "/health", "/api/v1/health", "/ready"] {
        let answer = ask(&server, "GET", path, None, "").await;
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.status);
        let wrong = ask(&server, "GET", path, Some("Bearer nonsense"), "").await;
        assert_eq!(wrong.status, answer.status, "{path}");
    }
    let options = ask(&server, "OPTIONS", "/write", None, "").await;
    assert_eq!(options.status, 204);
    for (path, status) in [("/metrics", 200), ("/ochre/v1/status", 200), ("/nowhere", 404), ("/health/x", 404)] {
        let missing = ask(&server, "GET", path, None, "").await;
        assert_eq!((missing.status, missing.body), (401, format!("{{\"error\":\"{MISSING}\"}}")), "{path}");
        assert_eq!(ask(&server, "GET", path, Some(&format!("Bearer {READER}")), "").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn what_a_token_does_not_grant_is_refused_in_the_words_of_the_api() {
    let server = serving();
    let denied = |verb: &str, scope: &str| {
        format!("the token \\\"reader\\\" may not {verb} the database \\\"other\\\": it needs the scope {scope}:other")
    };
    let write = denied("write to", "write");
    for (method, path, body, said) in [
        (
            "POST",
            "/write?db=other",
            LINE,
            "{\"error\":\"\\\"reader\\\" user is not authorized to write to database \\\"other\\\"\"}\n".to_owned(),
        ),
        (
            "POST",
            "/query?q=SHOW+DATABASES;CREATE+DATABASE+other",
            "",
            "{\"error\":\"error authorizing query: reader not authorized to execute statement 'CREATE DATABASE other', \
             requires manage on other\"}\n"
                .to_owned(),
        ),
        ("POST", "/api/v2/write?bucket=other", LINE, format!("{{\"code\":\"forbidden\",\"message\":\"{write}\"}}")),
        ("POST", "/api/v3/write_lp?db=other", LINE, format!("{{\"error\":\"{write}\"}}")),
        (
            "GET",
            "/api/v3/query_sql?db=other&q=SELECT+1",
            "",
            format!("{{\"error\":\"{}\"}}", denied("read", "read")),
        ),
        (
            "POST",
            "/api/v3/configure/database",
            "{\"db\":\"other\"}",
            format!("{{\"error\":\"{}\"}}", denied("manage", "manage")),
        ),
    ] {
        let answer = ask(&server, method, path, Some(&format!("Bearer {READER}")), body).await;
        assert_eq!((answer.status, answer.body), (403, said), "{path}");
    }
    assert!(server.double.writes.lock().is_empty() && server.double.queries.lock().is_empty());
    let operator = format!("Bearer {OPERATOR}");
    let create = ask(&server, "POST", "/api/v3/configure/database", Some(&operator), "{\"db\":\"x\"}").await;
    assert_eq!(create.status, 200);
    let create = ask(&server, "POST", "/query?q=CREATE+DATABASE+y", Some(&operator), "").await;
    assert_eq!(create.body, "{\"results\":[{\"statement_id\":0}]}\n");
}

#[tokio::test]
async fn databases_that_a_token_may_not_touch_are_not_shown() {
    let server = serving();
    for (token, databases) in [(READER, vec!["mine"]), (OPERATOR, vec!["mine", "other"])] {
        let get = async |path| ask(&server, "GET", path, Some(&format!("Bearer {token}")), "").await.body;
        let listed: Vec<String> = databases.iter().map(|name| format!("{{\"iox::database\":\"{name}\"}}")).collect();
        assert_eq!(get("/api/v3/configure/database").await, format!("[{}]", listed.join(",")));
        let shown: Vec<String> = databases.iter().map(|name| format!("[\"{name}\"]")).collect();
        let shown = format!("\"values\":[{}]", shown.join(","));
        assert!(get("/query?q=SHOW+DATABASES").await.contains(&shown), "{token}");
        let status: serde_json::Value = serde_json::from_str(&get("/ochre/v1/status").await).unwrap();
        let names: Vec<&str> = (status["databases"].as_array().unwrap().iter())
            .map(|database| database["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, databases);
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_is_told_before_a_wrong_token_only_where_it_is_needed() {
    let server = starting();
    for (method, path, body) in ASKED {
        for header in [None, Some("Bearer nonsense"), Some("Digest x")] {
            let answer = ask(&server, method, path, header, body).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{path}, {header:?}");
        }
    }
    let operator = format!("Bearer {OPERATOR}");
    for (header, status) in [(None, 401), (Some(operator.as_str()), 200), (Some("Bearer nonsense"), 503)] {
        assert_eq!(ask(&server, "GET", "/metrics", header, "").await.status, status, "{header:?}");
    }
    assert_eq!(ask(&server, "GET", "/nowhere", None, "").await.status, 401);
    server.app.serve(server.double.clone());
    server.app.stop();
    assert_eq!(ask(&server, "POST", "/write?db=mine", None, LINE).await.status, 503);
}

#[tokio::test]
async fn without_auth_everybody_may_do_everything_and_credentials_are_ignored() {
    let server = Server::new();
    for header in [None, Some("Bearer nonsense"), Some("Digest")] {
        for (method, path, body) in ASKED {
            assert!(ask(&server, method, path, header, body).await.status < 300, "{path}");
        }
    }
    server.fail(Failure::unavailable("later", None));
    assert_eq!(ask(&server, "POST", "/write?db=mine&u=a&p=b", None, LINE).await.status, 503);
}

#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_secret() {
    use std::sync::{Arc, Mutex};

    use axum::extract::Request;
    use axum::middleware::from_fn_with_state;
    use tower::ServiceExt;

    let server = serving();
    let printed = Arc::new(Mutex::new(String::new()));
    let keep = printed.clone();
    let handler = async move |request: Request| {
        *keep.lock().unwrap() = format!("{request:?} {:?}", super::Identity::of(request.extensions()));
    };
    let router = axum::Router::new()
        .route("/write", axum::routing::post(handler))
        .layer(from_fn_with_state(server.app.clone(), super::layer::authenticate));
    let request = Request::post(format!("/write?db=mine&u=me&p={OPERATOR}")).header("authorization", basic(READER));
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let printed = printed.lock().unwrap().clone();
    assert!(printed.contains("/write?db=mine") && printed.contains("Sensitive"), "{printed}");
    assert!(!printed.contains(OPERATOR) && !printed.contains(basic(READER).as_str()), "{printed}");
}
