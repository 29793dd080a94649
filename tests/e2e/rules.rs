//! What operators are promised of rules: every field has its effect, and what was applied stays applied.

mod command_line;
mod effects;
mod fields;
mod lifetimes;

use futures::future::LocalBoxFuture;
use ochre_client::{Apply, Connection, Options, RulesSource};
use ochre_types::DatabaseName;
use ochre_types::rules::Target;
use serde_json::Value;

use super::server::{Server, Start, dir, now, pause};

/// How long an effect may take to be seen.
const SOON: std::time::Duration = std::time::Duration::from_secs(30);
/// How often it is looked for.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// A connection to a server that asks for no token.
fn connect(server: &Server) -> Connection {
    Connection::new(Options::new(server.url(""))).unwrap()
}

/// A database of its own on a server that others use as well.
struct Database<'a> {
    server: &'a Server,
    connection: Connection,
    name: DatabaseName,
}

impl<'a> Database<'a> {
    async fn new(server: &'a Server, name: &str) -> Self {
        let database = Self { server, connection: connect(server), name: name.parse().unwrap() };
        database.connection.management().create_database(&database.name).await.unwrap();
        database
    }

    fn target(&self) -> Target {
        Target::Database(self.name.clone())
    }

    /// A document for this database.
    fn document(&self, rules: &str) -> String {
        format!("database: {}\n{rules}\n", self.name)
    }

    /// Applies rules, and returns their generation.
    async fn apply(&self, rules: &str) -> u64 {
        let source = RulesSource::Document(self.document(rules));
        self.connection.management().apply_rules(source, Apply::default()).await.unwrap().generation
    }

    /// Writes lines; status and body of the answer.
    async fn write(&self, lines: impl Into<String>) -> (u16, String) {
        let answer = self.answer(lines).await;
        (answer.status, answer.text().to_owned())
    }

    async fn answer(&self, lines: impl Into<String>) -> super::server::Answer {
        let path = format!("/api/v3/write_lp?precision=nanosecond&db={}", self.name);
        self.server.post(&path, lines.into()).await
    }

    /// Writes lines that are right.
    async fn store(&self, lines: impl Into<String>) {
        assert_eq!(self.write(lines).await, (204, String::new()));
    }

    async fn sql(&self, sql: &str) -> Value {
        self.server.sql(self.name.as_str(), sql).await
    }

    /// Asks a query that may fail; status and body.
    async fn ask(&self, sql: &str) -> (u16, String) {
        let ask = serde_json::json!({ "db": self.name.as_str(), "q": sql, "format": "json" });
        let answer = self.server.post("/api/v3/query_sql", ask.to_string()).await;
        (answer.status, answer.text().to_owned())
    }

    /// The partition keys of a table, in order.
    async fn keys(&self, table: &str) -> Vec<String> {
        let sql =
            format!("SELECT DISTINCT partition_key AS k FROM system.partitions WHERE \"table\" = '{table}' ORDER BY k");
        let rows = self.sql(&sql).await;
        rows.as_array().unwrap().iter().map(|row| row["k"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the values of the column `v` that a query answers are these.
    async fn until(&self, sql: &str, expected: &[&str]) {
        let begun = now();
        loop {
            let rows = self.sql(sql).await;
            let found: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["v"].as_str().unwrap()).collect();
            if found == expected {
                return;
            }
            assert!(begun.elapsed() < SOON, "{sql} answers {found:?}, not {expected:?}\n{}", self.server.logs());
            pause(LOOK);
        }
    }
}

/// Something that is looked at over the public interface.
type Check<'a> = LocalBoxFuture<'a, ()>;

#[tokio::test]
async fn rules_survive_a_crash() {
    let dir = dir();
    let mut server = Start::in_dir(dir.path()).start();
    let text = {
        let database = Database::new(&server, "mine").await;
        assert_eq!(database.apply("limits: {tables: 7}").await, 1);
        assert_eq!(database.apply("limits: {tables: 8} # ours").await, 2);
        let fenced = Apply { fence: Some(9), ..Apply::default() };
        let everywhere = RulesSource::Document("{database: \"*\", limits: {tables: 3}}".to_owned());
        database.connection.management().apply_rules(everywhere, fenced).await.unwrap();
        database.document("limits: {tables: 8} # ours")
    };
    server.kill();
    let server = server.again().start();
    let management = connect(&server).management();
    let rules = management.rules(&"mine".parse().unwrap(), None).await.unwrap();
    assert_eq!((rules.generation, &rules.document), (2, &text));
    let kept = management.rules_history(&"mine".parse().unwrap()).await.unwrap();
    assert_eq!(kept.iter().map(|kept| kept.generation).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(management.status().await.unwrap().fence, 9);
    let database = Database::new(&server, "new").await;
    let rules = management.rules(&database.target(), None).await.unwrap();
    assert_eq!((rules.generation, rules.document.as_str()), (1, "{database: new, limits: {tables: 3}}"));
    database.store("a v=1 1\nb v=1 1\nc v=1 1").await;
    assert!(database.write("d v=1 1").await.1.contains("too many tables"));
}

const RULES: &str = r#"partition:
  - tables: cpu
    by: [{table: {}}, {tag: region}, {bucket: {tag: host, count: 7}}, {regex: {tag: host, pattern: "^([a-z]+)"}}, {time: "%Y-%m"}]
  - tables: "m*"
    by: []
store: {match: {where: "region <> 'xx'"}}"#;

#[tokio::test]
async fn an_explanation_agrees_with_where_the_row_lands() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let database = Database::new(&server, "mine").await;
    database.apply(RULES).await;
    let hosts = ["", ",host=web-1", ",host=17", ",host=Zürich", ",host=a|b", ",host=#"];
    let mut lines = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        for region in ["", ",region=eu", ",region=xx", ",region=!"] {
            for table in ["cpu", "mem", "disk"] {
                let time = (index as i64 - 3) * 2_600_000_000_000_000 + 5;
                lines.push(format!("{table}{host}{region} v=1 {time}"));
            }
        }
    }
    let explained = database.connection.management().explain_rules(&database.name, lines.join("\n")).await.unwrap();
    assert_eq!((explained.generation, explained.lines.len()), (1, lines.len()));
    let (status, _) = database.write(lines.join("\n")).await;
    assert_ne!(status, 204, "rows of region xx, and those without a region, are refused");

    let mut expected: Vec<(String, String)> = Vec::new();
    for (line, said) in lines.iter().zip(&explained.lines) {
        let kept = line.contains("region=eu") || line.contains("region=!");
        assert_eq!((said.stored, said.refused.is_empty()), (kept, kept), "{line}: {said:?}");
        let rule = said.partition_rule.as_ref().unwrap();
        let place = match said.table.as_str() {
            "cpu" => ("partition[0]", 3),
            "mem" => ("partition[1]", 5),
            _ => ("default", 0),
        };
        assert_eq!((rule.path.as_str(), rule.line), place, "{line}");
        let store = said.store_rule.as_ref().unwrap();
        assert_eq!((store.path.as_str(), store.line), ("store", 7));
        let texts: Vec<&str> = said.parts.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(texts.join("|"), said.partition_key);
        if kept {
            expected.push((said.table.clone(), said.partition_key.clone()));
        }
    }
    expected.sort();
    expected.dedup();
    let rows = database.sql("SELECT \"table\" AS t, partition_key AS k FROM system.partitions ORDER BY t, k").await;
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let found: Vec<_> = rows.as_array().unwrap().iter().map(|row| (text(row, "t"), text(row, "k"))).collect();
    assert_eq!(found, expected);
}
