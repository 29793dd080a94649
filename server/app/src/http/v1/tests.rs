//! Status codes, headers and bodies to the letter: writes and `/query` as InfluxDB 1 answers them.

use http::Request;

use crate::http::failure::{Failure, Kind};
use crate::http::testing::Server;

const GOOD: &str = "cpu,host=a usage=1 1\n";

#[tokio::test]
async fn a_good_write_is_204_with_nothing_in_it() {
    let server = Server::new();
    let answer = server.post("/write?db=mine", GOOD).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(answer.header("x-influxdb-version"), "1.8.10-ochre");
    assert_eq!(answer.header("x-influxdb-build"), "OSS");
    assert_eq!(answer.header("request-id").len(), 36);
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    assert_eq!(server.double.writes.lock()[0].0.as_str(), "mine");
}

#[tokio::test]
async fn the_clients_request_id_comes_back() {
    for name in ["Request-Id", "X-Request-Id"] {
        let answer = Server::new().get_with("/ping", name, "mine").await;
        assert_eq!((answer.header("request-id"), answer.header("x-request-id")), ("mine", "mine"));
    }
}

#[tokio::test]
async fn parameters_are_checked() {
    for (query, message) in [
        ("", "database is required"),
        ("?db=", "database is required"),
        ("?db=x&precision=d", "invalid precision \"d\" (use n, u, ms, s, m or h)"),
        ("?db=x&consistency=most", "invalid consistency level \"most\" (use any, one, quorum or all)"),
    ] {
        let answer = Server::new().post(&format!("/write{query}"), GOOD).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.body, format!("{}\n", serde_json::json!({ "error": message })));
        assert_eq!(answer.header("x-influxdb-error"), message);
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for consistency in ["any", "one", "quorum", "ALL"] {
        assert_eq!(Server::new().post(&format!("/write?db=x&consistency={consistency}"), GOOD).await.status, 204);
    }
}

#[tokio::test]
async fn the_policy_names_the_database() {
    let server = Server::new();
    for query in ["db=a", "db=a&rp=autogen", "db=a&rp=Week", "db=a%2Fweek"] {
        assert_eq!(server.post(&format!("/write?{query}"), GOOD).await.status, 204);
    }
    let writes = server.double.writes.lock();
    let names: Vec<&str> = writes.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["a", "a", "a/week", "a/week"]);
}

#[tokio::test]
async fn bad_lines_are_told_as_influxdb_does() {
    let server = Server::new();
    let all = server.post("/write?db=x", "cpu usage\nmem\n").await;
    assert_eq!(all.status, 400);
    assert_eq!(
        all.body,
        "{\"error\":\"unable to parse 'cpu usage': invalid field format\\nunable to parse 'mem': missing fields\"}\n"
    );
    let some = server.post("/write?db=x", "cpu usage=1 1\nmem\ncpu usage=2i 2\n").await;
    assert_eq!(some.status, 400);
    assert_eq!(
        some.body,
        "{\"error\":\"partial write: unable to parse 'mem': missing fields\\nfield type conflict: input field \\\"usage\\\" \
         on measurement \\\"cpu\\\" is type integer, already exists as type float dropped=1\"}\n"
    );
    assert_eq!((some.header("x-ochre-lines-written"), some.header("x-ochre-lines-rejected")), ("1", "2"));
    let parse = server.post("/write?db=x", "cpu usage=1 1\nmem\n").await;
    assert_eq!(parse.body, "{\"error\":\"partial write: unable to parse 'mem': missing fields dropped=0\"}\n");
    assert!(!parse.header("x-influxdb-error").contains('\n'));
}

#[tokio::test]
async fn partial_writes_can_be_refused() {
    let server = Server::with(|config| config.databases.refuse_partial_writes = true);
    let answer = server.post("/write?db=x", "cpu usage=1 1\nmem\n").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, "{\"error\":\"unable to parse 'mem': missing fields\"}\n");
    assert_eq!(answer.header("x-ochre-lines-written"), "0");
}

#[tokio::test]
async fn an_empty_write_is_200() {
    let answer = Server::new().post("/write?db=x", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(Server::new().post("/write?db=x", "# a comment\n").await.status, 204);
}

#[tokio::test]
async fn what_may_succeed_later_is_503_with_retry_after() {
    let server = Server::new();
    server.fail(Failure::unavailable("the disk is full", Some(std::time::Duration::from_millis(2_500))));
    let answer = server.post("/write?db=x", GOOD).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "3"));
    assert_eq!(answer.body, "{\"error\":\"the disk is full\"}\n");

    let starting = Server::starting(|_| {});
    assert_eq!(starting.post("/write?db=x", GOOD).await.status, 503);
    let stopped = Server::new();
    stopped.app.stop();
    assert_eq!(stopped.post("/write?db=x", GOOD).await.header("retry-after"), "1");
    let busy = Server::with(|config| config.http.max_requests = 1);
    let _place = crate::http::admission::admit(&busy.app).unwrap();
    let answer = busy.post("/write?db=x", GOOD).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn telegraf_finds_the_phrase_that_makes_it_create_the_database() {
    let server = Server::new();
    server.fail(Failure::new(Kind::UnknownDatabase, "?"));
    let answer = server.post("/write?db=mine", GOOD).await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "{\"error\":\"database not found: \\\"mine\\\"\"}\n"));
    server.double.databases.lock().push("mine".parse().unwrap());
    let answer = server.post("/write?db=mine&rp=week", GOOD).await;
    assert_eq!(answer.body, "{\"error\":\"retention policy not found: \\\"week\\\"\"}\n");
}

#[tokio::test]
async fn query_answers_what_clients_send_first() {
    let server = Server::new();
    let none = server.get("/query?q=SHOW+DATABASES").await;
    assert_eq!(
        none.body,
        "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"]}]}]}\n"
    );
    let form = Request::post("/query").header("content-type", "application/x-www-form-urlencoded");
    let created = server.send(form.body("q=CREATE+DATABASE+%22telegraf%22".into()).unwrap()).await;
    assert_eq!((created.status, created.body.as_str()), (200, "{\"results\":[{\"statement_id\":0}]}\n"));
    let again = server.post("/query?q=create+database+telegraf", "").await;
    assert_eq!(again.body, "{\"results\":[{\"statement_id\":0}]}\n");
    let by_get = server.get("/query?q=CREATE+DATABASE+%22a+b%22%3BSHOW+DATABASES").await;
    assert_eq!(
        by_get.body,
        "{\"results\":[{\"statement_id\":0,\"messages\":[{\"level\":\"warning\",\"text\":\"deprecated use of 'CREATE \
         DATABASE \\\"a b\\\"' in a read only context, please use a POST request instead\"}]},{\"statement_id\":1,\
         \"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],\"values\":[[\"telegraf\"],[\"a b\"]]}]}]}\n"
    );
    let csv = server.get_with("/query?q=SHOW+DATABASES", "accept", "application/csv").await;
    assert_eq!(
        (csv.header("content-type"), csv.body.as_str()),
        ("text/csv", "name,tags,name\ndatabases,,telegraf\ndatabases,,a b\n")
    );
    assert_eq!(server.get("/query?q=SHOW+DATABASES&async=true").await.status, 204);
}

#[tokio::test]
async fn query_refuses_in_the_way_of_influxdb() {
    let server = Server::new();
    let missing = server.get("/query?db=x").await;
    assert_eq!(
        (missing.status, missing.body.as_str()),
        (400, "{\"error\":\"missing required parameter \\\"q\\\"\"}\n")
    );
    let wrong = server.get("/query?q=CREATE+DATABASE").await;
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.body, "{\"error\":\"error parsing query: found EOF, expected identifier at line 1, char 16\"}\n");
    let other = server.get("/query?q=SELECT+*+FROM+cpu%3BSHOW+DATABASES").await;
    assert_eq!(other.status, 200);
    assert_eq!(
        other.body,
        "{\"results\":[{\"statement_id\":0,\"error\":\"SELECT is not supported at /query in this version, only CREATE \
         and SHOW of databases, and DROP and DELETE: ask in SQL at /api/v3/query_sql\"},{\"statement_id\":1,\"error\":\"not executed\"}]}\n"
    );
    server.fail(Failure::unavailable("later", None));
    assert_eq!(server.post("/query?q=CREATE+DATABASE+x", "").await.status, 503);
}
