//! Fields of a message that this release does not know.
//!
//! Protobuf's readers drop them without a word. In a request that is how half of what somebody asked for gets lost, when
//! a newer program speaks to an older server; so servers look for them first.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message;
use prost::bytes::Buf;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Messages within messages are looked into up to here; deeper than any that this package has.
const MAX_DEPTH: usize = 32;
/// Fields that are named.
const MAX_FOUND: usize = 20;

/// A field: its name, and the type of the messages in it.
type Field = (String, Option<String>);

/// What can be in the messages of this package.
#[derive(Default)]
struct Index {
    /// Fields by number, by full message name.
    messages: BTreeMap<String, BTreeMap<u64, Field>>,
    /// The name of the request, by path such as `/ochre.v1.Management/GetStatus`.
    requests: BTreeMap<String, String>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET);
    Index::of(&set.expect("the descriptors were encoded when this was compiled"))
});

impl Index {
    fn of(set: &FileDescriptorSet) -> Self {
        let mut index = Self::default();
        for file in &set.file {
            for message in &file.message_type {
                index.add(&format!(".{}", file.package()), message);
            }
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    index.requests.insert(path, method.input_type().to_owned());
                }
            }
        }
        index
    }

    fn add(&mut self, within: &str, message: &DescriptorProto) {
        let name = format!("{within}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add(&name, nested));
        // An enumeration has a type name, too; it is not among the messages.
        let fields = message.field.iter().filter_map(|field| {
            Some((u64::try_from(field.number()).ok()?, (field.name().to_owned(), field.type_name.clone())))
        });
        let fields = fields.collect();
        self.messages.insert(name, fields);
    }

    fn look(&self, mut bytes: &[u8], message: &str, path: &str, depth: usize, found: &mut Vec<String>) -> Option<()> {
        let fields = self.messages.get(message)?;
        while bytes.has_remaining() && found.len() < MAX_FOUND {
            let key = prost::encoding::decode_varint(&mut bytes).ok()?;
            let content = content(key & 7, &mut bytes)?;
            match fields.get(&(key >> 3)) {
                None => found.push(format!("{path}#{}", key >> 3)),
                Some((name, Some(inner))) if depth < MAX_DEPTH && key & 7 == 2 => {
                    // What is wrong within is the decoder's to say.
                    let _malformed = self.look(content, inner, &format!("{path}{name}."), depth + 1, found);
                }
                Some(_) => {}
            }
        }
        Some(())
    }
}

/// The bytes of a field's value, which are passed over; `None` if it is malformed.
fn content<'a>(wire_type: u64, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = match wire_type {
        0 => {
            prost::encoding::decode_varint(bytes).ok()?;
            0
        }
        1 => 8,
        2 => usize::try_from(prost::encoding::decode_varint(bytes).ok()?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(content)
}

/// The fields of a request that this release does not know, at most 20, each with the path to it and its number, such as
/// `rules.lifecycle.#15`. `method` is the path of the call. None of a method that is not known, or of bytes that are no
/// message: others say so.
pub fn unknown_fields(method: &str, request: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(message) = INDEX.requests.get(method) {
        let _malformed = INDEX.look(request, message, "", 0, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;
    use crate::v1::apply_rules_request::Source;

    const APPLY: &str = "/ochre.v1.Management/ApplyRules";

    fn request() -> v1::ApplyRulesRequest {
        let columns = [("usage".to_owned(), v1::ColumnKind::Float.into())].into();
        let buffer = v1::BufferRules { freeze_rows: Some(7), ..Default::default() };
        let tag = v1::partition_part::Part::Tag("a".to_owned());
        let rule = v1::PartitionRule { tables: "*".to_owned(), by: vec![v1::PartitionPart { part: Some(tag) }] };
        let rules = v1::Rules { columns, buffer: Some(buffer), partition: vec![rule], ..Default::default() };
        v1::ApplyRulesRequest { source: Some(Source::Rules(rules)), fence: Some(1), ..Default::default() }
    }

    /// A field of one message, of text.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend(content);
        bytes
    }

    #[test]
    fn what_is_known_is_passed_over() {
        assert_eq!(unknown_fields(APPLY, &request().encode_to_vec()), Vec::<String>::new());
        assert_eq!(unknown_fields("/ochre.v1.Management/Unheard", &field(9, b"x")), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_known_is_named_wherever_it_is() {
        let mut bytes = request().encode_to_vec();
        bytes.extend(field(15, b"later"));
        // rules (2) { lifecycle (6) { 15 } }, and rules (2) { a map's entry (3) { 9 } }
        bytes.extend(field(2, &field(6, &field(15, b"30d"))));
        bytes.extend(field(2, &field(3, &field(9, b""))));
        assert_eq!(unknown_fields(APPLY, &bytes), ["#15", "rules.lifecycle.#15", "rules.columns.#9"]);
    }

    #[test]
    fn any_bytes_are_taken() {
        for length in 0..300 {
            let bytes: Vec<u8> = (0..length).map(|i: u32| (i * 37 % 251) as u8).collect();
            assert!(unknown_fields(APPLY, &bytes).len() <= MAX_FOUND);
        }
        assert_eq!(unknown_fields(APPLY, &field(15, b"").repeat(50)).len(), MAX_FOUND);
    }
}
