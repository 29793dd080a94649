//! Named parameters: `$name` in SQL, a JSON scalar beside it.

use std::collections::{BTreeMap, HashMap};

use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use serde_json::Value;

/// The parameters that one query may have.
pub const MAX_PARAMS: usize = 1_000;

/// Why parameters were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// A value is an array or an object.
    #[error("parameter {0:?} is an array or an object: give text, a number, true, false or null")]
    NotScalar(String),
    /// A number fits neither 64 bits nor a double.
    #[error("parameter {0:?} is a number that 64 bits can't hold: give it as text")]
    Number(String),
    /// There are too many.
    #[error("a query has {0} parameters: at most {MAX_PARAMS} are allowed")]
    TooMany(usize),
}

/// The values of a query's parameters, by name without the `$`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    values: BTreeMap<String, Value>,
}

impl Params {
    /// Takes named JSON scalars. A `$` before a name is dropped.
    pub fn new(values: impl IntoIterator<Item = (String, Value)>) -> Result<Self, ParamError> {
        let mut params = Self::default();
        for (name, value) in values {
            let name = name.strip_prefix('$').unwrap_or(&name).to_owned();
            scalar(&name, &value)?;
            params.values.insert(name, value);
        }
        match params.values.len() {
            count if count > MAX_PARAMS => Err(ParamError::TooMany(count)),
            _ => Ok(params),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn to_datafusion(&self) -> Result<ParamValues, ParamError> {
        let values: Result<HashMap<String, ScalarAndMetadata>, ParamError> = self
            .values
            .iter()
            .map(|(name, value)| Ok((name.clone(), ScalarAndMetadata::from(scalar(name, value)?))))
            .collect();
        Ok(ParamValues::Map(values?))
    }
}

/// Whole numbers become `Int64` where they fit, else `UInt64`; others `Float64`.
fn scalar(name: &str, value: &Value) -> Result<ScalarValue, ParamError> {
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(value) => Ok(ScalarValue::Boolean(Some(*value))),
        Value::String(text) => Ok(ScalarValue::Utf8(Some(text.clone()))),
        Value::Number(number) => (number.as_i64().map(|n| ScalarValue::Int64(Some(n))))
            .or_else(|| number.as_u64().map(|n| ScalarValue::UInt64(Some(n))))
            .or_else(|| number.as_f64().map(|n| ScalarValue::Float64(Some(n))))
            .ok_or_else(|| ParamError::Number(name.to_owned())),
        Value::Array(_) | Value::Object(_) => Err(ParamError::NotScalar(name.to_owned())),
    }
}
