//! `ochre rules schema`.

use clap::Args;
use ochre_types::rules::schema::FIELDS;
use serde_json::json;

use crate::cli::table::table;
use crate::cli::{Output, Stop};

/// Print every field that a document may have.
#[derive(Debug, Args)]
pub struct Schema {
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Schema {
    /// Runs the command.
    pub fn run(&self) -> Result<(), Stop> {
        match self.output {
            Output::Json => {
                let fields = FIELDS.iter().map(|field| {
                    let default = Some(field.default).filter(|default| !default.is_empty());
                    json!({ "path": field.path, "value": field.unit, "default": default, "meaning": field.doc })
                });
                println!("{:#}", json!(fields.collect::<Vec<_>>()));
            }
            Output::Text => {
                let rows = FIELDS.iter().map(|field| {
                    let default = if field.default.is_empty() { "-" } else { field.default };
                    [field.path, default, field.unit, field.doc].map(str::to_owned).to_vec()
                });
                print!("{}", table(&["field", "default", "value", "meaning"], &rows.collect::<Vec<_>>()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ochre_types::rules::schema::to_markdown;

    const PAGE: &str = include_str!("../../../../../docs/rules.md");

    #[test]
    fn the_page_has_the_table_of_fields() {
        let table = to_markdown();
        assert!(PAGE.contains(&table), "docs/rules.md needs this table:\n{table}");
    }

    #[test]
    fn the_example_on_the_page_is_right() {
        let example = PAGE.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let document = ochre_types::rules::Document::parse(example, &ochre_types::rules::Rules::default());
        let document = document.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(document.rules.partition.rules.len(), 3);
        assert_eq!((document.line_of("partition[0]"), document.line_of("store")), (Some(4), Some(33)));
    }
}
