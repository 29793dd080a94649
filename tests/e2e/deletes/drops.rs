//! Tables and databases: dropped, made again, brought back.

use reqwest::Method;
use serde_json::json;

use super::super::server::{Start, client, dir};
use super::*;

#[tokio::test]
async fn a_table_is_dropped_and_brought_back() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post(WRITE, "cpu,host=a v=1 1\nmem v=1 1\n").await.status, 204);
    let table =
        |server: &Server, verb: &str| run(server, &["table", verb, "cpu", "--database", "mine", "--output", "json"]);
    let receipt = json_of(&table(&server, "drop"));
    assert_eq!(receipt["what"], "table cpu");
    assert!(receipt["undrop_until"].is_string(), "{receipt}");
    assert_eq!(server.sql("mine", "SELECT \"table\" FROM system.tables").await, json!([{ "table": "mem" }]));
    let (code, said) = (table(&server, "drop").status.code(), refused(&table(&server, "drop")).1.to_owned());
    assert_eq!((code, said.as_str()), (Some(1), "ochre: table not found: \"cpu\"\n"));
    server.kill();
    let server = server.again().start();
    assert_eq!(server.sql("mine", "SELECT \"table\" FROM system.tables").await, json!([{ "table": "mem" }]));
    assert_eq!(json_of(&table(&server, "undrop")), json!({ "table": "cpu", "undropped": true }));
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "a", "v": 1.0 }]));
    let again = table(&server, "undrop");
    assert_eq!(refused(&again), (1, "ochre: table \"cpu\" was not dropped, or was brought back already\n"));
    let listed = json_of(&run(&server, &["delete", "list", "--database", "mine", "--output", "json"]));
    assert!(listed[0]["reverted"].is_string(), "{listed}");
}

#[tokio::test]
async fn a_database_is_dropped_and_brought_back() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post(WRITE, "cpu,host=a v=1 1\n").await.status, 204);
    let database = |server: &Server, verb: &str| run(server, &["database", verb, "mine", "--output", "json"]);
    assert_eq!(json_of(&database(&server, "drop"))["what"], "the database");
    assert_eq!(out(&run(&server, &["database", "list"])), "");
    let asked = server.post("/api/v3/query_sql", json!({ "db": "mine", "q": "SELECT 1" }).to_string()).await;
    assert_eq!(asked.status, 404, "{}", asked.text());
    assert_eq!(refused(&database(&server, "drop")), (1, "ochre: database not found: \"mine\"\n"));
    assert!(server.stop().success());
    let server = server.again().start();
    assert_eq!(out(&run(&server, &["database", "list"])), "");
    assert_eq!(json_of(&database(&server, "undrop")), json!({ "database": "mine", "undropped": true }));
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "a", "v": 1.0 }]));

    out(&database(&server, "drop"));
    assert_eq!(server.post(WRITE, "cpu,host=b v=2 1\n").await.status, 204, "made again by the write");
    assert_eq!(server.sql("mine", ROWS).await, json!([{ "host": "b", "v": 2.0 }]), "without what was there");
    let late = database(&server, "undrop");
    assert_eq!(refused(&late), (1, "ochre: database mine was made again after it was dropped: drop that one first\n"));
}

#[tokio::test]
async fn influxdb_3_drops_databases_and_tables() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    assert_eq!(server.post(WRITE, "cpu,host=a v=1 1\nmem v=1 1\n").await.status, 204);
    let delete = async |what: &str| {
        let answer =
            server.send(client().request(Method::DELETE, server.url(&format!("/api/v3/configure/{what}")))).await;
        (answer.status, answer.text().to_owned())
    };
    assert_eq!(delete("table?db=mine&table=cpu").await, (200, String::new()));
    assert_eq!(delete("table?db=mine&table=cpu").await.0, 404);
    assert_eq!(delete("table?db=other&table=cpu").await.0, 404);
    assert_eq!(delete("table?db=mine").await.0, 400);
    let (status, text) = delete("database?db=mine&hard_delete_at=now").await;
    assert!(status == 400 && text.contains("lifecycle.undrop_within"), "{text}");
    assert_eq!(delete("database?db=mine").await, (200, String::new()));
    assert_eq!(delete("database?db=mine").await.0, 404);
    assert_eq!(server.get("/api/v3/configure/database?format=json").await.json(), json!([]));
}
