//! Tags: text columns as codes of distinct values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use ochre_types::ColumnName;

use super::Refused;
use super::texts::{TextBudget, Texts};
use crate::line_protocol::MAX_KEY;

/// The rows of a tag, its values distinct and in the order in which they were first met.
pub(super) fn read(name: &ColumnName, array: &dyn Array, budget: &mut TextBudget) -> Result<ArrayRef, Refused> {
    let texts = Texts::new(array);
    let mut distinct: Vec<&str> = Vec::new();
    let mut codes_by_value: HashMap<&str, i32> = HashMap::new();
    // What becomes of each value that was met: a value is looked up once, not once a row.
    let mut codes_by_given: Vec<Option<i32>> = vec![None; texts.value_count()];
    let mut codes = Vec::with_capacity(texts.len());
    let mut valid = BooleanBufferBuilder::new(texts.len());
    let mut last: Option<(&str, i32)> = None;
    for row in 0..texts.len() {
        let Some(given) = texts.code(row) else {
            codes.push(0);
            valid.append(false);
            continue;
        };
        valid.append(true);
        if let Some(code) = codes_by_given[given] {
            codes.push(code);
            continue;
        }
        let value = texts.value(given);
        let code = match last {
            Some((last, code)) if last == value => code,
            _ => match codes_by_value.get(value) {
                Some(code) => *code,
                None => {
                    check(name, row, value, budget)?;
                    let code = distinct.len() as i32;
                    codes_by_value.insert(value, code);
                    distinct.push(value);
                    code
                }
            },
        };
        last = Some((value, code));
        codes_by_given[given] = Some(code);
        codes.push(code);
    }
    let nulls = Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0);
    let codes = PrimitiveArray::<Int32Type>::new(codes.into(), nulls);
    let values = Arc::new(StringArray::from_iter_values(distinct));
    Ok(Arc::new(DictionaryArray::try_new(codes, values).expect("every code is that of a value")))
}

fn check(name: &ColumnName, row: usize, value: &str, budget: &mut TextBudget) -> Result<(), Refused> {
    let column = || name.as_str().to_owned();
    match value.len() {
        0 => Err(Refused::EmptyTag { column: column(), row }),
        length @ 1..=MAX_KEY => budget.take(name, length),
        length => Err(Refused::TagTooLong { column: column(), row, length }),
    }
}
