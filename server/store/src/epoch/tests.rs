//! Claims and fences.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ochre_doubles::disk::SimDisk;
use ochre_doubles::objects::{ObjectFault, SimObjects};
use ochre_env::Env;
use ochre_types::NodeId;

use super::*;
use crate::object::Layout;
use crate::object::paused::env;

struct Bench {
    env: Env,
    objects: SimObjects,
    store: Arc<dyn ObjectStore>,
    layout: Layout,
}

impl Bench {
    fn new() -> Self {
        let env = env(&SimDisk::new(1));
        let objects = SimObjects::new(env.clock.clone(), 1);
        let store: Arc<dyn ObjectStore> = Arc::new(objects.clone());
        Self { env, objects, store, layout: Layout::new(&Path::default(), &NodeId::new("a").unwrap()) }
    }

    async fn claim(&self, incarnation: u64) -> Result<Fence, ClaimError> {
        claim(&self.store, &self.layout, &self.env, Incarnation(incarnation)).await
    }
}

#[tokio::test(start_paused = true)]
async fn epochs_are_numbered_without_gaps_and_say_who_has_them() {
    let bench = Bench::new();
    assert_eq!(current(&bench.store, &bench.layout, &bench.env).await.unwrap(), None);
    for number in 1..=3 {
        let fence = bench.claim(number + 100).await.unwrap();
        assert_eq!(fence.epoch(), Epoch(number));
        let record = current(&bench.store, &bench.layout, &bench.env).await.unwrap().unwrap();
        assert_eq!(&record, fence.record());
        assert_eq!(
            (record.incarnation, record.version.as_str()),
            (Incarnation(number + 100), env!("CARGO_PKG_VERSION"))
        );
    }
    let names: Vec<_> = bench.objects.paths().await.iter().map(ToString::to_string).collect();
    assert_eq!(names, [1, 2, 3].map(|number| format!("a/epoch/{number:020}")));
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_ours() {
    let bench = Bench::new();
    // The first operation is the listing, the second the put.
    bench.objects.fail_at(2, ObjectFault::LostAnswer);
    assert_eq!(bench.claim(1).await.unwrap().epoch(), Epoch(1));
    assert_eq!(bench.objects.paths().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn claims_at_the_same_time_get_different_epochs() {
    let bench = Bench::new();
    let fences = futures::future::join_all((1..=5).map(|incarnation| bench.claim(incarnation))).await;
    let mut epochs: Vec<_> = fences.into_iter().map(|fence| fence.unwrap().epoch().0).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_in_vain_fences_nobody_when_it_arrives_late() {
    let bench = Bench::new();
    for put in 2..=6 {
        bench.objects.fail_at(put, ObjectFault::Late);
    }
    assert!(matches!(bench.claim(1).await, Err(ClaimError::Store { .. })));
    let fence = bench.claim(2).await.unwrap();
    assert_eq!(bench.objects.deliver_late().await, 0, "its number is taken");
    tokio::time::advance(Duration::from_secs(11)).await;
    fence.ensure_held().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_watch_finds_the_successor_within_seconds() {
    let bench = Bench::new();
    let old = bench.claim(1).await.unwrap();
    let watching = old.clone();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    bench.env.tasks.spawn("watch", async move {
        drop(sender.send(watching.watch().await));
    });
    bench.env.clock.sleep(Duration::from_secs(60)).await;
    old.check_held().unwrap();
    let new = bench.claim(2).await.unwrap();
    let before = bench.env.clock.monotonic();
    let fenced = receiver.await.unwrap();
    assert!(bench.env.clock.monotonic() - before <= Duration::from_secs(10));
    assert_eq!((fenced.ours, fenced.by, fenced.by_incarnation), (Epoch(1), Epoch(2), Some(Incarnation(2))));
    assert_eq!(old.check_held(), Err(fenced.clone()));
    assert_eq!(old.ensure_held().await, Err(fenced.clone()));
    assert_eq!(old.fallen().await, fenced);
    assert!(fenced.to_string().starts_with(
        "a belongs to epoch 2 (incarnation 0000000000000002) now; this server's epoch 1 (incarnation 0000000000000001) is over"
    ));
    new.ensure_held().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn before_an_acknowledgement_it_looks_only_after_a_pause() {
    let bench = Bench::new();
    let old = bench.claim(1).await.unwrap();
    let operations = bench.objects.operations();
    for _ in 0..100 {
        old.ensure_held().await.unwrap();
    }
    assert_eq!(bench.objects.operations(), operations, "no look while the last one is fresh");
    bench.claim(2).await.unwrap();
    old.ensure_held().await.unwrap();
    tokio::time::advance(Duration::from_millis(10_001)).await;
    assert_eq!(old.ensure_held().await.unwrap_err().by, Epoch(2));
}

#[tokio::test(start_paused = true)]
async fn a_store_out_of_reach_fences_nobody_and_does_not_slow_down_every_acknowledgement() {
    let bench = Bench::new();
    let fence = bench.claim(1).await.unwrap();
    bench.objects.pause(true);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let before = bench.env.clock.monotonic();
    for _ in 0..10 {
        fence.ensure_held().await.unwrap();
    }
    assert_eq!((bench.env.clock.monotonic() - before).as_secs(), 2, "one look, given up after its limit");
    bench.objects.pause(false);
    bench.claim(2).await.unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    fence.ensure_held().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_named_but_can_be_passed_over() {
    let bench = Bench::new();
    let old = bench.claim(1).await.unwrap();
    bench.claim(2).await.unwrap();
    let path = bench.layout.epoch(Epoch(2));
    let whole = bench.objects.memory().get(&path).await.unwrap().bytes().await.unwrap();
    let half = whole.len() / 2;
    let sound = current(&bench.store, &bench.layout, &bench.env).await.unwrap();
    for offset in 0..half {
        bench.objects.flip(&path, offset, 0x10).await.unwrap();
        assert_eq!(current(&bench.store, &bench.layout, &bench.env).await.unwrap(), sound, "it has another copy");
        bench.objects.flip(&path, half + offset, 0x10).await.unwrap();
        let error = current(&bench.store, &bench.layout, &bench.env).await.unwrap_err();
        assert!(matches!(&error, ClaimError::Damaged { object, .. } if *object == path.to_string()), "{error}");
        bench.objects.flip(&path, offset, 0x10).await.unwrap();
        assert_eq!(current(&bench.store, &bench.layout, &bench.env).await.unwrap(), sound, "it has another copy");
        bench.objects.flip(&path, half + offset, 0x10).await.unwrap();
    }
    bench.objects.flip(&path, 0, 1).await.unwrap();
    bench.objects.flip(&path, half, 1).await.unwrap();
    assert_eq!(bench.claim(3).await.unwrap().epoch(), Epoch(3));
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(old.ensure_held().await.unwrap_err().by_incarnation, None, "it fences all the same");
}
