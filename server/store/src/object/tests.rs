//! Stores as the rest of Ochre uses them, on the real disk, and on one that loses power at every operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{CopyOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use ochre_doubles::disk::{Fault, SimDisk};
use ochre_doubles::objects::SimObjects;
use ochre_env::LocalDisk;

use super::paused::{block_on, env};
use super::*;

async fn local(dir: &tempfile::TempDir) -> DurableLocal {
    let env = Env { disk: Arc::new(LocalDisk), ..env(&SimDisk::new(0)) };
    DurableLocal::open(&dir.path().join("objects"), &env).await.unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn create_object(store: &dyn ObjectStore, at: &str, body: &'static [u8]) -> object_store::Result<()> {
    store.put_opts(&path(at), PutPayload::from_static(body), PutMode::Create.into()).await.map(drop)
}

async fn listed(store: &dyn ObjectStore, prefix: Option<&str>) -> Vec<(String, u64)> {
    let prefix = prefix.map(path);
    let objects: Vec<_> = store.list(prefix.as_ref()).try_collect().await.unwrap();
    objects.into_iter().map(|object| (object.location.to_string(), object.size)).collect()
}

#[tokio::test(start_paused = true)]
async fn urls_are_understood_or_refused_with_the_reason() {
    let env = env(&SimDisk::new(1));
    assert_eq!(open("memory", &env).await.unwrap().to_string(), "InMemory");
    assert_eq!(open("memory:///", &env).await.unwrap().to_string(), "InMemory");
    assert_eq!(open("file:///data/ochre", &env).await.unwrap().to_string(), "file:///data/ochre");
    let scheme = open("ftp://host/x", &env).await.unwrap_err();
    assert_eq!(
        scheme.to_string(),
        r#"the object store "ftp://host/x" has the scheme "ftp": use memory, file, s3, gs or az"#
    );
    assert!(matches!(open("./data", &env).await, Err(OpenError::Url { .. })));
    assert!(matches!(open("file://host/data", &env).await, Err(OpenError::FilePath { .. })));
    assert!(open("s3://bucket/some/prefix", &env).await.unwrap().to_string().contains("some/prefix"));
}

#[tokio::test]
async fn an_object_is_created_once_and_read_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir).await;
    create_object(&store, "a/b/one", b"0123456789").await.unwrap();
    let again = create_object(&store, "a/b/one", b"other").await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { ref path, .. } if path == "a/b/one"), "{again}");
    let one = path("a/b/one");
    assert_eq!(store.get(&one).await.unwrap().bytes().await.unwrap(), "0123456789");
    assert_eq!(store.get_range(&one, 2..5).await.unwrap(), "234");
    assert_eq!(store.get_ranges(&one, &[0..1, 8..20]).await.unwrap(), [Bytes::from("0"), Bytes::from("89")]);
    let suffix = GetOptions { range: Some(GetRange::Suffix(3)), ..GetOptions::default() };
    let tail = store.get_opts(&one, suffix).await.unwrap();
    assert_eq!((tail.range.clone(), tail.bytes().await.unwrap()), (7..10, Bytes::from("789")));
    assert_eq!(store.head(&one).await.unwrap().size, 10);
    store.put(&one, "new".into()).await.unwrap();
    assert_eq!(store.get(&one).await.unwrap().bytes().await.unwrap(), "new");
    for nothing in ["a/b/two", "a/b", "a/b/one/more"] {
        assert!(matches!(store.get(&path(nothing)).await, Err(Error::NotFound { .. })), "{nothing}");
        assert!(matches!(store.head(&path(nothing)).await, Err(Error::NotFound { .. })), "{nothing}");
    }
    create_object(&store, "empty", b"").await.unwrap();
    assert_eq!(store.get(&path("empty")).await.unwrap().bytes().await.unwrap(), "");
}

#[tokio::test]
async fn a_long_object_comes_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir).await;
    let body: Vec<u8> = (0..9_000_000u32).map(|i| (i % 251) as u8).collect();
    store.put(&path("long"), body.clone().into()).await.unwrap();
    let pieces: Vec<Bytes> = store.get(&path("long")).await.unwrap().into_stream().try_collect().await.unwrap();
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces.concat(), body);
}

#[tokio::test]
async fn listings_hide_what_is_no_object() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir).await;
    for at in ["b/2", "b/1", "a%2F/x", "b/c/3", "top"] {
        create_object(&store, at, b"x").await.unwrap();
    }
    let upload = store.put_multipart(&path("b/unfinished")).await.unwrap();
    assert_eq!(listed(&store, Some("b")).await, [("b/1".into(), 1), ("b/2".into(), 1), ("b/c/3".into(), 1)]);
    assert_eq!(listed(&store, None).await.len(), 5);
    assert_eq!(listed(&store, Some("nothing")).await, []);
    let level = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(level.common_prefixes, [path("a%2F"), path("b")]);
    assert_eq!(level.objects.len(), 1);
    store.delete(&path("b/c/3")).await.unwrap();
    store.delete(&path("b/c/3")).await.unwrap();
    let level = store.list_with_delimiter(Some(&path("b"))).await.unwrap();
    assert_eq!(level.common_prefixes, [], "an empty directory is nothing");
    drop(upload);
    drop(store);
    let temporary = dir.path().join("objects/.ochre-tmp");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1);
    drop(local(&dir).await);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "removed at the next start");
}

#[tokio::test]
async fn a_second_process_leaves_the_first_ones_temporary_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let first = local(&dir).await;
    let mut upload = first.put_multipart(&path("x")).await.unwrap();
    drop(local(&dir).await);
    upload.put_part("whole".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(first.get(&path("x")).await.unwrap().bytes().await.unwrap(), "whole");
}

#[tokio::test]
async fn parts_keep_their_order_whatever_order_they_are_awaited_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir).await;
    let mut upload = store.put_multipart(&path("x/parts")).await.unwrap();
    let first = upload.put_part("one ".into());
    let second = upload.put_part("two ".into());
    second.await.unwrap();
    first.await.unwrap();
    upload.put_part("three".into()).await.unwrap();
    assert!(matches!(store.get(&path("x/parts")).await, Err(Error::NotFound { .. })), "not before it is complete");
    upload.complete().await.unwrap();
    assert_eq!(store.get(&path("x/parts")).await.unwrap().bytes().await.unwrap(), "one two three");
    let mut aborted = store.put_multipart(&path("x/aborted")).await.unwrap();
    aborted.put_part("one".into()).await.unwrap();
    aborted.abort().await.unwrap();
    assert_eq!(listed(&store, Some("x")).await, [("x/parts".into(), 13)]);
}

#[tokio::test]
async fn copies_are_conditional_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir).await;
    create_object(&store, "a", b"a").await.unwrap();
    create_object(&store, "b", b"b").await.unwrap();
    let create = || CopyOptions::new().with_mode(object_store::CopyMode::Create);
    let taken = store.copy_opts(&path("a"), &path("b"), create()).await.unwrap_err();
    assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");
    store.copy_opts(&path("a"), &path("deep/c"), create()).await.unwrap();
    store.copy(&path("a"), &path("b")).await.unwrap();
    store.copy(&path("a"), &path("b")).await.unwrap();
    store.put(&path("a"), "changed".into()).await.unwrap();
    for copy in ["b", "deep/c"] {
        assert_eq!(store.get(&path(copy)).await.unwrap().bytes().await.unwrap(), "a");
    }
    assert!(matches!(store.copy(&path("nothing"), &path("d")).await, Err(Error::NotFound { .. })));
    assert_eq!(std::fs::read_dir(dir.path().join("objects/.ochre-tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn paths_that_are_no_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir).await;
    for hostile in ["", ".ochre-tmp/x", "a\\b"] {
        let refused = create_object(&store, hostile, b"x").await.unwrap_err();
        assert!(matches!(refused, Error::NotSupported { .. }), "{hostile}: {refused}");
    }
}

/// What the script below did before the power went: bodies that were answered as put, and those that may be there.
type Done = BTreeMap<&'static str, (Option<Vec<u8>>, Vec<Vec<u8>>)>;

async fn script(store: &DurableLocal, done: &mut Done) {
    let long: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    let steps: [(&'static str, Vec<u8>, bool); 5] = [
        ("d/one", b"first".to_vec(), true),
        ("d/e/two", long.clone(), true),
        ("d/one", b"never".to_vec(), true),
        ("d/one", b"replaced".to_vec(), false),
        ("three", b"".to_vec(), true),
    ];
    for (at, body, create) in steps {
        let mode = if create { PutMode::Create } else { PutMode::Overwrite };
        let entry = done.entry(at).or_default();
        entry.1.push(body.clone());
        match store.put_opts(&path(at), body.clone().into(), mode.into()).await {
            Ok(_) => *entry = (Some(body.clone()), vec![body]),
            Err(Error::AlreadyExists { .. }) => drop(entry.1.pop()),
            Err(_) => return,
        }
    }
    let entry = done.entry("f/parts").or_default();
    entry.1.push(b"ab".to_vec());
    let Ok(mut upload) = store.put_multipart(&path("f/parts")).await else { return };
    for part in ["a", "b"] {
        if upload.put_part(part.into()).await.is_err() {
            return;
        }
    }
    if upload.complete().await.is_ok() {
        entry.0 = Some(b"ab".to_vec());
    }
}

#[test]
fn after_a_crash_at_any_operation_objects_are_whole_or_absent_and_answered_ones_are_there() {
    let root = FilePath::new("/data");
    let mut crash_at = 1;
    loop {
        let (disk, mut done) = (SimDisk::new(crash_at), Done::new());
        disk.fail_at(crash_at, Fault::PowerLoss);
        block_on(async {
            if let Ok(store) = DurableLocal::open(root, &env(&disk)).await {
                script(&store, &mut done).await;
            }
        });
        let finished = disk.operations() < crash_at;
        disk.crash();
        block_on(async {
            let store = DurableLocal::open(root, &env(&disk)).await.unwrap();
            for (at, (answered, possible)) in &done {
                let found = match store.get(&path(at)).await {
                    Ok(found) => Some(found.bytes().await.unwrap().to_vec()),
                    Err(Error::NotFound { .. }) => None,
                    Err(error) => panic!("{at}: {error}"),
                };
                assert!(found.is_some() || answered.is_none(), "crash at {crash_at}: {at} was answered and is gone");
                assert!(found.is_none_or(|found| possible.contains(&found)), "crash at {crash_at}: {at} is not whole");
            }
            for (at, _) in listed(&store, None).await {
                assert!(done.contains_key(at.as_str()), "crash at {crash_at}: {at} appeared");
            }
            assert_eq!(disk_entries(&disk), 0, "crash at {crash_at}: temporary files are removed");
        });
        if finished {
            break;
        }
        crash_at += 1;
    }
    assert!(crash_at > 30, "the script has {crash_at} operations");
}

fn disk_entries(disk: &SimDisk) -> usize {
    use ochre_env::Disk;
    disk.list(FilePath::new("/data/.ochre-tmp")).unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_ignores_create_is_refused() {
    let env = env(&SimDisk::new(1));
    let good = SimObjects::new(env.clock.clone(), 1);
    let store: Arc<dyn ObjectStore> = Arc::new(good.clone());
    probe(&store, &path("prefix"), &env).await.unwrap();
    assert_eq!(good.paths().await, [], "it cleans up");

    good.ignore_create();
    let error = probe(&store, &path("prefix"), &env).await.unwrap_err();
    assert!(matches!(error, ProbeError::IgnoresCreate { .. }), "{error}");
    assert_eq!(good.paths().await, []);

    good.set_unavailable(true);
    assert!(matches!(probe(&store, &path("prefix"), &env).await, Err(ProbeError::Store { .. })));

    let dir = tempfile::tempdir().unwrap();
    let folder: Arc<dyn ObjectStore> = Arc::new(local(&dir).await);
    probe(&folder, &Path::default(), &env).await.unwrap();
}
