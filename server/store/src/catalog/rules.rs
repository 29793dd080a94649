//! Rules as they were applied, and those before them.

use bytes::Bytes;

use super::state::EditError;

/// The generations of rules that are kept, the one in force included.
pub const MAX_RULES_HISTORY: usize = 32;

/// Rules as they were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesRecord {
    /// Rises with every change.
    pub generation: u64,
    /// Not interpreted here.
    pub text: Bytes,
    /// When they were applied, in milliseconds since 1970-01-01 UTC by the wall clock; 0 if that is not known.
    pub applied_millis: u64,
    /// Who applied them, for people; empty if that is not known.
    pub applied_by: String,
    /// The fence that was given with them.
    pub fence: Option<u64>,
}

/// The rules in force become `rules`, unless they are of a generation that is not above the one held; the same rules
/// again change nothing. `history` keeps the last [`MAX_RULES_HISTORY`] that were in force, the present ones included.
pub(super) fn replace(
    held: &mut Option<RulesRecord>,
    history: &mut Vec<RulesRecord>,
    rules: &RulesRecord,
) -> Result<(), EditError> {
    match held {
        Some(held) if held == rules => return Ok(()),
        Some(held) if held.generation >= rules.generation => {
            return Err(EditError::StaleRules { given: rules.generation, held: held.generation });
        }
        _ => {}
    }
    *held = Some(rules.clone());
    history.push(rules.clone());
    history.drain(..history.len().saturating_sub(MAX_RULES_HISTORY));
    Ok(())
}
