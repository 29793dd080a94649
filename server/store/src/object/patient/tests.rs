//! Patience with stores that fail in every way, on paused time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::multipart::PartId;
use object_store::{Error, MultipartId, ObjectStoreExt};
use ochre_doubles::disk::SimDisk;
use ochre_doubles::objects::{FaultRates, ObjectFault, SimObjects};
use proptest::prelude::*;

use super::*;
use crate::object::paused::{block_on, env};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn patient(store: &SimObjects, env: &Env) -> Patient {
    Patient::new(Arc::new(store.clone()), None, Policy::default(), env)
}

async fn create(store: &Patient, at: &str, body: &str) -> Result<()> {
    store.put_opts(&path(at), PutPayload::from(body.to_owned()), PutMode::Create.into()).await.map(drop)
}

async fn read(store: &dyn ObjectStore, at: &str) -> String {
    let bytes = store.get_opts(&path(at), GetOptions::default()).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn counts(store: &Patient, kind: Kind) -> (u64, u64, u64) {
    let counts = store.meter().counts().swap_remove(kind as usize);
    assert_eq!(counts.kind, kind);
    assert_eq!(counts.within.iter().sum::<u64>(), counts.requests);
    (counts.requests, counts.failures, counts.retries)
}

#[test]
fn a_create_whose_answer_was_lost_is_ours() {
    block_on(async {
        let env = env(&SimDisk::new(1));
        let sim = SimObjects::new(env.clock.clone(), 1);
        let store = patient(&sim, &env);
        sim.fail_at(1, ObjectFault::LostAnswer);
        create(&store, "a", "ours").await.unwrap();
        assert_eq!(counts(&store, Kind::Put), (2, 1, 1));
        assert_eq!(counts(&store, Kind::Get), (1, 0, 0), "it is read once, to see whose it is");
        let taken = create(&store, "a", "ours").await.unwrap_err();
        assert!(matches!(taken, Error::AlreadyExists { .. }), "an object that was there is another's: {taken}");
        assert_eq!(counts(&store, Kind::Get), (1, 0, 0));

        create(&store, "b", "theirs").await.unwrap();
        sim.fail_next(1, ObjectFault::Refused);
        let taken = create(&store, "b", "ours").await.unwrap_err();
        assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");
        assert_eq!((read(&store, "a").await, read(&store, "b").await), ("ours".into(), "theirs".into()));
    });
}

#[test]
fn a_store_that_answers_nothing_is_given_up_in_time_and_said_to_fail() {
    block_on(async {
        let env = env(&SimDisk::new(1));
        let sim = SimObjects::new(env.clock.clone(), 1);
        let store = patient(&sim, &env);
        create(&store, "a", "body").await.unwrap();
        assert_eq!(store.meter().failing(), None);
        sim.pause(true);
        let begun = env.clock.monotonic();
        let error = store.get_opts(&path("a"), GetOptions::default()).await.unwrap_err();
        let took = env.clock.monotonic() - begun;
        assert!(took > Duration::from_secs(10) && took <= Duration::from_secs(28), "{took:?}");
        assert!(error.to_string().contains("no answer within 10s (tried 2 times)"), "{error}");
        assert!(gave_up(&error));
        let failing = store.meter().failing().expect("nothing was answered for a while");
        assert_eq!((failing.failures, failing.lasting), (2, took - Duration::from_secs(10)));
        sim.pause(false);
        assert_eq!(read(&store, "a").await, "body");
        assert_eq!(store.meter().failing(), None);
    });
}

#[test]
fn a_store_that_is_down_is_not_hammered_and_heals_by_itself() {
    block_on(async {
        let env = env(&SimDisk::new(1));
        let sim = SimObjects::new(env.clock.clone(), 1);
        let store = patient(&sim, &env);
        sim.set_unavailable(true);
        let begun = env.clock.monotonic();
        for _ in 0..1_000 {
            let error = store.head(&path("a")).await.unwrap_err();
            assert!(gave_up(&error), "{error}");
        }
        let seconds = (env.clock.monotonic() - begun).as_secs();
        let (requests, failures, retries) = counts(&store, Kind::Head);
        assert_eq!((requests, failures), (1_000 + retries, requests));
        assert!(retries <= 100 + seconds + 1, "{retries} retries in {seconds} s");
        assert!(store.meter().denied_retries() > 800);
        sim.set_unavailable(false);
        create(&store, "a", "body").await.unwrap();
        assert_eq!(read(&store, "a").await, "body");
    });
}

#[test]
fn what_is_no_failure_is_not_tried_again() {
    block_on(async {
        let env = env(&SimDisk::new(1));
        let sim = SimObjects::new(env.clock.clone(), 1);
        let store = patient(&sim, &env);
        assert!(matches!(store.head(&path("a")).await, Err(Error::NotFound { .. })));
        assert_eq!(counts(&store, Kind::Head), (1, 0, 0));
        assert_eq!(store.meter().failing(), None);
        store.delete(&path("a")).await.unwrap();
        sim.fail_next(2, ObjectFault::LostAnswer);
        create(&store, "b", "x").await.unwrap();
        store.delete(&path("b")).await.unwrap();
        assert_eq!(sim.paths().await, []);
    });
}

#[test]
fn nothing_of_a_store_is_shown_but_its_name() {
    block_on(async {
        let env = env(&SimDisk::new(1));
        let secret = [("AWS_ACCESS_KEY_ID", "canary"), ("AWS_SECRET_ACCESS_KEY", "canary"), ("AWS_TOKEN", "canary")];
        let settings = crate::object::Settings {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            credentials: secret.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
            ..Default::default()
        };
        for url in ["s3://bucket", "s3://bucket/prefix"] {
            let opened = crate::object::open_with(url, &settings, &env).await.unwrap();
            let shown = format!("{opened:?} {} {settings:?}", opened.store);
            assert!(!shown.contains("canary") && shown.contains("AmazonS3(bucket)"), "{shown}");
        }
    });
}

/// A store whose bodies and listings break off, and which counts what is under way.
#[derive(Debug, Default)]
struct Brittle {
    inner: InMemory,
    /// Pieces after which the next stream breaks off.
    pieces: usize,
    streams: AtomicUsize,
    under_way: AtomicU64,
    most: AtomicU64,
}

impl Brittle {
    /// `stream`, which breaks off unless it is every fourth one.
    fn brittle<T: Send + 'static>(&self, stream: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        if self.streams.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
            return stream;
        }
        let broken = Error::Generic { store: "brittle", source: "broke off".into() };
        stream.take(self.pieces).chain(futures::stream::once(async { Err(broken) })).boxed()
    }
}

impl fmt::Display for Brittle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("brittle")
    }
}

#[async_trait]
impl ObjectStore for Brittle {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.inner.get_opts(location, options).await?;
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = found.bytes().await?;
        let pieces: Vec<_> = bytes.chunks(3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let payload = GetResultPayload::Stream(self.brittle(futures::stream::iter(pieces).boxed()));
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.brittle(self.inner.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[test]
fn bodies_and_listings_go_on_where_they_broke_off() {
    block_on(async {
        let env = env(&SimDisk::new(1));
        for pieces in [0, 1, 2, 7] {
            let inner = Arc::new(Brittle { pieces, ..Brittle::default() });
            let store = Patient::new(inner.clone(), None, Policy::default(), &env);
            let names: Vec<_> = (0..20).map(|n| format!("folder/{n:02}")).collect();
            for name in &names {
                create(&store, name, "0123456789abcdefghijklmnopqrstuvwxyz").await.unwrap();
            }
            let body = read(&store, "folder/00").await;
            assert_eq!(body, "0123456789abcdefghijklmnopqrstuvwxyz", "{pieces} pieces a stream");
            let range = store.get_range(&path("folder/01"), 5..31).await.unwrap();
            assert_eq!(range, "56789abcdefghijklmnopqrstu");
            let listed: Vec<_> = store.list(Some(&path("folder"))).try_collect().await.unwrap();
            assert_eq!(listed.iter().map(|object| object.location.to_string()).collect::<Vec<_>>(), names);
        }
    });
}

#[test]
fn requests_under_way_are_bounded() {
    block_on(async {
        let env = env(&SimDisk::new(1));
        let inner = Arc::new(Brittle::default());
        let policy = Policy { requests: 3, ..Policy::default() };
        let store = Patient::new(inner.clone(), None, policy, &env);
        let names: Vec<_> = (0..50).map(|n| n.to_string()).collect();
        let all = futures::future::join_all(names.iter().map(|name| create(&store, name, "x"))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(inner.most.load(Ordering::Relaxed), 3);
    });
}

/// Uploads in parts whose completion is conditional, and some of whose answers are lost.
struct Parts {
    objects: SimObjects,
    pending: parking_lot::Mutex<std::collections::BTreeMap<usize, PutPayload>>,
    requests: AtomicUsize,
    /// The requests whose answers are lost.
    lost: Vec<usize>,
    aborted: AtomicUsize,
}

impl Parts {
    fn new(objects: &SimObjects, lost: &[usize]) -> Arc<Self> {
        Arc::new(Self {
            objects: objects.clone(),
            pending: parking_lot::Mutex::default(),
            requests: AtomicUsize::new(0),
            lost: lost.to_vec(),
            aborted: AtomicUsize::new(0),
        })
    }

    fn answer<T>(&self, answer: T) -> Result<T> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if self.lost.contains(&number) {
            return Err(Error::Generic { store: "parts", source: "the answer was lost".into() });
        }
        Ok(answer)
    }
}

#[async_trait]
impl MultipartStore for Parts {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        self.answer("upload".to_owned())
    }

    async fn put_part(&self, _: &Path, _: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        self.pending.lock().insert(index, data);
        self.answer(PartId { content_id: index.to_string() })
    }

    async fn complete_multipart(&self, path: &Path, _: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let pending = std::mem::take(&mut *self.pending.lock());
        if pending.is_empty() {
            let error = Error::NotFound { path: path.to_string(), source: "no such upload".into() };
            return self.answer(()).and(Err(error));
        }
        assert_eq!(parts.len(), pending.len());
        let whole: PutPayload = pending.values().flat_map(|part| part.iter().cloned()).collect();
        let put = self.objects.memory().put_opts(path, whole, PutMode::Create.into()).await;
        let put = put.map_err(|error| Error::Precondition { path: path.to_string(), source: Box::new(error) });
        put.and_then(|put| self.answer(put))
    }

    async fn abort_multipart(&self, _: &Path, _: &MultipartId) -> Result<()> {
        self.aborted.fetch_add(1, Ordering::Relaxed);
        self.answer(())
    }
}

#[test]
fn a_large_object_is_created_in_parts_exactly_once_whatever_answers_are_lost() {
    let body: Bytes = (0..20_u32 << 20).map(|i| (i % 253) as u8).collect::<Vec<_>>().into();
    // Requests: 0 begins, 1 to 3 are parts, 4 completes.
    for lost in [&[][..], &[0], &[2], &[4], &[0, 2, 3, 6]] {
        block_on(async {
            let env = env(&SimDisk::new(1));
            let sim = SimObjects::new(env.clock.clone(), 1);
            let parts = Parts::new(&sim, lost);
            let store = Patient::new(Arc::new(sim.clone()), Some(parts.clone()), Policy::default(), &env);
            let put = |body: &Bytes| store.put_opts(&LARGE, body.clone().into(), PutMode::Create.into());
            put(&body).await.unwrap_or_else(|error| panic!("{lost:?}: {error}"));
            let found = store.get(&LARGE).await.unwrap().bytes().await.unwrap();
            assert!(found == body, "{lost:?}");
            assert_eq!(parts.aborted.load(Ordering::Relaxed), 0);
            let other = Bytes::from(vec![7; body.len()]);
            assert!(matches!(put(&other).await, Err(Error::AlreadyExists { .. })), "{lost:?}");
            assert_eq!(parts.aborted.load(Ordering::Relaxed), 1, "what lost the race is taken back");
        });
    }
}

static LARGE: std::sync::LazyLock<Path> = std::sync::LazyLock::new(|| path("large"));

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Of several writers of one name, at most one is told that it made the object, and then its bytes are there;
    /// whoever is told that it is another's is not the one.
    #[test]
    fn one_writer_creates(seed in any::<u64>(), writers in 2_usize..6, refused in 0_u32..300, lost in 0_u32..300) {
        block_on(async {
            let env = env(&SimDisk::new(seed));
            let sim = SimObjects::new(env.clock.clone(), seed);
            let max_delay = Duration::from_millis(500);
            sim.set_rates(FaultRates { refused, lost_answer: lost, max_delay, ..FaultRates::default() });
            let stores: Vec<_> = (0..writers).map(|_| patient(&sim, &env)).collect();
            for name in ["a", "b", "c", "d"] {
                let bodies: Vec<_> = (0..writers).map(|writer| format!("{name} of {writer}")).collect();
                let creates = stores.iter().zip(&bodies).map(|(store, body)| create(store, name, body));
                let answers = futures::future::join_all(creates).await;
                let found = sim.memory().get(&path(name)).await.unwrap().bytes().await.unwrap();
                let winner = bodies.iter().position(|body| body.as_bytes() == found).expect("it is one of them");
                for (writer, answer) in answers.iter().enumerate() {
                    match answer {
                        Ok(()) => assert_eq!(writer, winner),
                        Err(Error::AlreadyExists { .. }) => assert_ne!(writer, winner),
                        Err(error) => assert!(gave_up(error), "{error}"),
                    }
                }
            }
        });
    }
}
