//! From text to one statement that only reads.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor, visit_relations};

use crate::catalog::{CATALOG, INFORMATION_SCHEMA};
use crate::error::QueryError;
use crate::limits::{self, MAX_RELATIONS};

/// How deep the parser may recurse. Its own default.
pub(crate) const PARSER_RECURSION: usize = 50;

/// A statement that is allowed, and what it names.
pub(crate) struct Parsed {
    pub(crate) statement: Statement,
    /// Whether unquoted identifiers become lower case.
    pub(crate) folds_case: bool,
    /// The tables that it names (and table functions), without those that it defines itself.
    pub(crate) tables: Vec<TableReference>,
}

/// Parses `sql`, which must be one statement that only reads.
pub(crate) fn parse(sql: &str) -> Result<Parsed, QueryError> {
    let tokens = limits::tokens(sql)?;
    let mut statements = DFParserBuilder::new(tokens)
        .with_recursion_limit(PARSER_RECURSION)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::planning(&error))?;
    let statement = match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => statement,
        (first, rest) => return Err(QueryError::Statements(rest + usize::from(first.is_some()))),
    };
    let inner = readable(&statement)?;
    if count_relations(inner) > MAX_RELATIONS {
        return Err(limits::too_many_relations());
    }
    let is_query = matches!(inner, ast::Statement::Query(_));
    let (tables, _) = resolve_table_references(&statement, false).map_err(|error| QueryError::planning(&error))?;
    let of_information_schema =
        |table: &TableReference| table.schema().is_some_and(|schema| schema.eq_ignore_ascii_case(INFORMATION_SCHEMA));
    let folds_case = is_query && !tables.is_empty() && tables.iter().all(of_information_schema);
    Ok(Parsed { statement, folds_case, tables })
}

/// The statement that would read, under any EXPLAINs, or why it is refused.
fn readable(statement: &Statement) -> Result<&ast::Statement, QueryError> {
    match statement {
        Statement::Explain(explain) => match readable(&explain.statement)? {
            query @ ast::Statement::Query(_) => Ok(query),
            other => Err(QueryError::Refused(format!("EXPLAIN {}", kind(&other.to_string())))),
        },
        Statement::Statement(statement) => match &**statement {
            query @ (ast::Statement::Query(_)
            | ast::Statement::ShowTables { .. }
            | ast::Statement::ShowColumns { .. }
            | ast::Statement::ShowFunctions { .. }
            | ast::Statement::ExplainTable { .. }) => Ok(query),
            other => Err(QueryError::Refused(kind(&other.to_string()))),
        },
        other @ (Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_)) => {
            Err(QueryError::Refused(kind(&other.to_string())))
        }
    }
}

/// The first word of a statement, such as `INSERT`; of a `CREATE` or `DROP`, the next one too.
fn kind(text: &str) -> String {
    let mut words = text.split_whitespace().map(str::to_ascii_uppercase);
    match words.next() {
        Some(first) if first == "CREATE" || first == "DROP" || first == "SHOW" => {
            [first].into_iter().chain(words.next()).collect::<Vec<_>>().join(" ")
        }
        first => first.unwrap_or_default(),
    }
}

/// How many tables a statement reads, once each name of a WITH is replaced by what it stands for, as the planner will
/// do: names that double one another would otherwise grow without bound.
fn count_relations(statement: &ast::Statement) -> usize {
    let mut relations = Relations::default();
    let _: ControlFlow<()> = statement.visit(&mut relations);
    relations.weight(statement)
}

/// What the names of all WITHs stand for, in tables. One name in several places counts as the largest.
#[derive(Default)]
struct Relations {
    weights: BTreeMap<String, usize>,
}

impl Relations {
    fn weight(&self, of: &impl Visit) -> usize {
        let mut count = 0usize;
        let _: ControlFlow<()> = visit_relations(of, |name| {
            let weight = self.weights.get(&name.to_string().to_lowercase());
            count = count.saturating_add(weight.copied().unwrap_or(1));
            ControlFlow::Continue(())
        });
        count
    }
}

impl Visitor for Relations {
    type Break = ();

    /// Inner queries come first, so that what they name is known.
    fn post_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            // One that reads no table is still a part of the plan each time that it is named.
            let weight = self.weight(&*named.query).max(1);
            let known = self.weights.entry(named.alias.name.to_string().to_lowercase()).or_default();
            *known = weight.max(*known);
        }
        ControlFlow::Continue(())
    }
}

impl Parsed {
    /// After planning failed: the first thing that the statement names and `exists` denies.
    pub(crate) fn unknown(&self, exists: &dyn Fn(Option<&str>, &str) -> bool) -> Option<QueryError> {
        for table in &self.tables {
            if let Some(catalog) = table.catalog()
                && catalog != CATALOG
            {
                return Some(QueryError::UnknownDatabase(catalog.to_owned()));
            }
            if !exists(table.schema(), table.table()) {
                let name = match table.schema() {
                    Some(schema) => format!("{schema}.{}", table.table()),
                    None => table.table().to_owned(),
                };
                return Some(QueryError::UnknownTable(name));
            }
        }
        None
    }
}
