//! What is told of lines and rules.

use super::rules::{apply, put};
use super::*;
use crate::explain::{ExplainError, LineExplanation, PartExplanation, RuleReference};

fn place(path: &str, line: u32) -> RuleReference {
    RuleReference { path: path.to_owned(), line }
}

async fn explain(node: &Node, lines: &str) -> Vec<LineExplanation> {
    node.explain(&name("d"), lines).unwrap().lines
}

#[tokio::test]
async fn lines_are_explained_one_by_one() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "d", "cpu,host=a usage=1 1").await.unwrap();
    let rules = "partition:\n  - {tables: mem, by: []}\n  - tables: \"c*\"\n    by: [{tag: host}, {bucket: {tag: host, count: 4}}, {time: \"%Y\"}]\n\
                 store: {match: {where: \"host <> 'z'\"}}";
    put(&node, "d", rules).await;
    let lines = "# comment\ncpu,host=a usage=1i 2\n\ncpu,host=b usage=1,note=\"two\nlines\" 3\ncpu,host=z usage=1 4\n\
                 disk,host=a free=1 5\nmem used=1";
    let explained = explain(&node, lines).await;
    let numbers: Vec<u32> = explained.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [2, 4, 6, 7, 8]);
    assert!(explained[0].refused.contains("expected iox::column_type::field::float"), "{}", explained[0].refused);
    assert_eq!(explained[0].row, None);

    let row = explained[1].row.clone().unwrap();
    let part = |part: &str, text: &str| PartExplanation { part: part.to_owned(), text: text.to_owned() };
    assert_eq!((row.table.as_str(), row.partition_key.as_str(), row.stored), ("cpu", "b|3|1970", true));
    let parts = [
        part(r#"{"tag":"host"}"#, "b"),
        part(r#"{"bucket":{"tag":"host","count":4}}"#, "3"),
        part(r#"{"time":"%Y"}"#, "1970"),
    ];
    assert_eq!(row.parts, parts);
    assert_eq!((row.partition_rule, row.store_rule), (place("partition[1]", 4), place("store", 6)));
    assert_eq!(explained[1].refused, "");

    assert!(explained[2].refused.contains("store.match"), "{}", explained[2].refused);
    assert!(!explained[2].row.as_ref().unwrap().stored);
    let row = explained[3].row.as_ref().unwrap();
    assert_eq!((&row.partition_rule, row.partition_key.as_str()), (&place("default", 0), "1970-01-01"));
    let row = explained[4].row.as_ref().unwrap();
    assert_eq!((&row.partition_rule, row.partition_key.as_str(), row.stored), (&place("partition[0]", 3), "", false));
    assert_eq!(of(&node.status(), "d").writes.rows, 1, "nothing was written");

    put(&node, "d", "lifecycle: {mutable: false}").await;
    let explained = explain(&node, "cpu usage=1").await;
    assert_eq!(explained[0].refused, "lifecycle.mutable is false: no write is taken");
    assert_eq!(explained[0].row.as_ref().unwrap().store_rule, place("default", 0));
    let error = node.explain(&name("d"), &"cpu usage=1\n".repeat(1_001)).unwrap_err();
    assert!(matches!(error, ExplainError::TooManyLines), "{error}");
    assert!(node.explain(&name("none"), "").is_err());
    node.close().await.unwrap();
}

#[tokio::test]
async fn system_tables_show_rules_and_their_history() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "d", "cpu,host=a usage=1 1").await.unwrap();
    put(&node, "d", "limits:\n  tables: 7").await;
    let terms = crate::rules::Terms { fence: Some(3), applied_by: "ops".to_owned(), ..Default::default() };
    apply(&node, "d", "limits:\n  tables: 8", terms).await.unwrap();
    let database = node.database(&name("d")).unwrap();
    let rows = system::rows(&node, &database, "rules");
    let line = (0..rows.num_rows()).map(|row| text_of(&rows, row)).find(|row| row[1] == "limits.tables").unwrap();
    assert_eq!(line, ["d", "limits.tables", "8", "3"]);
    let unsaid = (0..rows.num_rows()).map(|row| text_of(&rows, row)).find(|row| row[1] == "log.ack").unwrap();
    assert_eq!(unsaid, ["d", "log.ack", "durable", "-"]);
    let history = system::rows(&node, &database, "rules_history");
    let shown: Vec<[String; 3]> = (0..history.num_rows())
        .map(|row| {
            let row = text_of(&history, row);
            [row[0].clone(), row[2].clone(), row[3].clone()]
        })
        .collect();
    assert_eq!(shown, [["2", "ops", "3"], ["1", "", "-"]]);
    for table in system::tables() {
        assert_eq!(system::rows(&node, &database, table.name).schema(), table.schema);
    }
    node.close().await.unwrap();
}

fn text_of(rows: &arrow_array::RecordBatch, row: usize) -> Vec<String> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt64Type;
    let text = |array: &arrow_array::ArrayRef| match array.data_type() {
        _ if array.is_null(row) => "-".to_owned(),
        arrow_schema::DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        arrow_schema::DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        other => other.to_string(),
    };
    rows.columns().iter().map(text).collect()
}
