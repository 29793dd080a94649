//! What the footer of a chunk's object says of it, for whoever verifies objects or finds them without a catalog.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_env::Compute;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};

/// The end of every Parquet file: the length of the metadata and the magic.
const TAIL: u64 = 8;
/// A longer footer is no footer of ours.
const LONGEST: u64 = 64 << 20;

/// What a footer says.
#[derive(Debug, Clone)]
pub struct Footer {
    /// Rows of the file.
    pub rows: u64,
    /// Its key-value metadata: what Ochre knows of the chunk stands under names that begin with `ochre.`.
    pub metadata: BTreeMap<String, String>,
    /// All of it.
    pub parquet: Arc<ParquetMetaData>,
}

/// Why a footer can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    /// The store did not answer, or refused.
    #[error("reading {object}: {source}")]
    Store {
        /// The object.
        object: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// It is no footer of a Parquet file.
    #[error("{object} has no readable Parquet footer: {reason}")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the footer of an object of `size` bytes.
///
/// # Errors
/// If the store does not answer, or the footer can't be read; a panic of the reader over damaged bytes counts as that.
pub async fn read_footer(
    store: &Arc<dyn ObjectStore>,
    compute: &Compute,
    path: &Path,
    size: u64,
) -> Result<Footer, FooterError> {
    let damaged = |reason: String| FooterError::Damaged { object: path.to_string(), reason };
    if size < TAIL {
        return Err(damaged(format!("it has {size} bytes, fewer than the end of a Parquet file")));
    }
    let read = |range| async { store.get_range(path, range).await };
    let failed = |source| FooterError::Store { object: path.to_string(), source };
    let tail = read(size - TAIL..size).await.map_err(failed)?;
    let tail = <[u8; TAIL as usize]>::try_from(&tail[..]).map_err(|_| damaged("it ended early".to_owned()))?;
    let length = FooterTail::try_new(&tail).map_err(|error| damaged(error.to_string()))?.metadata_length() as u64;
    if length > LONGEST || length > size - TAIL {
        return Err(damaged(format!("its metadata would have {length} bytes")));
    }
    let bytes = read(size - TAIL - length..size - TAIL).await.map_err(failed)?;
    let decoded = compute.run(move || decode(&bytes)).await;
    let parquet = decoded.map_err(damaged)?;
    let file = parquet.file_metadata();
    let pairs = file.key_value_metadata().into_iter().flatten();
    let metadata = pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect();
    let rows = u64::try_from(file.num_rows()).map_err(|_| damaged("its number of rows is negative".to_owned()))?;
    Ok(Footer { rows, metadata, parquet: Arc::new(parquet) })
}

fn decode(bytes: &Bytes) -> Result<ParquetMetaData, String> {
    let decode = AssertUnwindSafe(|| ParquetMetaDataReader::decode_metadata(bytes));
    match catch_unwind(decode) {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(_) => Err("the reader panicked over it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, RecordBatch};
    use object_store::memory::InMemory;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;

    use super::*;

    fn file() -> Vec<u8> {
        let values = Arc::new(Int64Array::from_iter_values(0..500));
        let batch = RecordBatch::try_from_iter([("time", values as arrow_array::ArrayRef)]).unwrap();
        let chunk = KeyValue::new("ochre.chunk".to_owned(), "0000000000000007-1".to_owned());
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![chunk])).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[tokio::test]
    async fn a_footer_is_read_and_a_flipped_byte_of_it_panics_nobody() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (path, compute) = (Path::from("chunk.parquet"), Compute::inline());
        let original = file();
        let size = original.len() as u64;
        store.put(&path, original.clone().into()).await.unwrap();
        let footer = read_footer(&store, &compute, &path, size).await.unwrap();
        assert_eq!((footer.rows, footer.metadata["ochre.chunk"].as_str()), (500, "0000000000000007-1"));
        let length = u32::from_le_bytes(original[original.len() - 8..original.len() - 4].try_into().unwrap()) as usize;
        let mut refused = 0;
        for at in original.len() - 8 - length..original.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut bytes = original.clone();
                bytes[at] ^= mask;
                store.put(&path, bytes.into()).await.unwrap();
                match read_footer(&store, &compute, &path, size).await {
                    Ok(_) => {}
                    Err(error) => {
                        assert!(error.to_string().contains("chunk.parquet"), "byte {at}: {error}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > length / 2, "{refused}");
    }
}
