//! Why rules were not applied or shown.

use ochre_types::DatabaseName;
use ochre_types::rules::Problems;

/// Why rules were not applied or shown. Nothing has changed, but for [`RulesError::Catalog`], after which it is not
/// known whether it has.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The document is not right.
    #[error("{0}")]
    Invalid(Problems),
    /// The database does not exist.
    #[error("database not found: {:?}", .0.as_str())]
    UnknownDatabase(DatabaseName),
    /// The database could not be opened when the server started.
    #[error("database {name} is not served: {reason}")]
    NotServed {
        /// The database.
        name: DatabaseName,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else applied rules in between.
    #[error(
        "the rules in force are of generation {held}, and generation {expected} was expected: look at the change, and apply again"
    )]
    GenerationIs {
        /// The generation that the caller expected.
        expected: u64,
        /// The generation in force.
        held: u64,
    },
    /// A newer coordinator has spoken to this server.
    #[error("fence {given} is below {held}, which was presented before: another coordinator is in charge now")]
    Fenced {
        /// The fence given.
        given: u64,
        /// The highest fence ever presented.
        held: u64,
    },
    /// The generation is not in the history any more, or not yet.
    #[error(
        "the rules of {target} of generation {generation} are not kept: the oldest that are have generation {oldest}"
    )]
    NotKept {
        /// Whose rules.
        target: String,
        /// The generation asked for.
        generation: u64,
        /// The oldest generation that is kept, beside 0, the server's defaults.
        oldest: u64,
    },
    /// The data that is there stands against the rules.
    #[error("{0}")]
    Contradicted(Problems),
    /// A document in the catalog can't be read, as one of a newer release.
    #[error("the rules of {target} of generation {generation} can't be read by this release: {problems}")]
    Unreadable {
        /// Whose rules.
        target: String,
        /// Their generation.
        generation: u64,
        /// What was not understood.
        problems: Problems,
    },
    /// The server is stopping.
    #[error("the server is stopping: apply the rules again once it is back")]
    Stopping,
    /// The catalog did not take the change, or did not say so. Applying the same again is safe.
    #[error("the catalog did not take the rules: {0}; apply them again")]
    Catalog(String),
}

impl RulesError {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Catalog(_) | Self::Stopping)
    }
}
