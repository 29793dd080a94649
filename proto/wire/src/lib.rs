//! The contract on the wire: `ochre/v1/*.proto`, the code that is generated from it, and the way between its messages
//! and the types of [`ochre_types`].
//!
//! ```text
//!   bytes <--prost--> v1::Rules ---> document::Node --Document::from_tree--> (Target, Rules)
//!                         ^                                                         |
//!                         '-------------------- every field ------------------------'
//!   v1::CreateTokenRequest ---> token::NewToken        v1::TokenInfo <---> token::Token
//!   v1::RuleChange <---> rules::Change                 v1::DatabaseInfo <---> database::Database
//! ```
//!
//! # Invariants
//!
//! 1. What arrives is parsed into a type that can't be wrong, or refused with [`Invalid`], which names the field by its
//!    dotted path.
//! 2. Rules have one reader, `ochre_types::rules::document`: a message becomes the tree that YAML becomes as well, so
//!    that both forms allow the same and say the same about mistakes.
//! 3. An enumerator that this version does not know is refused, never taken for a default.
//!
//! # Left to others
//!
//! Connections, deadlines and retries (`ochre-client`), services and permissions (the server).

mod change;
pub mod database;
mod document;
mod invalid;
pub mod name;
mod rules;
pub mod time;
pub mod token;
mod unknown;

pub use invalid::Invalid;
pub use unknown::unknown_fields;

/// The messages and services of `ochre.v1`, generated.
#[allow(missing_docs, unused_qualifications, clippy::all, rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]
pub mod v1 {
    tonic::include_proto!("ochre.v1");
}

/// The compiled files of `ochre.v1` and all that they import, for reflection: an encoded
/// `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ochre.v1.descriptors"));

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    #[test]
    fn reflection_has_every_file_that_the_contract_needs() {
        let set = FileDescriptorSet::decode(super::FILE_DESCRIPTOR_SET).unwrap();
        let mut names: Vec<&str> = set.file.iter().map(|file| file.name()).collect();
        names.sort_unstable();
        let expected = [
            "google/protobuf/duration.proto",
            "google/protobuf/timestamp.proto",
            "ochre/v1/management.proto",
            "ochre/v1/rules.proto",
            "ochre/v1/storage.proto",
        ];
        assert_eq!(names, expected);
        let management = set.file.iter().find(|file| file.name() == "ochre/v1/management.proto").unwrap();
        assert_eq!(management.service[0].method.len(), 11);
        let storage = set.file.iter().find(|file| file.name() == "ochre/v1/storage.proto").unwrap();
        assert_eq!(storage.service[0].method.len(), 17);
    }
}
