//! Bloom filters: for columns with very many values, of which a query wants one.

use arrow_schema::{DataType, Schema};
use ochre_types::ColumnName;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use super::ROW_GROUP_ROWS;

/// How often a filter takes a value for present that is not.
const FALSE_POSITIVES: f64 = 0.01;

/// Lets each row group have a filter of every named column of texts. `rows` bounds what the whole file has: a filter is
/// made for as many values, and folded to what there are.
pub(crate) fn bloom_filters(
    mut builder: WriterPropertiesBuilder,
    schema: &Schema,
    columns: &[ColumnName],
    rows: u64,
) -> WriterPropertiesBuilder {
    let most = rows.clamp(1, ROW_GROUP_ROWS as u64);
    for column in columns {
        let is_text = |data_type: &DataType| match data_type {
            DataType::Utf8 | DataType::Utf8View => true,
            DataType::Dictionary(_, values) => **values == DataType::Utf8,
            _ => false,
        };
        if schema.field_with_name(column.as_str()).is_ok_and(|field| is_text(field.data_type())) {
            let path = ColumnPath::from(column.as_str().to_owned());
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(path, most);
        }
    }
    builder
}
