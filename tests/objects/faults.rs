//! The real binary behind a proxy that fails: what was acknowledged is there, once, and the catalog is one line.

use std::time::Duration;

use futures::TryStreamExt;
use object_store::ObjectStore;
use ochre_store::object::Layout;

use super::proxy::{Fault, Proxy};
use super::servers::{Kind, Store};
use crate::e2e::server::{Server, Start, dir, now};

const BATCHES: u64 = 40;
const ROWS: u64 = 50;
/// How many requests in a hundred fail.
const PERCENT: u32 = 25;
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

fn batch(number: u64) -> String {
    let row = |row: u64| {
        let value = number * ROWS + row;
        format!("t,tag=t{} v={value}i {}\n", value % 7, 1_740_787_200_000_000_000 + value * 1_000_000_000)
    };
    (0..ROWS).map(row).collect()
}

/// Writes a batch until it is acknowledged, as a client does.
async fn write(server: &Server, number: u64) {
    let begun = now();
    loop {
        let answer = server.post("/write?db=d", batch(number)).await;
        match answer.status {
            204 => return,
            503 if begun.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(200)).await,
            status => panic!("{status} {}\n{}", answer.text(), server.logs()),
        }
    }
}

/// A start may be given up while the store fails; then it is started again, as a supervisor does.
fn started(start: &Start) -> Server {
    let mut said = String::new();
    for _ in 0..STARTS {
        match start.clone().try_start() {
            Ok(server) => return server,
            Err((_, error)) => said = error,
        }
    }
    panic!("it did not start {STARTS} times: {said}")
}

async fn survives(faults: &[Fault], seed: u64) {
    let Some(store) = Store::start(Kind::Versitygw).await else { return };
    let proxy = Proxy::start(store.address, Duration::from_millis(1_500), seed).await;
    let (data, secrets) = (dir(), dir());
    let credentials = secrets.path().join("credentials");
    store.credentials_file(&credentials);
    let start = Start::in_dir(data.path()).args(&[
        "--object-store",
        &store.url("faulty"),
        "--object-store-endpoint",
        &store.endpoint_at(proxy.address),
        "--object-store-credentials-file",
        credentials.to_str().unwrap(),
        "--object-store-timeout",
        "1s",
        "--freeze-rows",
        "300",
        "--persist-after",
        "1s",
    ]);
    proxy.fail(faults, PERCENT);
    let mut server = started(&start);
    for number in 0..BATCHES {
        write(&server, number).await;
    }
    server.kill();
    server = started(&start);
    verify(&server, faults).await;
    server.stop();
    proxy.fail(&[], 0);
    let mut server = start.start();
    verify(&server, faults).await;
    assert!(server.stop().success(), "{faults:?}\n{}", server.logs());
    let (requests, failed) = proxy.counts();
    assert!(failed > 4, "{failed} of {requests} requests failed");
    one_line(&*store.open("faulty").await.store, faults).await;
}

/// Every row is there, and none is stored twice.
async fn verify(server: &Server, faults: &[Fault]) {
    let rows = BATCHES * ROWS;
    let begun = now();
    loop {
        let ask = serde_json::json!({ "db": "d", "q": "SELECT count(*) AS n, sum(v) AS s FROM t", "format": "json" });
        let answer = server.post("/api/v3/query_sql", ask.to_string()).await;
        if answer.status != 200 && begun.elapsed() < PATIENCE {
            // The store failed in the middle of reading more often than is tried.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        let expected = serde_json::json!([{ "n": rows, "s": rows * (rows - 1) / 2 }]);
        assert_eq!(answer.json(), expected, "{faults:?}\n{}", server.logs());
        break;
    }
    let status = server.get("/ochre/v1/status").await.json();
    let held = |name: &str| status["databases"][0][name].as_u64().unwrap();
    assert_eq!(held("persisted_rows") + held("buffered_rows"), rows, "{faults:?}: {status}");
}

/// The revisions of the catalog are numbered without a gap, each once: nobody wrote beside another.
async fn one_line(store: &dyn ObjectStore, faults: &[Fault]) {
    let layout = Layout::new(&object_store::path::Path::default(), &"a".parse().unwrap());
    let folder = layout.catalog(&"d".parse().unwrap());
    let listed: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
    let number = |path: &object_store::path::Path| -> u64 {
        path.filename().unwrap().split('.').next().unwrap().parse().unwrap()
    };
    let mut numbers: Vec<u64> = listed.iter().map(|object| number(&object.location)).collect();
    numbers.dedup();
    let (first, last) = (numbers[0], *numbers.last().unwrap());
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "{faults:?}");
    assert!(last >= 4, "{faults:?}: it was committed to: {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn errors_of_the_service() {
    survives(&[Fault::Error, Fault::SlowDown], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_answers() {
    survives(&[Fault::Slow], 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_end_before_the_request_was_seen() {
    survives(&[Fault::DropBefore], 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_acknowledgements() {
    survives(&[Fault::DropAfter], 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_that_are_cut() {
    survives(&[Fault::Cut], 5).await;
}
