//! Rules and their history.

use super::{WireError, pb};
use crate::catalog::rules::{MAX_RULES_HISTORY, RulesRecord};

pub(super) fn write(rules: &RulesRecord) -> pb::Rules {
    pb::Rules {
        generation: rules.generation,
        text: rules.text.to_vec(),
        applied_millis: rules.applied_millis,
        applied_by: rules.applied_by.clone(),
        fence: rules.fence,
    }
}

pub(super) fn read(rules: pb::Rules) -> RulesRecord {
    RulesRecord {
        generation: rules.generation,
        text: rules.text.into(),
        applied_millis: rules.applied_millis,
        applied_by: rules.applied_by,
        fence: rules.fence,
    }
}

/// The rules before those in force: these stand in a field of their own, as they always did.
pub(super) fn write_earlier(history: &[RulesRecord]) -> Vec<pb::Rules> {
    let earlier = history.split_last().map_or(&[] as &[RulesRecord], |(_, earlier)| earlier);
    earlier.iter().map(write).collect()
}

/// The history of the rules in force, of those and the ones before them.
pub(super) fn read_history(
    path: &str,
    in_force: Option<&RulesRecord>,
    earlier: Vec<pb::Rules>,
) -> Result<Vec<RulesRecord>, WireError> {
    let history: Vec<RulesRecord> = earlier.into_iter().map(read).chain(in_force.cloned()).collect();
    let rising = history.windows(2).all(|pair| pair[0].generation < pair[1].generation);
    if history.len() > MAX_RULES_HISTORY || !rising || (in_force.is_none() && !history.is_empty()) {
        let reason =
            format!("it is not a rising list of less than {MAX_RULES_HISTORY} generations before the one in force");
        return Err(WireError::value(path, reason));
    }
    Ok(history)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::catalog::state::State;
    use crate::catalog::wire::Content;
    use crate::catalog::{CatalogId, CatalogState, Edit};

    /// Rules as they were written before they had a history: fields 1 and 2 only.
    const FIRST_FORM: &[u8] = b"\x08\x03\x12\x04text";

    fn first_form() -> RulesRecord {
        RulesRecord { generation: 3, text: "text".into(), applied_millis: 0, applied_by: String::new(), fence: None }
    }

    #[test]
    fn rules_of_the_first_form_are_read() {
        assert_eq!(read(pb::Rules::decode(FIRST_FORM).unwrap()), first_form());
        let delta = [b"\x0a\x0a\x52\x08".as_slice(), FIRST_FORM].concat();
        let delta = Content::DatabaseDelta(pb::DatabaseDelta::decode(delta.as_slice()).unwrap());
        assert_eq!(CatalogState::read_edits(delta).unwrap(), [Edit::SetRules(first_form())]);
    }

    #[test]
    fn a_checkpoint_without_a_history_has_that_of_the_rules_in_force() {
        let mut state = CatalogState::new("db".parse().unwrap(), CatalogId(1), ochre_types::Stamp::default());
        state.rules = Some(first_form());
        let read = CatalogState::read(CatalogId(1), state.write()).unwrap();
        assert_eq!((read.rules, read.rules_history), (Some(first_form()), vec![first_form()]));
    }

    #[test]
    fn a_history_that_can_not_be_is_refused() {
        let of = |generation| RulesRecord { generation, ..first_form() };
        let earlier =
            |generations: std::ops::Range<u64>| generations.map(|generation| write(&of(generation))).collect();
        let read =
            |held: Option<u64>, earlier| read_history("here", held.map(of).as_ref(), earlier).map(|list| list.len());
        assert_eq!(read(Some(31), earlier(0..31)), Ok(32));
        for refused in [read(Some(32), earlier(0..32)), read(Some(3), earlier(1..4)), read(None, earlier(1..2))] {
            assert!(refused.unwrap_err().to_string().starts_with("here: it is not a rising list of less than 32"));
        }
    }
}
