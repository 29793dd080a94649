//! `ochre status`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::Remote;
use super::table::table;
use super::{Output, Stop};

/// Show the state of a server.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    remote: Remote,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Status {
    /// Runs the command. A server that can't do its work is a failure, after its state has been printed.
    pub async fn run(&self) -> Result<(), Stop> {
        let client = self.remote.client()?;
        let status: Value = client.succeed(client.request(Method::GET, "/ochre/v1/status")).await?.json().await?;
        match self.output {
            Output::Text => print!("{}", text(&status)),
            Output::Json => println!("{status:#}"),
        }
        match status["health"].as_str() {
            Some("ok") => Ok(()),
            reason => {
                Err(Stop::Failed(anyhow::anyhow!("the server is failing: {}", reason.unwrap_or("it does not say why"))))
            }
        }
    }
}

/// Its values one a line, then a table for each list of objects.
fn text(status: &Value) -> String {
    let mut lines = Vec::new();
    let mut tables = String::new();
    flatten("", status, &mut lines, &mut tables);
    let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let values: String = lines.iter().map(|(key, value)| format!("{key:width$}  {value}\n")).collect();
    values + &tables
}

fn flatten(key: &str, value: &Value, lines: &mut Vec<(String, String)>, tables: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, lines, tables);
            }
        }
        Value::Array(rows) => {
            let Some(Value::Object(first)) = rows.first() else { return };
            let header: Vec<&str> = first.keys().map(String::as_str).collect();
            let rows: Vec<Vec<String>> =
                rows.iter().map(|row| header.iter().map(|name| plain(&row[*name])).collect()).collect();
            tables.push_str(&format!("\n{key}:\n{}", table(&header, &rows)));
        }
        other => lines.push((key.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn values_come_before_tables() {
        let status = json!({ "node": "a", "log": { "bytes": 7 }, "databases": [{ "name": "x", "rows": 1 }] });
        let expected = "log.bytes  7\nnode       a\n\ndatabases:\nname  rows\nx     1\n";
        assert_eq!(super::text(&status), expected);
    }
}
