//! Scrubbing, setting aside, taking back, orphans, and repairing a catalog.

#![allow(clippy::disallowed_methods, reason = "a test with the machine's clock")]

use std::time::Duration;

use futures::TryStreamExt;
use ochre_store::object::Layout;

use super::*;
use crate::operations::{Operation, OperationState};
use crate::repair::{Place, repair};
use crate::scrub::ScrubOrder;

/// A node that collects and takes for orphans whatever is a millisecond old.
async fn hasty(objects: &Objects, dir: &FilePath) -> (std::sync::Arc<Node>, Env) {
    let env = Env::system();
    let mut rules = Rules::default();
    rules.lifecycle.grace = Duration::ZERO;
    let config = NodeConfig {
        node_id: "a".parse().unwrap(),
        prefix: Path::default(),
        log: LogHome::Disk(dir.to_owned()),
        memory: ByteSize::mib(256),
        resources: Default::default(),
        rules,
        auto_create: true,
        spill_dir: None,
        query_threads: 1,
        checkpoints: Checkpoints::default(),
    };
    (Node::open(env.clone(), objects.clone(), config).await.unwrap(), env)
}

async fn scrub(node: &std::sync::Arc<Node>, set_aside: bool, remove_orphans: bool) -> Operation {
    let order = ScrubOrder { database: None, remove_orphans, set_aside, by: String::new() };
    let begun = node.scrub(order).unwrap();
    let ended = node.operations().wait(&begun.id, Duration::from_secs(30)).await.unwrap();
    assert_eq!(ended.state, OperationState::Done, "{ended:?}");
    ended
}

async fn parquet(objects: &Objects) -> Vec<Path> {
    let listed: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut paths: Vec<Path> = listed.into_iter().map(|object| object.location).collect();
    paths.retain(|path| path.as_ref().ends_with(".parquet"));
    paths.sort();
    paths
}

async fn flip(objects: &Objects, path: &Path, places: &[usize]) {
    let mut bytes = objects.get(path).await.unwrap().bytes().await.unwrap().to_vec();
    places.iter().for_each(|at| bytes[*at] ^= 1);
    objects.put(path, bytes.into()).await.unwrap();
}

fn rows(node: &Node) -> Vec<u64> {
    let snapshot = node.database(&name("metrics")).unwrap().buffer.snapshot("cpu").unwrap();
    snapshot.chunks.iter().map(|chunk| chunk.rows).collect()
}

const TWO_DAYS: &str = "cpu usage=1 1\ncpu usage=2 86400000000001\ncpu usage=3 86400000000002\n";

#[tokio::test]
async fn damaged_chunks_are_set_aside_over_restarts_and_come_back() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = open(&objects, dir.path()).await;
    write(&node, "metrics", TWO_DAYS).await.unwrap();
    node.close().await.unwrap();
    let (node, _env) = open(&objects, dir.path()).await;
    let sound = scrub(&node, true, true).await;
    assert_eq!((sound.findings.len(), sound.done, sound.total), (0, 2, 2), "{sound:?}");
    let paths = parquet(&objects).await;
    flip(&objects, &paths[1], &[30]).await;
    let looked = scrub(&node, false, false).await;
    assert!(
        looked.findings[0].contains(paths[1].as_ref()) && looked.message.contains("1 objects damaged"),
        "{looked:?}"
    );
    assert_eq!(rows(&node), [1, 2], "looking changes nothing");
    assert!(scrub(&node, true, false).await.message.contains("1 set aside"));
    assert_eq!((rows(&node), node.damage().len()), (vec![1], 1));
    node.close().await.unwrap();

    let (node, _env) = open(&objects, dir.path()).await;
    assert_eq!(rows(&node), [1]);
    let [found] = &node.damage()[..] else { panic!("it is named for as long as it is missing") };
    assert!(found.damage.missing.starts_with("2 rows of partition \"1970-01-02\", "), "{found:?}");
    assert_eq!((found.damage.place.as_str(), node.status().damaged), (paths[1].as_ref(), 1));
    assert_eq!(parquet(&objects).await, paths, "its object stays");
    let database = node.database(&name("metrics")).unwrap();
    let chunk = paths[1].filename().unwrap().strip_suffix(".parquet").unwrap().parse().unwrap();
    assert!(node.take_back(&database, chunk).await.unwrap_err().to_string().contains("stays set aside"));
    flip(&objects, &paths[1], &[30]).await;
    assert!(scrub(&node, false, false).await.findings[0].contains(&format!("--restore {chunk}")));
    assert_eq!(node.take_back(&database, chunk).await.unwrap().rows, 2);
    assert_eq!((rows(&node), node.damage().len()), (vec![1, 2], 0));
    assert!(node.take_back(&database, chunk).await.unwrap_err().to_string().contains("is not set aside"));
    node.close().await.unwrap();
    let (node, _env) = open(&objects, dir.path()).await;
    assert_eq!(rows(&node), [1, 2]);
    node.close().await.unwrap();
}

#[tokio::test]
async fn orphans_are_named_and_removed_on_request_and_never_those_of_this_start() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, _env) = hasty(&objects, dir.path()).await;
    write(&node, "metrics", TWO_DAYS).await.unwrap();
    node.database(&name("metrics")).unwrap().persist_all().await.unwrap();
    let named = parquet(&objects).await;
    let folder = named[0].as_ref().rsplit_once('/').unwrap().0;
    let path = |chunk: String| Path::parse(format!("{folder}/{chunk}.parquet")).unwrap();
    let (own, other) = (path(format!("{}-77", node.status().incarnation)), path("0000000000000001-77".to_owned()));
    for orphan in [&own, &other] {
        objects.put(orphan, "orphan".into()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let looked = scrub(&node, false, false).await;
    assert_eq!(looked.findings, [format!("{other}, 6 bytes, is named by nothing")]);
    objects.head(&other).await.unwrap();
    let removed = scrub(&node, false, true).await;
    assert!(removed.message.contains("1 orphans, 1 orphans removed"), "{}", removed.message);
    objects.head(&other).await.unwrap_err();
    objects.head(&own).await.unwrap();
    assert_eq!(rows(&node), [1, 2]);
    node.close().await.unwrap();

    // With the default grace it is too young, whoever made it.
    let (node, _env) = open(&objects, dir.path()).await;
    assert_eq!(scrub(&node, false, true).await.findings, Vec::<String>::new());
    objects.head(&own).await.unwrap();
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_catalog_that_lost_a_revision_is_made_anew_from_the_objects() {
    let (objects, dir) = (objects(), tempfile::tempdir().unwrap());
    let (node, env) = open(&objects, dir.path()).await;
    write(&node, "metrics", TWO_DAYS).await.unwrap();
    node.close().await.unwrap();
    let layout = Layout::new(&Path::default(), &"a".parse().unwrap());
    let place = Place { objects: objects.clone(), layout, database: name("metrics") };
    let sound = repair(&env, &place, true).await.unwrap();
    assert_eq!((sound.lost.len(), sound.kept, sound.written), (0, (2, 3), None));

    let second = parquet(&objects).await[1].clone();
    let chunk = second.as_ref().split_once("/data/").unwrap().1.as_bytes().to_vec();
    let folder = Path::from("a/metrics/catalog");
    let mut revisions = objects.list_with_delimiter(Some(&folder)).await.unwrap().objects;
    revisions.sort_by(|a, b| a.location.cmp(&b.location));
    for object in revisions {
        let bytes = objects.get(&object.location).await.unwrap().bytes().await.unwrap();
        if bytes.windows(chunk.len()).any(|window| window == chunk) {
            flip(&objects, &object.location, &[60, bytes.len() / 2 + 60]).await;
            break;
        }
    }
    let (other_log, env) = (tempfile::tempdir().unwrap(), Env::system());
    let (node, _env) = open(&objects, other_log.path()).await;
    assert!(node.reason_not_served(&name("metrics")).unwrap().contains("damaged"));
    assert!(node.damage().iter().any(|found| found.damage.place.starts_with("a/metrics/catalog/")));
    node.close().await.unwrap();

    let looked = repair(&env, &place, false).await.unwrap();
    assert_eq!((looked.lost.len(), looked.found.len(), looked.missing.len(), looked.written), (1, 1, 0, None));
    assert!(looked.unclear.is_empty(), "{looked:?}");
    assert!(repair(&env, &place, true).await.unwrap().written.is_some());
    let (node, _env) = open(&objects, other_log.path()).await;
    assert_eq!(rows(&node), [1, 2]);
    assert_eq!(scrub(&node, false, false).await.done, 2);
    assert_eq!(node.database(&name("metrics")).unwrap().buffer.columns("cpu").unwrap().len(), 2);
    node.close().await.unwrap();
}
