//! Reads the messages of a `DoPut`: Arrow IPC from outside, of which nothing is trusted.
//!
//! What a message will take in memory is known before it is decoded, and taken from a [`Lease`].

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_flight::FlightData;
use arrow_ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{CompressionType, MessageHeader, root_as_message};
use arrow_schema::SchemaRef;
use tonic::Status;

use crate::grpc::MESSAGE_LIMIT;
use crate::grpc::status;
use crate::http::budget::Lease;
use crate::http::failure::{Failure, Kind};

/// What a message was.
#[derive(Debug)]
pub enum Message {
    /// Rows.
    Rows(RecordBatch),
    /// Something that rows need, or nothing.
    Other,
}

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no Arrow IPC.
    #[error("a message of the stream is no Arrow IPC message: {0}")]
    Damaged(String),
    /// The schema is to come first.
    #[error("rows came before their schema: begin the stream with the schema message")]
    NoSchema,
    /// The schema is to come once.
    #[error("a second schema came: all batches of a stream have one schema, so begin another stream")]
    SchemaAgain,
    /// A tensor or the like.
    #[error("a message of the kind {0} came: send a schema, dictionaries and record batches")]
    Foreign(&'static str),
    /// A compression whose result can't be bounded.
    #[error("the buffers are compressed with LZ4: send them as they are, or compressed with ZSTD")]
    Lz4,
    /// It is larger than a message may be, or becomes so.
    #[error(
        "a message holds {bytes} bytes, decompressed, and at most {MESSAGE_LIMIT} are allowed: send smaller batches"
    )]
    TooLarge {
        /// The bytes that it holds.
        bytes: usize,
    },
    /// There is no memory for it at the moment.
    #[error(transparent)]
    NoMemory(Failure),
}

impl Unreadable {
    fn damaged(error: impl std::fmt::Display) -> Self {
        Self::Damaged(error.to_string())
    }

    /// The same as a failure.
    pub fn failure(self) -> Failure {
        match self {
            Self::NoMemory(failure) => failure,
            Self::TooLarge { .. } => Failure::new(Kind::TooLarge, self.to_string()),
            _ => Failure::invalid(self.to_string()),
        }
    }
}

impl From<Unreadable> for Status {
    fn from(error: Unreadable) -> Self {
        status::status(&error.failure())
    }
}

/// What is kept from message to message of one stream.
#[derive(Debug, Default)]
pub struct Incoming {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// The memory of each dictionary, and how much that is.
    held: BTreeMap<i64, (Lease, usize)>,
}

impl Incoming {
    /// Reads the next message. `lease` grows by what its rows take; the caller holds it until they are done with.
    /// Where there is no memory nothing has changed, so that the same message can be read again.
    pub fn read(&mut self, data: &FlightData, lease: &mut Lease) -> Result<Message, Unreadable> {
        // The library takes the offsets within a message for granted, and panics over wrong ones.
        catch_unwind(AssertUnwindSafe(|| self.decode(data, lease)))
            .unwrap_or_else(|_| Err(Unreadable::Damaged("its parts contradict each other".to_owned())))
    }

    fn decode(&mut self, data: &FlightData, lease: &mut Lease) -> Result<Message, Unreadable> {
        if data.data_header.is_empty() {
            // Metadata alone, or a descriptor.
            return Ok(Message::Other);
        }
        let message = root_as_message(&data.data_header).map_err(Unreadable::damaged)?;
        match message.header_type() {
            MessageHeader::NONE => {}
            MessageHeader::Schema if self.schema.is_some() => return Err(Unreadable::SchemaAgain),
            MessageHeader::Schema => {
                let schema = try_schema_from_flatbuffer_bytes(&data.data_header).map_err(Unreadable::damaged)?;
                self.schema = Some(Arc::new(schema));
            }
            MessageHeader::DictionaryBatch => {
                let dictionary = message.header_as_dictionary_batch().ok_or_else(headless)?;
                self.dictionary(data, dictionary, message.version(), lease)?;
            }
            MessageHeader::RecordBatch => {
                let rows = message.header_as_record_batch().ok_or_else(headless)?;
                let schema = self.schema.clone().ok_or(Unreadable::NoSchema)?;
                grow(lease, decoded_bytes(&rows, &data.data_body)?)?;
                let body = Buffer::from(data.data_body.clone());
                let rows = read_record_batch(&body, rows, schema, &self.dictionaries, None, &message.version());
                return rows.map(Message::Rows).map_err(Unreadable::damaged);
            }
            other => return Err(Unreadable::Foreign(other.variant_name().unwrap_or("unknown"))),
        }
        Ok(Message::Other)
    }

    fn dictionary(
        &mut self,
        data: &FlightData,
        dictionary: arrow_ipc::DictionaryBatch<'_>,
        version: arrow_ipc::MetadataVersion,
        lease: &Lease,
    ) -> Result<(), Unreadable> {
        let schema = self.schema.as_ref().ok_or(Unreadable::NoSchema)?;
        let values = dictionary.data().ok_or_else(headless)?;
        let before = match self.held.get(&dictionary.id()) {
            Some((_, bytes)) if dictionary.isDelta() => *bytes,
            _ => 0,
        };
        let bytes = bounded(before.saturating_add(decoded_bytes(&values, &data.data_body)?))?;
        let mut held = lease.fresh();
        grow(&mut held, bytes)?;
        let body = Buffer::from(data.data_body.clone());
        read_dictionary(&body, dictionary, schema, &mut self.dictionaries, &version).map_err(Unreadable::damaged)?;
        self.held.insert(dictionary.id(), (held, bytes));
        Ok(())
    }
}

fn headless() -> Unreadable {
    Unreadable::Damaged("its header is not of the kind that it says".to_owned())
}

fn grow(lease: &mut Lease, bytes: usize) -> Result<(), Unreadable> {
    lease.grow_to(bytes).map_err(Unreadable::NoMemory)
}

fn bounded(bytes: usize) -> Result<usize, Unreadable> {
    if bytes > MESSAGE_LIMIT { Err(Unreadable::TooLarge { bytes }) } else { Ok(bytes) }
}

/// What the buffers of a message take once decompressed. Compressed ones say so in their first 8 bytes, and ZSTD is
/// held to it; -1 there means that the rest is as it is.
fn decoded_bytes(rows: &arrow_ipc::RecordBatch<'_>, body: &[u8]) -> Result<usize, Unreadable> {
    let codec = rows.compression().map(|compression| compression.codec());
    if codec == Some(CompressionType::LZ4_FRAME) {
        return Err(Unreadable::Lz4);
    }
    let mut total = 0_usize;
    for buffer in rows.buffers().iter().flatten() {
        let within = || {
            let start = usize::try_from(buffer.offset()).ok()?;
            body.get(start..start.checked_add(usize::try_from(buffer.length()).ok()?)?)
        };
        let bytes = within().ok_or_else(|| Unreadable::damaged("a buffer lies outside of its body"))?;
        let decoded = match (codec, bytes.first_chunk::<8>()) {
            (Some(_), Some(prefix)) => match i64::from_le_bytes(*prefix) {
                -1 => bytes.len(),
                length => usize::try_from(length).map_err(|_| Unreadable::damaged("a buffer has a length below 0"))?,
            },
            _ => bytes.len(),
        };
        total = bounded(total.saturating_add(decoded))?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
