//! The results of `/query`, in the forms that InfluxDB 1 gives them. The order of keys is part of the contract.

use serde::Serialize;

/// What one statement answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StatementResult {
    /// Its position among the statements of the query.
    pub statement_id: usize,
    /// Its rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// What it has to say beside them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Rows of one measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Series {
    /// The measurement.
    pub name: String,
    /// The columns.
    pub columns: Vec<String>,
    /// The rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Vec<String>>,
}

/// A remark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `warning` or `info`.
    pub level: &'static str,
    /// The remark.
    pub text: String,
}

#[derive(Serialize)]
struct Results<'a> {
    results: &'a [StatementResult],
}

/// The form that an answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON document.
    Json {
        /// Indented, for people.
        pretty: bool,
        /// A document for each result, one a line.
        chunked: bool,
    },
    /// Lines of comma-separated values.
    Csv,
}

impl Form {
    /// The value of Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json { .. } => "application/json",
            Self::Csv => "text/csv",
        }
    }

    /// Writes the results.
    pub fn write(self, results: &[StatementResult]) -> String {
        match self {
            Self::Json { pretty, chunked: true } => results.chunks(1).map(|one| json(one, pretty)).collect(),
            Self::Json { pretty, chunked: false } => json(results, pretty),
            Self::Csv => csv(results),
        }
    }
}

fn json(results: &[StatementResult], pretty: bool) -> String {
    let results = Results { results };
    let mut bytes = Vec::new();
    let written = if pretty {
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        results.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, indent))
    } else {
        serde_json::to_writer(&mut bytes, &results)
    };
    match written {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned() + "\n",
        Err(error) => format!("{}\n", serde_json::json!({ "error": error.to_string() })),
    }
}

fn csv(results: &[StatementResult]) -> String {
    let mut text = String::new();
    for result in results {
        if let Some(error) = &result.error {
            part(&mut text, &["error".to_owned()]);
            line(&mut text, std::slice::from_ref(error));
        }
        for series in &result.series {
            part(&mut text, &[vec!["name".to_owned(), "tags".to_owned()], series.columns.clone()].concat());
            for row in &series.values {
                line(&mut text, &[vec![series.name.clone(), String::new()], row.clone()].concat());
            }
        }
    }
    text
}

fn part(text: &mut String, header: &[String]) {
    if !text.is_empty() {
        text.push('\n');
    }
    line(text, header);
}

fn line(text: &mut String, cells: &[String]) {
    let quoted = |cell: &String| {
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    text.push_str(&cells.iter().map(quoted).collect::<Vec<_>>().join(","));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases(names: &[&str]) -> StatementResult {
        let values = names.iter().map(|name| vec![(*name).to_owned()]).collect();
        let series = Series { name: "databases".to_owned(), columns: vec!["name".to_owned()], values };
        StatementResult { series: vec![series], ..Default::default() }
    }

    #[test]
    fn json_has_the_order_that_clients_parse() {
        let plain = Form::Json { pretty: false, chunked: false };
        assert_eq!(
            plain.write(&[databases(&["a", "b"])]),
            "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],\
             \"values\":[[\"a\"],[\"b\"]]}]}]}\n"
        );
        assert_eq!(
            plain.write(&[databases(&[])]),
            "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"]}]}]}\n"
        );
        assert_eq!(plain.write(&[]), "{\"results\":[]}\n");
        let pretty = Form::Json { pretty: true, chunked: false };
        let failed = StatementResult { error: Some("no".to_owned()), ..Default::default() };
        assert_eq!(
            pretty.write(&[failed]),
            "{\n    \"results\": [\n        {\n            \"statement_id\": 0,\n            \"error\": \"no\"\n        }\n    ]\n}\n"
        );
        let chunked = Form::Json { pretty: false, chunked: true };
        let second = StatementResult { statement_id: 1, ..Default::default() };
        assert_eq!(
            chunked.write(&[StatementResult::default(), second]),
            "{\"results\":[{\"statement_id\":0}]}\n{\"results\":[{\"statement_id\":1}]}\n"
        );
    }

    #[test]
    fn csv_parts_statements_by_a_blank_line() {
        let failed = StatementResult { error: Some("a, \"b\"".to_owned()), ..Default::default() };
        assert_eq!(
            Form::Csv.write(&[databases(&["x"]), failed]),
            "name,tags,name\ndatabases,,x\n\nerror\n\"a, \"\"b\"\"\"\n"
        );
    }
}
