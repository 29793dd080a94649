//! Refuses SQL that is too long or too deep, before anything recursive looks at it.
//!
//! DataFusion walks expressions recursively, in places on a fixed stack, so an expression that is deep enough would
//! abort the server. (On top of this, planning gets a large stack: [`crate::engine`].) A chain of operators `a + b + c` is as deep as it is long, parentheses or not. Here each token
//! that can deepen an expression is counted, per comma-separated item and with all items that enclose it: an upper
//! bound of the depth that needs no parser.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::QueryError;

/// The longest statement, in bytes.
pub(crate) const MAX_SQL_BYTES: usize = 1 << 20;
/// The most operators that one expression may nest.
pub(crate) const MAX_OPERATORS: usize = 500;
/// The deepest nesting of parentheses, brackets and the like.
pub(crate) const MAX_NESTING: usize = 64;
/// The most tables, and the most set operations, that a statement may name. A join or a union is a level of the plan.
pub(crate) const MAX_RELATIONS: usize = 64;

/// The tokens of a statement that is safe to parse.
pub(crate) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, QueryError> {
    if sql.len() > MAX_SQL_BYTES {
        let length = sql.len();
        return Err(QueryError::TooComplex(format!("it has {length} bytes: at most {MAX_SQL_BYTES} are allowed")));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| QueryError::Sql(error.to_string()))?;
    check(&tokens)?;
    Ok(tokens)
}

fn check(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    // Operators since the last comma, for each parenthesis that is open.
    let mut levels = vec![0usize];
    let mut deepest = 0;
    let mut set_operations = 0;
    let mut depth = 0;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => levels.push(0),
            Token::RParen | Token::RBracket | Token::RBrace => {
                let inner = levels.pop().unwrap_or(0);
                depth -= inner;
                if levels.is_empty() {
                    levels.push(0);
                }
                // A subscript or a call after a call deepens what encloses it.
                depth += add(&mut levels);
            }
            Token::Comma | Token::SemiColon => depth -= levels.last_mut().map_or(0, std::mem::take),
            Token::Word(word) if is_set_operation(word.keyword) => {
                set_operations += 1;
                depth += add(&mut levels);
            }
            token if deepens(token) => depth += add(&mut levels),
            _ => {}
        }
        deepest = deepest.max(depth);
        if levels.len() > MAX_NESTING {
            return Err(QueryError::TooComplex(format!("parentheses nest deeper than {MAX_NESTING}")));
        }
        if deepest > MAX_OPERATORS {
            return Err(QueryError::TooComplex(format!(
                "one expression has more than {MAX_OPERATORS} operators: use IN (…) for long lists, or several queries"
            )));
        }
        if set_operations > MAX_RELATIONS {
            return Err(too_many_relations());
        }
    }
    Ok(())
}

pub(crate) fn too_many_relations() -> QueryError {
    QueryError::TooComplex(format!("it combines more than {MAX_RELATIONS} tables or queries"))
}

fn add(levels: &mut [usize]) -> usize {
    levels.last_mut().map_or(0, |level| {
        *level += 1;
        1
    })
}

fn is_set_operation(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS | Keyword::JOIN)
}

/// Whether a token can make an expression one level deeper.
fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::ESCAPE
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::DIV
                | Keyword::OVERLAPS
                | Keyword::CASE
                | Keyword::OPERATOR
        ),
        Token::EOF
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Whitespace(_)
        | Token::Period
        | Token::Placeholder(_) => false,
        // Every operator there is, and whatever this build doesn't know.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_too_complex(sql: &str) -> bool {
        matches!(tokens(sql), Err(QueryError::TooComplex(_)))
    }

    #[test]
    fn chains_are_counted_and_lists_are_not() {
        let chain = |terms: usize| format!("SELECT 1{}", " + 1".repeat(terms));
        assert!(!is_too_complex(&chain(MAX_OPERATORS)));
        assert!(is_too_complex(&chain(MAX_OPERATORS + 1)));
        let list = format!("SELECT * FROM t WHERE a IN (1{})", ", 1 + 2".repeat(20_000));
        assert!(!is_too_complex(&list));
        let hidden = format!("SELECT {}1{}", "(1 + ".repeat(60), " + 1)".repeat(60));
        assert!(!is_too_complex(&hidden));
    }

    #[test]
    fn enclosing_chains_add_up() {
        let half = " + 1".repeat(MAX_OPERATORS / 2);
        assert!(is_too_complex(&format!("SELECT 1{half} + (1{half} + 1)")));
        assert!(!is_too_complex(&format!("SELECT 1{half}, (1{half} + 1)")));
    }

    #[test]
    fn nesting_length_and_unions_are_bounded() {
        assert!(is_too_complex(&format!("SELECT {}1{}", "(".repeat(65), ")".repeat(65))));
        assert!(is_too_complex(&format!("SELECT '{}'", "x".repeat(MAX_SQL_BYTES))));
        assert!(is_too_complex(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(MAX_RELATIONS + 1))));
        assert!(is_too_complex(&format!("SELECT 1{}", "::int".repeat(MAX_OPERATORS + 1))));
        assert!(!is_too_complex(")))((("));
    }
}
