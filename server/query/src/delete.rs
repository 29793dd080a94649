//! `DELETE FROM … WHERE …`: taken apart, not planned. What it says becomes a deletion by predicate; running it is not
//! this crate's.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, FromTable, ObjectName, TableFactor};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use ochre_types::TableName;
use ochre_types::matching::Predicate;

use crate::catalog::{CATALOG, TABLES};
use crate::error::QueryError;
use crate::limits;
use crate::statement::PARSER_RECURSION;

/// A statement that deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The table.
    pub table: TableName,
    /// Which of its rows; `None`: all.
    pub predicate: Option<Predicate>,
}

impl Delete {
    /// Whether a text is a statement that deletes, and which. `None` if it is something else, or no SQL at all.
    pub fn of(sql: &str) -> Option<Result<Self, QueryError>> {
        let tokens = limits::tokens(sql).ok()?;
        let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        match words.next().map(|token| &token.token) {
            Some(Token::Word(word)) if word.keyword == Keyword::DELETE => Some(parse(tokens)),
            _ => None,
        }
    }
}

fn parse(tokens: Vec<TokenWithSpan>) -> Result<Delete, QueryError> {
    let mut statements = DFParserBuilder::new(tokens)
        .with_recursion_limit(PARSER_RECURSION)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::planning(&error))?;
    let delete = match (statements.pop_front(), statements.len()) {
        (Some(Statement::Statement(statement)), 0) => match *statement {
            ast::Statement::Delete(delete) => delete,
            _ => return Err(refused("this statement")),
        },
        (first, rest) => return Err(QueryError::Statements(rest + usize::from(first.is_some()))),
    };
    let from = match &delete.from {
        FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from) => from,
    };
    let TableFactor::Table { name, alias: None, args: None, .. } = (match from.as_slice() {
        [only] if only.joins.is_empty() => &only.relation,
        _ => return Err(refused("more than one table")),
    }) else {
        return Err(refused("anything but a plain table"));
    };
    let plain = delete.tables.is_empty()
        && delete.using.is_none()
        && delete.returning.is_none()
        && delete.output.is_none()
        && delete.order_by.is_empty()
        && delete.limit.is_none();
    if !plain {
        return Err(refused("USING, RETURNING, ORDER BY and LIMIT"));
    }
    let table = table(name)?;
    let predicate = delete.selection.map(|condition| condition.to_string().parse());
    let predicate = predicate.transpose().map_err(|error| {
        QueryError::Sql(format!(
            "the WHERE of a DELETE compares tags and time with constants, and this one does not: {error}"
        ))
    })?;
    Ok(Delete { table, predicate })
}

fn refused(what: &str) -> QueryError {
    QueryError::Sql(format!(
        "DELETE does not take {what}: write DELETE FROM a_table WHERE a_tag = 'a' AND time < '2026-01-01'"
    ))
}

/// The table of a name, in the one schema that has tables.
fn table(name: &ObjectName) -> Result<TableName, QueryError> {
    let parts: Option<Vec<&str>> =
        name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect();
    let table = match parts.as_deref() {
        Some([table] | [TABLES, table] | [CATALOG, TABLES, table]) => *table,
        _ => return Err(refused("tables of another database or schema")),
    };
    TableName::new(table).map_err(|error| QueryError::Sql(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(sql: &str) -> Result<(String, Option<String>), String> {
        let delete = Delete::of(sql).expect("it begins with DELETE").map_err(|error| error.to_string())?;
        Ok((delete.table.to_string(), delete.predicate.map(|predicate| predicate.to_string())))
    }

    #[test]
    fn a_delete_says_table_and_predicate() {
        assert_eq!(delete("DELETE FROM cpu"), Ok(("cpu".into(), None)));
        assert_eq!(
            delete("-- all of a\n delete from \"Disk IO\" where host = 'a' and \"time\" < '2026-01-01';"),
            Ok(("Disk IO".into(), Some("host = 'a' AND time < '2026-01-01T00:00:00Z'".into())))
        );
        let all = "host != 'it''s' OR (Rack IN ('x', 'y') AND NOT host LIKE 'web-%') OR zone IS NULL OR h ~ '^a'";
        let text = delete(&format!("DELETE FROM iox.cpu WHERE {all}")).unwrap().1.unwrap();
        assert_eq!(text.parse::<Predicate>().unwrap(), all.parse().unwrap());
        let between = "DELETE FROM public.iox.cpu WHERE time BETWEEN TIMESTAMP '2026-01-01T00:00:00Z' AND 5";
        assert_eq!(
            delete(between).unwrap().1.unwrap(),
            "time BETWEEN '2026-01-01T00:00:00Z' AND '1970-01-01T00:00:00.000000005Z'"
        );
    }

    #[test]
    fn what_it_can_not_say_is_refused_with_what_it_can() {
        for (sql, part) in [
            ("DELETE FROM cpu WHERE usage > 5", "compares tags and time with constants"),
            ("DELETE FROM cpu WHERE time < now()", "compares tags and time with constants"),
            ("DELETE FROM cpu WHERE host = $1", "compares tags and time with constants"),
            ("DELETE FROM cpu WHERE host IN (SELECT host FROM mem)", "compares tags and time with constants"),
            ("DELETE FROM cpu, mem", "more than one table"),
            ("DELETE FROM cpu AS c", "anything but a plain table"),
            ("DELETE FROM cpu LIMIT 1", "USING, RETURNING, ORDER BY and LIMIT"),
            ("DELETE FROM system.tables", "another database or schema"),
            ("DELETE FROM cpu; DELETE FROM mem", "here are 2"),
            ("DELETE", "can't be planned"),
        ] {
            let error = delete(sql).unwrap_err();
            assert!(error.contains(part), "{sql}: {error}");
        }
        for other in ["SELECT 1", "", "'", "EXPLAIN DELETE FROM cpu", "deleted"] {
            assert!(Delete::of(other).is_none(), "{other}");
        }
    }
}
