//! InfluxDB's line protocol, versions 1 to 3.
//!
//! ```text
//!   measurement[,tag=value...] field=value[,field=value...] [timestamp]\n
//! ```
//!
//! One pass over borrowed bytes, straight into a [`BatchBuilder`]. The rules, where the versions differ:
//! - Escapes: `\,` and `\ ` in a measurement, also `\=` in keys and tag values, `\"` and `\\` in strings. A backslash
//!   before anything else is a backslash.
//! - A newline ends a line, unless it is within the quotes of a field's value.
//! - A field that stands twice: the last one wins (1 and 2), or the line is refused (3).
//! - A field called `time` is ignored (1 and 2), or the line is refused (3). A tag of that name is always refused.
//! - An equals sign in a tag value must be escaped (1 and 2), or may be (3).

use std::sync::Arc;

use ochre_batch::builder::MAX_CELLS;
use ochre_batch::{Batch, BatchBuilder, KnownColumns, NoColumns, RowError};
use ochre_types::rules::Limits;

use crate::filter::RowFilter;

mod cursor;
mod each;
pub(crate) mod error;
mod line;
mod number;
mod precision;
mod utf8;
mod write;

pub use each::{EachLine, each};
pub use error::LineError;
pub use precision::{MAX_TIME, MIN_TIME, Precision};
pub use write::{WriteError, write};

use cursor::line_end;
use line::LineParser;
use utf8::Utf8Body;

/// Bytes that measurement, tags and one field's key may have together, as written.
pub const MAX_KEY: usize = 65_535;
/// Bytes of a field's string.
pub const MAX_STRING: usize = 1 << 20;
/// Bytes of a refused line that are reported.
pub const MAX_REPORTED_TEXT: usize = 1_024;

/// Whose line protocol it is: the API through which the lines came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// InfluxDB 1: `/write`.
    V1,
    /// InfluxDB 2: `/api/v2/write`.
    V2,
    /// InfluxDB 3: `/api/v3/write_lp`.
    V3,
}

/// How a request is to be read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The unit of timestamps.
    pub precision: Precision,
    /// The time of lines without a timestamp, in nanoseconds since 1970-01-01 UTC: one for the request. It is cut
    /// down to the precision.
    pub default_time: i64,
    /// Whose rules hold where the versions differ.
    pub flavour: Flavour,
    /// Whether the good lines count when there are bad ones. If not, parsing stops at the first bad line.
    pub accept_partial: bool,
    /// The limits of the database; of these, `columns`, `tables` and `line` are checked here.
    pub limits: Limits,
    /// Refuses lines whose rows the database does not keep; `None` if it keeps all.
    pub admit: Option<Arc<dyn RowFilter>>,
    /// Refused lines that are reported; all of them are counted.
    pub max_reported: usize,
    /// The most cells (rows times columns) that the batch may have; parsing stops at the first line beyond.
    pub max_cells: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            precision: Precision::Nanosecond,
            default_time: 0,
            flavour: Flavour::V1,
            accept_partial: true,
            limits: Limits::default(),
            admit: None,
            max_reported: 100,
            max_cells: MAX_CELLS,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The accepted rows; none if a line was refused and [`Options::accept_partial`] is off.
    pub batch: Batch,
    /// Accepted lines: the rows of `batch`.
    pub lines: usize,
    /// The first refused lines, at most [`Options::max_reported`].
    pub rejected: Vec<Rejected>,
    /// How many lines were refused; without [`Options::accept_partial`] at most one, since parsing stops there.
    pub rejected_total: usize,
    /// The most cells that were allowed, if a line went beyond: then there is no batch.
    pub too_many_cells: Option<usize>,
}

/// A refused line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The number of the physical line on which it begins, from 1.
    pub line_number: usize,
    /// The line as it came, shortened to [`MAX_REPORTED_TEXT`] bytes; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// What was wrong with it.
    pub error: LineError,
    /// Through which API it came.
    pub flavour: Flavour,
}

impl Rejected {
    /// The reason in the words of the line's API.
    /// Versions 1 and 2: `unable to parse '<line>': <reason>` for a line that is not line protocol, else the reason.
    /// Version 3: the reason (the line stands beside it in the answer).
    pub fn message(&self) -> String {
        match self.flavour {
            Flavour::V1 | Flavour::V2 if self.error.is_syntax() => {
                format!("unable to parse '{}': {}", self.text, self.error)
            }
            flavour => self.error.reason(flavour),
        }
    }
}

/// Reads the lines of a request's body. Never panics; a refused line leaves no trace in the batch.
pub fn parse(body: &[u8], schema: &dyn KnownColumns, options: &Options) -> Parsed {
    let utf8 = Utf8Body::new(body);
    let text = utf8.text();
    let builder = BatchBuilder::new(schema, &options.limits).with_max_cells(options.max_cells);
    let mut lines = LineParser::new(&utf8, options, builder);
    let mut report = Report { body, options, rejected: Vec::new(), total: 0, counted_to: 0, line_number: 1 };
    let mut at = 0;
    while let Some(start) = cursor::next_line(text, at) {
        match lines.parse(start) {
            Ok(end) => at = end,
            Err(LineError::Row(RowError::TooManyCells { limit })) => {
                let too_many_cells = Some(limit);
                let (rejected, rejected_total) = (report.rejected, report.total);
                return Parsed { batch: Batch::default(), lines: 0, rejected, rejected_total, too_many_cells };
            }
            Err(error) => {
                let end = line_end(text, start);
                let error = match utf8.invalid_in(start, end) {
                    Some(offset) => LineError::InvalidUtf8 { offset },
                    None => error,
                };
                report.add(start, end, error);
                if !options.accept_partial {
                    let rejected = report.rejected;
                    return Parsed {
                        batch: Batch::default(),
                        lines: 0,
                        rejected,
                        rejected_total: 1,
                        too_many_cells: None,
                    };
                }
                at = end;
            }
        }
    }
    let builder = lines.into_builder();
    let accepted = builder.row_count();
    Parsed {
        batch: builder.finish(),
        lines: accepted,
        rejected: report.rejected,
        rejected_total: report.total,
        too_many_cells: None,
    }
}

/// The fuzz target: no bytes make any flavour panic, and what is accepted is counted right.
pub fn fuzz(bytes: &[u8]) {
    for (flavour, precision) in
        [(Flavour::V1, Precision::Nanosecond), (Flavour::V2, Precision::Hour), (Flavour::V3, Precision::Auto)]
    {
        for accept_partial in [true, false] {
            let options = Options { precision, flavour, accept_partial, max_reported: 4, ..Options::default() };
            let parsed = parse(bytes, &NoColumns, &options);
            assert_eq!(parsed.lines, parsed.batch.row_count(), "accepted lines are the batch's rows");
            assert_eq!(
                parsed.rejected.len(),
                parsed.rejected_total.min(4),
                "refused lines are reported up to the bound"
            );
            for rejected in &parsed.rejected {
                assert!(!rejected.message().is_empty(), "every refusal has a reason");
            }
        }
    }
}

/// Refused lines, as they are found.
struct Report<'a> {
    body: &'a [u8],
    options: &'a Options,
    rejected: Vec<Rejected>,
    total: usize,
    /// Lines are counted only when one is refused: up to here so far.
    counted_to: usize,
    line_number: usize,
}

impl Report<'_> {
    fn add(&mut self, start: usize, end: usize, error: LineError) {
        self.total += 1;
        if self.rejected.len() >= self.options.max_reported {
            return;
        }
        self.line_number += memchr::memchr_iter(b'\n', &self.body[self.counted_to..start]).count();
        self.counted_to = start;
        self.rejected.push(Rejected {
            line_number: self.line_number,
            text: shorten(&self.body[start..end], MAX_REPORTED_TEXT),
            error,
            flavour: self.options.flavour,
        });
    }
}

/// At most `limit` bytes of a line, cut between characters, with an ellipsis if there was more.
fn shorten(line: &[u8], limit: usize) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() <= limit {
        return String::from_utf8_lossy(line).into_owned();
    }
    // A character that would be cut is left out: a byte 10xxxxxx goes on with a character begun before it.
    let mut end = limit;
    while end > limit - 3 && line[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    let mut text = String::from_utf8_lossy(&line[..end]).into_owned();
    text.push('…');
    text
}
