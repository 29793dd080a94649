//! Lines one by one, each as if it had come alone: to tell what would become of it.

use ochre_batch::{Batch, BatchBuilder, KnownColumns};

use super::cursor::{line_end, next_line};
use super::error::LineError;
use super::line::LineParser;
use super::utf8::Utf8Body;
use super::{MAX_REPORTED_TEXT, Options, Rejected, shorten};

/// What would become of one line.
#[derive(Debug, Clone)]
pub struct EachLine {
    /// The number of the physical line on which it begins, from 1.
    pub line_number: usize,
    /// Its one row, or why it would be refused.
    pub outcome: Result<Batch, Rejected>,
}

/// Reads at most `most` lines of a body, each on its own: none is refused for what another one says. Empty lines and
/// comments are no lines.
pub fn each(body: &[u8], schema: &dyn KnownColumns, options: &Options, most: usize) -> Vec<EachLine> {
    let utf8 = Utf8Body::new(body);
    let text = utf8.text();
    let (mut lines, mut at, mut counted_to, mut line_number) = (Vec::new(), 0, 0, 1);
    while let Some(start) = next_line(text, at).filter(|_| lines.len() < most) {
        line_number += memchr::memchr_iter(b'\n', &body[counted_to..start]).count();
        counted_to = start;
        let mut line = LineParser::new(&utf8, options, BatchBuilder::new(schema, &options.limits));
        let outcome = match line.parse(start) {
            Ok(end) => {
                at = end;
                Ok(line.into_builder().finish())
            }
            Err(error) => {
                at = line_end(text, start);
                let error = utf8.invalid_in(start, at).map_or(error, |offset| LineError::InvalidUtf8 { offset });
                let text = shorten(&body[start..at], MAX_REPORTED_TEXT);
                Err(Rejected { line_number, text, error, flavour: options.flavour })
            }
        };
        lines.push(EachLine { line_number, outcome });
    }
    lines
}

#[cfg(test)]
mod tests {
    use ochre_batch::NoColumns;

    use super::*;

    #[test]
    fn each_line_stands_alone() {
        let body = b"# comment\nm,t=a f=1 1\n\n bad\nm f=\"two\nlines\" 2\nm f=3i 3\nm f=\xff 4\nm f=5 5";
        let lines = each(body, &NoColumns, &Options::default(), 6);
        let shown: Vec<(usize, Result<usize, String>)> = lines
            .into_iter()
            .map(|line| (line.line_number, line.outcome.map(|b| b.row_count()).map_err(|r| r.error.to_string())))
            .collect();
        let utf8 = "invalid UTF-8 at byte 59 of the request: line protocol must be UTF-8".to_owned();
        let expected =
            [(2, Ok(1)), (4, Err("missing fields".to_owned())), (5, Ok(1)), (7, Ok(1)), (8, Err(utf8)), (9, Ok(1))];
        assert_eq!(shown, expected);
        assert_eq!(each(body, &NoColumns, &Options::default(), 2).len(), 2);
    }
}
