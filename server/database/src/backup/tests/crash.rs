//! Broken off after every single operation: a backup is there whole or not at all, and a restore goes on.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_doubles::objects::{ObjectFault, SimObjects};
use ochre_store::object::Layout;
use ochre_types::NodeId;

use super::prefix::{Prefix, without_identity};
use crate::backup::{Unwatched, create, list, restore, unfinished, verify};

/// Operations after which everything fails; far more than there are.
const OPERATIONS: u64 = 200;

async fn small(largest: usize) -> Prefix {
    let mut prefix = Prefix::with(&["one", "two"]).await;
    for (database, size) in [("one", 10), ("one", largest), ("two", 5)] {
        prefix.add_chunk(database, size, true).await;
    }
    prefix
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_there_whole_or_not_at_all() {
    let mut whole = 0;
    for crash in 1..OPERATIONS {
        let prefix = small(9 << 20).await;
        let target = prefix.target();
        for operation in crash + 1..crash + 500 {
            prefix.target.fail_at(operation, ObjectFault::Refused);
        }
        let made = create(&prefix.source(), &target, &[], &Unwatched).await;
        let complete = prefix.target.faults() == 0;
        assert!(!complete || made.is_ok());
        // The crashed one's successor.
        let next = SimObjects::clone(&prefix.target);
        while next.operations() < crash + 500 {
            drop(next.list_with_delimiter(None).await);
        }
        let (found, damaged) = list(&target).await.unwrap();
        assert!(damaged.is_empty() && found.len() <= 1, "{damaged:?}");
        for manifest in &found {
            whole += 1;
            assert_eq!(verify(&target, manifest, &Unwatched).await.unwrap().damaged, vec![], "after {crash}");
        }
        let again = prefix.backup().await;
        assert_eq!(verify(&target, &again, &Unwatched).await.unwrap().files, 3);
        if complete {
            assert!(crash > 10 && whole >= 1);
            return;
        }
    }
    panic!("it never came to its end");
}

#[tokio::test(start_paused = true)]
async fn a_backup_outlives_answers_that_are_lost() {
    for lost in 1..60 {
        let prefix = small(2_000).await;
        prefix.target.fail_at(lost, ObjectFault::LostAnswer);
        prefix.objects.fail_at(prefix.objects.operations() + lost, ObjectFault::LostAnswer);
        let manifest = prefix.backup().await;
        assert_eq!(verify(&prefix.target(), &manifest, &Unwatched).await.unwrap().damaged, vec![]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_was_broken_off_is_not_served_and_goes_on() {
    let prefix = small(2_000).await;
    let (manifest, target) = (prefix.backup().await, prefix.target());
    let expected = without_identity(prefix.expected().await);
    let layout = Layout::new(&Path::default(), &NodeId::new("b").unwrap());
    for crash in 0..OPERATIONS {
        let to = SimObjects::new(prefix.env.clock.clone(), 5);
        let objects: Arc<dyn ObjectStore> = Arc::new(to.clone());
        for operation in crash + 1..crash + 500 {
            to.fail_at(operation, ObjectFault::Refused);
        }
        let done = restore(&target, &manifest, &[], &objects, &layout, &Unwatched).await;
        let complete = to.faults() == 0;
        assert_eq!(done.is_ok(), complete, "after {crash}");
        while to.operations() < crash + 500 {
            drop(to.list_with_delimiter(None).await);
        }
        let noted = unfinished(&objects, &layout, &prefix.env.clock).await.unwrap();
        let there = to.paths().await;
        if noted.is_none() {
            assert!(complete || there.is_empty(), "after {crash}, {there:?} could be served");
        } else {
            assert_eq!(noted, Some(manifest.id.to_string()));
            restore(&target, &manifest, &[], &objects, &layout, &Unwatched).await.unwrap();
        }
        if !there.is_empty() {
            assert_eq!(without_identity(prefix.restored(&to, "b").await.1), expected, "after {crash}");
        }
        if complete {
            assert!(crash > 20);
            return;
        }
    }
    panic!("it never came to its end");
}
