//! Deletes, drops and what brings them back, in every state of chunks, over restarts.

use std::time::Duration;

use futures::TryStreamExt;
use ochre_query::{Format, Params};
use ochre_types::TableName;
use ochre_types::matching::RowMatch;

use super::rules::put;
use super::*;
use crate::deletes::{DeleteError, Receipt};

/// The answer's rows as CSV, without the header.
async fn ask(node: &std::sync::Arc<Node>, sql: &str) -> Result<Vec<String>, String> {
    let failed = |error: ochre_query::QueryError| error.to_string();
    let result = node.query(&name("d"), sql, &Params::default()).await.map_err(failed)?;
    let pieces: Vec<Bytes> = Format::Csv.encode(result).try_collect().await.map_err(failed)?;
    let text = String::from_utf8(pieces.concat()).unwrap();
    Ok(text.lines().skip(1).map(str::to_owned).collect())
}

fn rows(tables: &[&str], predicate: Option<&str>) -> RowMatch {
    RowMatch {
        tables: tables.iter().map(|table| table.parse().unwrap()).collect(),
        predicate: predicate.map(|text| text.parse().unwrap()),
    }
}

const EVER: (i64, i64) = (i64::MIN, i64::MAX);

async fn delete(node: &Node, predicate: &str) -> Receipt {
    let database = node.database(&name("d")).unwrap();
    database.delete_rows(rows(&["cpu"], Some(predicate)), EVER).await.unwrap()
}

fn cpu() -> TableName {
    TableName::new("cpu").unwrap()
}

/// How far a chunk is moved on before its rows are deleted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Move {
    Nothing,
    Freeze,
    Persist,
    Evict,
}

impl Move {
    const ALL: [Self; 4] = [Self::Nothing, Self::Freeze, Self::Persist, Self::Evict];

    async fn make(self, node: &Node) {
        let database = node.database(&name("d")).unwrap();
        match self {
            Self::Nothing => {}
            Self::Freeze => database.freeze_all().await.unwrap(),
            Self::Persist => database.persist_all().await.unwrap(),
            Self::Evict => {
                database.persist_all().await.unwrap();
                database.evict();
            }
        }
    }
}

#[tokio::test]
async fn the_next_query_sees_nothing_of_what_was_deleted_whatever_its_chunk() {
    for moved in Move::ALL {
        for again in Move::ALL {
            let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
            let (node, env) = open(&objects, dir.path()).await;
            write(&node, "d", "cpu,host=a u=1,v=1 1\ncpu,host=a u=2 2\ncpu,host=b u=3 1").await.unwrap();
            moved.make(&node).await;
            let receipt = delete(&node, "host = 'a' AND time <= 1").await;
            assert_eq!(receipt.what, "rows of cpu where host = 'a' AND time <= '1970-01-01T00:00:00.000000001Z'");
            const ALL: &str = "SELECT host, u, v FROM cpu ORDER BY host, u";
            assert_eq!(ask(&node, ALL).await.unwrap(), ["a,2.0,", "b,3.0,"], "{moved:?}");
            assert_eq!(ask(&node, "SELECT count(*) FROM cpu").await.unwrap(), ["2"], "{moved:?}");
            assert_eq!(
                ask(
                    &node,
                    "SELECT count(*), CAST(min(time) AS BIGINT), CAST(max(time) AS BIGINT) FROM cpu WHERE host = 'a'"
                )
                .await
                .unwrap(),
                ["1,2,2"],
                "{moved:?}"
            );
            again.make(&node).await;
            // What is written anew is there, with its own fields only.
            write(&node, "d", "cpu,host=a u=9 1").await.unwrap();
            again.make(&node).await;
            let then = ["a,2.0,", "a,9.0,", "b,3.0,"];
            assert_eq!(ask(&node, ALL).await.unwrap(), then, "{moved:?} {again:?}");
            if again == Move::Freeze {
                node.close().await.unwrap();
            } else {
                env.tasks.abort().await;
                drop(node);
            }
            let (node, _env) = open(&objects, dir.path()).await;
            assert_eq!(ask(&node, ALL).await.unwrap(), then, "after a restart: {moved:?} {again:?}");
            assert_eq!(node.database(&name("d")).unwrap().deletes().len(), 1);
            node.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn statistics_do_not_pass_over_a_delete() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _env) = open(&objects(), dir.path()).await;
    write(&node, "d", "cpu,host=a u=1 1\ncpu,host=b u=2 5").await.unwrap();
    Move::Evict.make(&node).await;
    const EXTREMES: &str = "SELECT count(*), CAST(min(time) AS BIGINT), CAST(max(time) AS BIGINT) FROM cpu";
    assert_eq!(ask(&node, EXTREMES).await.unwrap(), ["2,1,5"]);
    delete(&node, "host = 'b'").await;
    assert_eq!(ask(&node, EXTREMES).await.unwrap(), ["1,1,1"]);
    delete(&node, "host = 'a'").await;
    assert_eq!(ask(&node, EXTREMES).await.unwrap(), ["0,,"]);
    assert_eq!(ask(&node, "SELECT * FROM cpu").await.unwrap(), Vec::<String>::new(), "the table is still there");
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_table_is_gone_at_once_and_its_name_is_free() {
    for moved in Move::ALL {
        let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
        let (node, env) = open(&objects, dir.path()).await;
        let database = node.database_or_create(&name("d")).await.unwrap();
        write(&node, "d", "cpu,host=a u=1 1\nmem u=1 1").await.unwrap();
        moved.make(&node).await;
        assert!(matches!(
            database.drop_table(&"nothing".parse().unwrap()).await,
            Err(DeleteError::UnknownTable { .. })
        ));
        let receipt = database.drop_table(&cpu()).await.unwrap();
        assert!(receipt.undrop_until.is_some());
        assert!(ask(&node, "SELECT * FROM cpu").await.unwrap_err().contains("not known"), "{moved:?}");
        assert_eq!(ask(&node, "SELECT \"table\" FROM system.tables").await.unwrap(), ["mem"]);
        // Another kind, and other columns.
        write(&node, "d", "cpu,rack=x u=\"text\" 1").await.unwrap();
        assert_eq!(
            ask(&node, "SELECT * FROM cpu").await.unwrap(),
            ["x,1970-01-01T00:00:00.000000001,text"],
            "{moved:?}"
        );
        moved.make(&node).await;
        env.tasks.abort().await;
        drop((node, database));

        let (node, _env) = open(&objects, dir.path()).await;
        assert_eq!(
            ask(&node, "SELECT * FROM cpu").await.unwrap(),
            ["x,1970-01-01T00:00:00.000000001,text"],
            "{moved:?}"
        );
        let written = write(&node, "d", "cpu u=1 2").await.unwrap();
        assert_eq!(written.rejected_total, 1, "the new table's column is text: {moved:?}");
        let database = node.database(&name("d")).unwrap();
        let error = database.undrop_table(&cpu()).await.unwrap_err();
        assert!(matches!(&error, DeleteError::Conflict { .. }), "{error}");
        database.drop_table(&cpu()).await.unwrap();
        let error = database.undrop_table(&"mem".parse().unwrap()).await.unwrap_err();
        assert!(matches!(&error, DeleteError::NotDropped { .. }), "{error}");
        node.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_undropped_table_is_as_it_was_beside_what_came_since() {
    for moved in Move::ALL {
        let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
        let (node, env) = open(&objects, dir.path()).await;
        let database = node.database_or_create(&name("d")).await.unwrap();
        write(&node, "d", "cpu,host=a u=1,v=1 1\ncpu,host=b u=2 1").await.unwrap();
        moved.make(&node).await;
        database.drop_table(&cpu()).await.unwrap();
        moved.make(&node).await;
        write(&node, "d", "cpu,host=a u=5 1").await.unwrap();
        moved.make(&node).await;
        assert_eq!(ask(&node, "SELECT host, u FROM cpu").await.unwrap(), ["a,5.0"]);
        database.undrop_table(&cpu()).await.unwrap();
        let all = "SELECT host, u, v FROM cpu ORDER BY host";
        assert_eq!(ask(&node, all).await.unwrap(), ["a,5.0,1.0", "b,2.0,"], "{moved:?}");
        assert!(matches!(database.undrop_table(&cpu()).await, Err(DeleteError::NotDropped { .. })));
        env.tasks.abort().await;
        drop((node, database));
        let (node, _env) = open(&objects, dir.path()).await;
        assert_eq!(ask(&node, all).await.unwrap(), ["a,5.0,1.0", "b,2.0,"], "{moved:?}");
        node.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_database_can_be_made_again_or_brought_back() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "d", "cpu,host=a u=1 1").await.unwrap();
    put(&node, "d", "columns: {load: float}").await;
    let held = node.database(&name("d")).unwrap();
    node.drop_database(&name("d")).await.unwrap();
    assert!(node.database(&name("d")).is_none() && node.databases().is_empty());
    let late = held.write_lines("cpu u=9 9".into(), &Options::default()).await;
    assert!(matches!(late, Err(WriteError::UnknownDatabase(_))), "whoever has it still can't write: {late:?}");
    let error = node.drop_database(&name("d")).await.unwrap_err();
    assert!(matches!(&error, DeleteError::Write(WriteError::UnknownDatabase(_))), "{error}");
    drop(held);
    node.close().await.unwrap();
    drop(node);

    let (node, _env) = open(&objects, dir.path()).await;
    assert!(node.databases().is_empty(), "after a restart, too");
    node.undrop_database(&name("d")).await.unwrap();
    assert_eq!(ask(&node, "SELECT u FROM cpu").await.unwrap(), ["1.0"]);
    assert!(!node.database(&name("d")).unwrap().rules().columns.is_empty(), "its rules as well");
    assert!(matches!(node.undrop_database(&name("d")).await, Err(DeleteError::NotDropped { .. })));

    node.drop_database(&name("d")).await.unwrap();
    assert!(node.create_database(&name("d")).await.unwrap());
    assert!(node.database(&name("d")).unwrap().rules().columns.is_empty(), "a new database has the rules of one");
    assert!(ask(&node, "SELECT u FROM cpu").await.unwrap_err().contains("not known"));
    write(&node, "d", "cpu,host=a u=\"new\" 1").await.unwrap();
    assert_eq!(ask(&node, "SELECT u FROM cpu").await.unwrap(), ["new"]);
    assert!(matches!(node.undrop_database(&name("d")).await, Err(DeleteError::MadeAgain(_))));
    node.close().await.unwrap();
    drop(node);
    let (node, _env) = open(&objects, dir.path()).await;
    assert_eq!(ask(&node, "SELECT u FROM cpu").await.unwrap(), ["new"], "nothing that was deleted comes back");
    node.close().await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_deleted_is_refused_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _env) = open(&objects(), dir.path()).await;
    write(&node, "d", "cpu,host=a u=1 1").await.unwrap();
    let database = node.database(&name("d")).unwrap();
    let refused = |result: Result<Receipt, DeleteError>| result.unwrap_err().to_string();
    let field = refused(database.delete_rows(rows(&["*"], Some("u = 'a'")), EVER).await);
    assert_eq!(field, "column \"u\" of table \"cpu\" is a float: rows are deleted by tags and time only");
    assert!(matches!(database.delete_rows(rows(&["cpu"], None), (2, 1)).await, Err(DeleteError::NoTime)));
    put(&node, "d", "lifecycle: {mutable: false}").await;
    let read_only = refused(database.delete_rows(rows(&["cpu"], None), EVER).await);
    assert!(read_only.contains("lifecycle.mutable is false"), "{read_only}");
    assert!(refused(database.drop_table(&cpu()).await).contains("lifecycle.mutable is false"));
    assert_eq!(ask(&node, "SELECT u FROM cpu").await.unwrap(), ["1.0"]);
    assert_eq!(database.deletes(), []);
    // The schema is not forgotten either.
    put(&node, "d", "lifecycle: {mutable: true}").await;
    assert_eq!(write(&node, "d", "cpu u=1i 2").await.unwrap().rejected_total, 1);
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_drop_that_the_grace_is_over_for_can_not_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _env) = open(&objects(), dir.path()).await;
    write(&node, "d", "cpu,host=a u=1 1").await.unwrap();
    put(&node, "d", "lifecycle: {undrop_within: 0s}").await;
    let database = node.database(&name("d")).unwrap();
    database.drop_table(&cpu()).await.unwrap();
    node.shared.env.clock.sleep(Duration::from_millis(5)).await;
    let error = database.undrop_table(&cpu()).await.unwrap_err();
    assert!(matches!(&error, DeleteError::TooLate { .. }), "{error}");
    node.close().await.unwrap();
}
