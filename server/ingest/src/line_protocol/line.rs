//! One line: from its first byte to a committed row.

use ochre_batch::builder::Row;
use ochre_batch::{BatchBuilder, DuplicateField, FieldValue};
use ochre_types::TIME_COLUMN;

use super::cursor::{COMMA, Cursor, EQUALS, NEWLINE, SPACE, Token};
use super::error::LineError;
use super::number::{boolean, is_value_end, number};
use super::utf8::Utf8Body;
use super::{Flavour, MAX_KEY, MAX_STRING, Options};

/// What ends a key that is not as expected.
const KEY_STOPS: u8 = EQUALS | COMMA | SPACE | NEWLINE;
/// What may be escaped in keys and tag values.
const ESCAPABLE: u8 = COMMA | EQUALS | SPACE;

/// Reads lines into a builder. Its scratch memory is used again for every line.
pub(super) struct LineParser<'a, 'k> {
    body: &'a Utf8Body<'a>,
    options: &'a Options,
    builder: BatchBuilder<'k>,
    default_time: i64,
    line_limit: usize,
    scratch: Scratch,
}

/// Where pieces with escapes are resolved: one for each that is alive at a time.
#[derive(Default)]
struct Scratch {
    table: String,
    name: String,
    value: String,
}

/// A line on its way into a row.
struct Line<'a, 'b, 'k, 's> {
    cursor: Cursor<'a>,
    start: usize,
    flavour: Flavour,
    row: Row<'b, 'k>,
    table: &'s str,
    name: &'s mut String,
    value: &'s mut String,
}

impl<'a, 'k> LineParser<'a, 'k> {
    pub(super) fn new(body: &'a Utf8Body<'a>, options: &'a Options, builder: BatchBuilder<'k>) -> Self {
        Self {
            body,
            options,
            builder,
            default_time: options.precision.truncate(options.default_time),
            line_limit: options.limits.line.as_usize(),
            scratch: Scratch::default(),
        }
    }

    pub(super) fn into_builder(self) -> BatchBuilder<'k> {
        self.builder
    }

    /// Reads the line that begins at `start`, commits its row and gives the offset of its end.
    pub(super) fn parse(&mut self, start: usize) -> Result<usize, LineError> {
        let mut cursor = Cursor::new(self.body.text(), start);
        let measurement = cursor.token(COMMA | SPACE | NEWLINE, COMMA | SPACE);
        if measurement.raw.is_empty() {
            return Err(LineError::MissingMeasurement);
        }
        if measurement.raw.len() > MAX_KEY {
            return Err(LineError::KeyTooLong { length: measurement.raw.len() });
        }
        let Scratch { table, name, value } = &mut self.scratch;
        let table = measurement.resolve(table);
        let row = self.builder.row(table)?;
        let mut line = Line { cursor, start, flavour: self.options.flavour, row, table, name, value };
        line.tags()?;
        line.fields()?;
        let time = match line.timestamp()? {
            Some(timestamp) => self.options.precision.nanoseconds(timestamp)?,
            None => self.default_time,
        };
        let (end, row) = (line.cursor.at, line.row);
        if end - start > self.line_limit {
            return Err(LineError::LineTooLong { length: end - start, limit: self.line_limit });
        }
        if let Some(offset) = self.body.invalid_in(start, end) {
            return Err(LineError::InvalidUtf8 { offset });
        }
        if let Some(admit) = &self.options.admit
            && let Some(reason) = admit.refuse(row.table_name(), &|name| row.tag_value(name), time)
        {
            return Err(LineError::NotKept { reason });
        }
        row.commit(time)?;
        Ok(end)
    }
}

impl<'a> Line<'a, '_, '_, '_> {
    /// The key here, and whether it was the expected one.
    fn key(&mut self) -> (Token<'a>, bool) {
        match self.row.expected().and_then(|expected| self.cursor.expect_key(expected)) {
            Some(key) => (key, true),
            None => (self.cursor.token(KEY_STOPS, ESCAPABLE), false),
        }
    }

    /// Reads `,tag=value...`, up to the space before the fields.
    fn tags(&mut self) -> Result<(), LineError> {
        let value_stops = match self.flavour {
            Flavour::V1 | Flavour::V2 => KEY_STOPS,
            Flavour::V3 => COMMA | SPACE | NEWLINE,
        };
        while self.cursor.peek() == b',' {
            self.cursor.at += 1;
            let (key, is_expected) = self.key();
            if key.raw.is_empty() {
                return Err(LineError::MissingTagKey);
            }
            if self.cursor.peek() != b'=' {
                return Err(LineError::MissingTagValue);
            }
            self.cursor.at += 1;
            let value = self.cursor.token(value_stops, ESCAPABLE);
            if self.cursor.peek() == b'=' {
                return Err(LineError::InvalidTagFormat);
            }
            if value.raw.is_empty() {
                return Err(LineError::MissingTagValue);
            }
            let length = self.cursor.at - self.start;
            if length > MAX_KEY {
                return Err(LineError::KeyTooLong { length });
            }
            let name = key.resolve(self.name);
            if !is_expected && name == TIME_COLUMN {
                return Err(LineError::TimeTag { measurement: self.table.to_owned() });
            }
            self.row.tag(name, value.resolve(self.value))?;
        }
        if self.cursor.peek() == b'\n' {
            return Err(LineError::MissingFields);
        }
        Ok(())
    }

    /// Reads `field=value[,field=value...]`, up to what ends the last value.
    fn fields(&mut self) -> Result<(), LineError> {
        let series_length = self.cursor.at - self.start;
        self.cursor.skip_blanks();
        if self.cursor.is_at_end() {
            return Err(LineError::MissingFields);
        }
        let mut has_field = false;
        loop {
            let (key, is_expected) = self.key();
            if self.cursor.peek() != b'=' {
                return Err(LineError::InvalidFieldFormat);
            }
            if key.raw.is_empty() {
                return Err(LineError::MissingFieldKey);
            }
            let length = series_length + key.raw.len();
            if length > MAX_KEY {
                return Err(LineError::KeyTooLong { length });
            }
            self.cursor.at += 1;
            has_field |= self.field(key, is_expected)?;
            if self.cursor.peek() != b',' {
                break;
            }
            self.cursor.at += 1;
        }
        if has_field { Ok(()) } else { Err(LineError::TimeField { measurement: self.table.to_owned() }) }
    }

    /// Reads the value of the field `key` and sets it. Gives whether the row has it: a field `time` may be ignored.
    fn field(&mut self, key: Token<'_>, is_expected: bool) -> Result<bool, LineError> {
        let name = key.resolve(self.name);
        let value = value(&mut self.cursor, self.value)?;
        if let FieldValue::String(text) = value
            && text.len() > MAX_STRING
        {
            let (field, measurement) = (name.to_owned(), self.table.to_owned());
            return Err(LineError::StringTooLong { field, measurement, length: text.len() });
        }
        let duplicate = match self.flavour {
            Flavour::V1 | Flavour::V2 => DuplicateField::LastWins,
            Flavour::V3 => DuplicateField::Refuse,
        };
        if !is_expected && name == TIME_COLUMN {
            return match duplicate {
                DuplicateField::LastWins => Ok(false),
                DuplicateField::Refuse => Err(LineError::TimeField { measurement: self.table.to_owned() }),
            };
        }
        self.row.field(name, value, duplicate)?;
        Ok(true)
    }

    /// Reads what follows the fields, up to the line's end.
    fn timestamp(&mut self) -> Result<Option<i64>, LineError> {
        self.cursor.skip_blanks();
        if self.cursor.is_at_end() {
            return Ok(None);
        }
        let start = self.cursor.at;
        self.cursor.at += usize::from(self.cursor.peek() == b'-');
        let first_digit = self.cursor.at;
        while self.cursor.peek().is_ascii_digit() {
            self.cursor.at += 1;
        }
        let is_number = self.cursor.at > first_digit;
        let text = self.cursor.since(start);
        if !is_number || !(matches!(self.cursor.peek(), b' ' | b'\t') || self.cursor.is_at_end()) {
            return Err(LineError::BadTimestamp);
        }
        self.cursor.skip_blanks();
        if !self.cursor.is_at_end() {
            return Err(LineError::TrailingText);
        }
        text.parse().map(Some).map_err(|_| LineError::TimeRange)
    }
}

/// Reads the value here and goes past it; a string with escapes is resolved in `scratch`.
fn value<'s, 'a: 's>(cursor: &mut Cursor<'a>, scratch: &'s mut String) -> Result<FieldValue<'s>, LineError> {
    match cursor.peek() {
        b'0'..=b'9' | b'-' | b'.' => number(cursor),
        b'"' => {
            let text = cursor.string(scratch).ok_or(LineError::UnbalancedQuotes)?;
            if is_value_end(cursor) { Ok(FieldValue::String(text)) } else { Err(LineError::InvalidFieldFormat) }
        }
        _ if is_value_end(cursor) => Err(LineError::MissingFieldValue),
        // The beginnings of +1, NaN and Inf: meant as numbers.
        b'+' | b'n' | b'N' | b'i' | b'I' => Err(LineError::InvalidNumber),
        _ => boolean(cursor),
    }
}
