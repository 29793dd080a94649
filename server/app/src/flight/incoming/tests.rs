//! Tests of reading what comes from outside.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, Int64Array, StringArray};
use arrow_flight::SchemaAsIpc;
use arrow_ipc::writer::{DictionaryHandling, DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_schema::Schema;
use bytes::Bytes;
use ochre_types::ByteSize;
use proptest::prelude::*;

use super::*;
use crate::http::budget::Budget;

fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
    let texts = StringArray::from_iter_values(numbers.clone().map(|n| format!("text {n}")));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    RecordBatch::try_from_iter([("n", numbers), ("t", Arc::new(texts))]).unwrap()
}

fn tagged(tags: &[&str]) -> RecordBatch {
    let tags: DictionaryArray<Int32Type> = tags.iter().copied().collect();
    RecordBatch::try_from_iter([("tag", Arc::new(tags) as ArrayRef)]).unwrap()
}

/// The messages of a stream, the schema first.
fn messages(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<FlightData> {
    let (generator, mut tracker) = (IpcDataGenerator::default(), DictionaryTracker::new(false));
    let mut context = IpcWriteContext::default();
    let schema: &Schema = batches[0].schema_ref();
    // Numbers the dictionaries.
    generator.schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options);
    let mut all = vec![FlightData::from(SchemaAsIpc::new(schema, &options))];
    for batch in batches {
        let (dictionaries, rows) = generator.encode(batch, &mut tracker, &options, &mut context).unwrap();
        all.extend(dictionaries.into_iter().map(FlightData::from));
        all.push(FlightData::from(rows));
    }
    all
}

fn budget() -> Budget {
    Budget::new(ByteSize::mib(128))
}

fn read_all(messages: &[FlightData], budget: &Budget) -> Result<Vec<RecordBatch>, Unreadable> {
    let mut incoming = Incoming::default();
    let mut all = Vec::new();
    for message in messages {
        if let Message::Rows(rows) = incoming.read(message, &mut budget.lease())? {
            all.push(rows);
        }
    }
    Ok(all)
}

#[test]
fn rows_come_out_as_they_went_in() {
    let plain = [rows(0..100), rows(100..150), rows(0..0)];
    assert_eq!(read_all(&messages(&plain, IpcWriteOptions::default()), &budget()).unwrap(), plain);
    let zstd = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    assert_eq!(read_all(&messages(&plain, zstd), &budget()).unwrap(), plain);
}

#[test]
fn dictionaries_are_kept_replaced_and_added_to() {
    let tags = [tagged(&["a", "b", "a"]), tagged(&["c"])];
    assert_eq!(read_all(&messages(&tags, IpcWriteOptions::default()), &budget()).unwrap(), tags);
    let growing = [tagged(&["a", "b"]), tagged(&["a", "b", "c"])];
    let delta = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    let back = read_all(&messages(&growing, delta), &budget()).unwrap();
    let texts: Vec<Option<&str>> =
        back[1].column(0).as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap().into_iter().collect();
    assert_eq!(texts, [Some("a"), Some("b"), Some("c")]);
}

#[test]
fn a_message_without_a_header_means_nothing() {
    let mut incoming = Incoming::default();
    let read = incoming.read(&FlightData::new().with_app_metadata("x"), &mut budget().lease());
    assert!(matches!(read, Ok(Message::Other)));
}

#[test]
fn what_comes_out_of_turn_is_refused() {
    let all = messages(&[tagged(&["a"])], IpcWriteOptions::default());
    assert!(matches!(read_all(&all[1..], &budget()), Err(Unreadable::NoSchema)));
    assert!(matches!(read_all(&all[2..], &budget()), Err(Unreadable::NoSchema)));
    assert!(matches!(read_all(&[all[0].clone(), all[0].clone()], &budget()), Err(Unreadable::SchemaAgain)));
    // A dictionary that never came.
    assert!(matches!(read_all(&[all[0].clone(), all[2].clone()], &budget()), Err(Unreadable::Damaged(_))));
    let lz4 = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
    assert!(matches!(read_all(&messages(&[rows(0..1_000)], lz4), &budget()), Err(Unreadable::Lz4)));
    let nonsense = FlightData::new().with_data_header("nonsense");
    assert!(matches!(read_all(&[nonsense], &budget()), Err(Unreadable::Damaged(_))));
}

#[test]
fn memory_is_held_while_rows_and_dictionaries_are() {
    let budget = Budget::new(ByteSize(64 << 10));
    let all = messages(&[rows(0..2_000)], IpcWriteOptions::default());
    let mut incoming = Incoming::default();
    let mut lease = budget.lease();
    incoming.read(&all[0], &mut lease).unwrap();
    incoming.read(&all[1], &mut lease).unwrap();
    // 2,000 numbers and texts are about 45 KiB: they don't fit twice.
    let failed = incoming.read(&all[1], &mut budget.lease()).unwrap_err().failure();
    assert!(failed.is_exhausted, "{failed:?}");
    drop(lease);
    assert!(matches!(incoming.read(&all[1], &mut budget.lease()), Ok(Message::Rows(again)) if again == rows(0..2_000)));

    let long = "x".repeat(40 << 10);
    let all = messages(&[tagged(&[&long])], IpcWriteOptions::default());
    read_all(&all, &budget).unwrap();
    let mut incoming = Incoming::default();
    incoming.read(&all[0], &mut budget.lease()).unwrap();
    incoming.read(&all[1], &mut budget.lease()).unwrap();
    assert!(budget.lease().grow_to(32 << 10).is_err());
    drop(incoming);
    budget.lease().grow_to(64 << 10).unwrap();
}

#[test]
fn a_bomb_is_seen_before_it_goes_off() {
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0_i64; (MESSAGE_LIMIT / 8) + 1]));
    let batch = RecordBatch::try_from_iter([("n", zeros)]).unwrap();
    let zstd = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let mut all = messages(&[batch], zstd);
    assert!(all[1].data_body.len() < 1 << 20);
    let failure = read_all(&all, &budget()).unwrap_err().failure();
    assert_eq!(failure.kind, Kind::TooLarge);
    assert!(failure.message.contains("67108872 bytes"), "{failure}");
    // One that lies about its length is held to it.
    let at = all[1].data_body.windows(8).position(|w| w == 67_108_872_u64.to_le_bytes()).unwrap();
    let mut body = all[1].data_body.to_vec();
    body[at..at + 8].copy_from_slice(&1_000_u64.to_le_bytes());
    all[1].data_body = Bytes::from(body);
    assert!(matches!(read_all(&all, &budget()), Err(Unreadable::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_messages_never_end_the_server(
        message in 0_usize..3,
        in_header in any::<bool>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let zstd = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
        let mut all = messages(&[tagged(&["a", "b", "a"])], zstd);
        let part = if in_header { &mut all[message].data_header } else { &mut all[message].data_body };
        let mut bytes = part.to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
        }
        *part = Bytes::from(bytes);
        // Whatever comes of it, it comes back.
        if let Ok(read) = read_all(&all, &budget()) {
            prop_assert!(read.iter().all(|rows| rows.num_columns() == 1));
        }
    }
}
