//! Between the domain and the generated protobuf types: `TryFrom`-like readers that refuse with a dotted path, and
//! writers that cannot fail.

mod chunks;
mod columns;
mod database;
mod node;
mod removal;
mod rules;

use ochre_types::{Hlc, Incarnation, Stamp};

/// The generated types of `proto/catalog.proto`.
#[allow(missing_docs, rustdoc::all, clippy::all, unused_qualifications, reason = "generated")]
pub(super) mod pb {
    include!(concat!(env!("OUT_DIR"), "/ochre.catalog.v1.rs"));
}

pub(super) use pb::revision::Content;

/// Why a sound object could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The body is not the expected protobuf message.
    #[error("the body cannot be decoded: {0}")]
    Protobuf(String),
    /// A field that must be there is not.
    #[error("{path} is missing")]
    Missing {
        /// The field.
        path: String,
    },
    /// A list is longer or shorter than those it runs in parallel with.
    #[error("{path} has {found} entries where {expected} belong")]
    Uneven {
        /// The list.
        path: String,
        /// Its length.
        found: usize,
        /// What the other lists ask for.
        expected: usize,
    },
    /// A value is not allowed.
    #[error("{path}: {reason}")]
    Value {
        /// The field.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl WireError {
    fn missing(path: impl Into<String>) -> Self {
        Self::Missing { path: path.into() }
    }

    pub(super) fn value(path: impl Into<String>, reason: impl ToString) -> Self {
        Self::Value { path: path.into(), reason: reason.to_string() }
    }
}

/// The content that a reader got instead of its own.
fn unexpected(content: &Content, expected: &'static str) -> WireError {
    let found = match content {
        Content::DatabaseDelta(_) => "a database's delta",
        Content::DatabaseCheckpoint(_) => "a database's checkpoint",
        Content::NodeDelta(_) => "a node's delta",
        Content::NodeCheckpoint(_) => "a node's checkpoint",
    };
    WireError::value("content", format!("it is {found}, not {expected}"))
}

fn write_stamp(stamp: Stamp) -> pb::Stamp {
    pb::Stamp { hlc: stamp.hlc.0, incarnation: stamp.incarnation.0 }
}

fn read_stamp(path: &str, stamp: Option<pb::Stamp>) -> Result<Stamp, WireError> {
    let stamp = stamp.ok_or_else(|| WireError::missing(path))?;
    Ok(Stamp { hlc: Hlc(stamp.hlc), incarnation: Incarnation(stamp.incarnation) })
}
