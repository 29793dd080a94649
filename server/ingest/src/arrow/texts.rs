//! Text columns, however Arrow lays them out.

use arrow_array::cast::AsArray;
use arrow_array::{Array, LargeStringArray, StringArray, StringViewArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use ochre_types::ColumnName;

use super::Refused;

/// The texts of a column: values, and for each row which one it has.
pub(super) struct Texts<'a> {
    values: Values<'a>,
    /// For each row its value, where the column is a dictionary; else row `i` has value `i`.
    codes: Option<(Vec<usize>, Option<&'a NullBuffer>)>,
    len: usize,
}

enum Values<'a> {
    Small(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    /// The texts of a column whose type is one of text.
    pub(super) fn new(array: &'a dyn Array) -> Self {
        let len = array.len();
        match array.data_type() {
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let values = Values::new(dictionary.values());
                // Without values, every row is null.
                let codes = if values.len() == 0 { Vec::new() } else { dictionary.normalized_keys() };
                Self { values, codes: Some((codes, dictionary.keys().nulls())), len }
            }
            _ => Self { values: Values::new(array), codes: None, len },
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether several rows may have the same bytes, so that they are more when they are written out.
    pub(super) fn is_shared(&self) -> bool {
        self.codes.is_some() || matches!(self.values, Values::View(_))
    }

    /// How many values there are, at most.
    pub(super) fn value_count(&self) -> usize {
        self.values.len()
    }

    /// The number of a row's value; `None` for an absent one.
    pub(super) fn code(&self, row: usize) -> Option<usize> {
        match &self.codes {
            None => self.values.is_valid(row).then_some(row),
            Some((_, Some(nulls))) if nulls.is_null(row) => None,
            Some((codes, _)) => codes.get(row).copied().filter(|code| self.values.is_valid(*code)),
        }
    }

    /// The value of this number.
    pub(super) fn value(&self, code: usize) -> &'a str {
        match self.values {
            Values::Small(values) => values.value(code),
            Values::Large(values) => values.value(code),
            Values::View(values) => values.value(code),
        }
    }
}

impl<'a> Values<'a> {
    fn new(array: &'a dyn Array) -> Self {
        match array.data_type() {
            DataType::LargeUtf8 => Self::Large(array.as_string()),
            DataType::Utf8View => Self::View(array.as_string_view()),
            _ => Self::Small(array.as_string()),
        }
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Small(values) => values,
            Self::Large(values) => values,
            Self::View(values) => values,
        }
    }

    fn len(&self) -> usize {
        self.array().len()
    }

    fn is_valid(&self, index: usize) -> bool {
        self.array().is_valid(index)
    }
}

/// Bytes of text that a record batch may still make. Dictionaries and views name the same bytes many times, so that a
/// small message could become many times its size.
pub(super) struct TextBudget {
    left: usize,
    limit: usize,
}

impl TextBudget {
    /// A budget of `limit` bytes, and never more than an Arrow column can hold.
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.min(i32::MAX as usize);
        Self { left: limit, limit }
    }

    /// Takes `length` bytes for a text of `column`.
    pub(super) fn take(&mut self, column: &ColumnName, length: usize) -> Result<(), Refused> {
        let too_much = || Refused::TooMuchText { column: column.as_str().to_owned(), limit: self.limit };
        self.left = self.left.checked_sub(length).ok_or_else(too_much)?;
        Ok(())
    }
}
