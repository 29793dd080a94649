//! Fields: values of the one Arrow type that their kind has.

use arrow_array::ArrayRef;
use arrow_cast::{CastOptions, cast_with_options};
use ochre_batch::RowError;
use ochre_batch::rows::arrow_type;
use ochre_types::{ColumnKind, ColumnName, FieldType};

use super::Refused;
use super::texts::{TextBudget, Texts};
use crate::line_protocol::MAX_STRING;

/// The rows of a field. What has its type already is not copied; what is narrower is widened.
pub(super) fn read(
    name: &ColumnName,
    field_type: FieldType,
    array: &ArrayRef,
    budget: &mut TextBudget,
) -> Result<ArrayRef, Refused> {
    if field_type == FieldType::String {
        check_texts(name, array, budget)?;
    }
    let to = arrow_type(ColumnKind::Field(field_type));
    if *array.data_type() == to {
        return Ok(array.clone());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    // Numbers only become wider; text fails if it is longer than 32 bits can say.
    let too_much = |_| RowError::TooMuchText { column: name.as_str().to_owned() };
    Ok(cast_with_options(array, &to, &strict).map_err(too_much)?)
}

/// No text is too long, nor are all together, where they name bytes that others name too.
fn check_texts(name: &ColumnName, array: &ArrayRef, budget: &mut TextBudget) -> Result<(), Refused> {
    let texts = Texts::new(array);
    for row in 0..texts.len() {
        let Some(code) = texts.code(row) else { continue };
        let length = texts.value(code).len();
        if length > MAX_STRING {
            return Err(Refused::StringTooLong { column: name.as_str().to_owned(), row, length });
        }
        if texts.is_shared() {
            budget.take(name, length)?;
        }
    }
    Ok(())
}
