//! A disk that fills up and has room again, many times; and one that fails to sync, at every single sync.
//!
//! Over doubles, in simulated time: what is acknowledged is there after a crash that keeps only what was synced.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt;
use object_store::path::Path;
use ochre_database::{Health, LogHome, Node, NodeConfig, Resources, WriteError};
use ochre_doubles::clock::SimClock;
use ochre_doubles::disk::{Fault, SimDisk};
use ochre_doubles::entropy::{SimEntropy, env};
use ochre_doubles::objects::SimObjects;
use ochre_env::{Clock, Env};
use ochre_ingest::line_protocol::Options;
use ochre_log::LogError;
use ochre_query::Params;
use ochre_store::catalog::Checkpoints;
use ochre_types::rules::{Ack, LogRules, Rules};
use ochre_types::{ByteSize, DatabaseName};

use super::of_full;

/// Times that a disk fills up in full.
const FILLS: usize = 100;
/// How soon writes must be taken again once there is room.
const HEALS: Duration = Duration::from_secs(10);
/// What the log keeps free, and a little more.
const RESERVE: u64 = 65 << 20;

/// A machine: its clock, its disk, and an object store beside it.
struct Machine {
    clock: SimClock,
    disk: SimDisk,
    objects: SimObjects,
    entropy: SimEntropy,
    ack: Ack,
}

/// A process on it.
struct Process {
    node: Arc<Node>,
    env: Env,
}

fn in_simulation(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(scenario);
}

fn database() -> DatabaseName {
    "d".parse().unwrap()
}

impl Machine {
    fn new(seed: u64, ack: Ack) -> Self {
        let clock = SimClock::new();
        let objects = SimObjects::new(Arc::new(clock.clone()), seed);
        Self { clock, disk: SimDisk::new(seed), objects, entropy: SimEntropy::new(seed), ack }
    }

    async fn start(&self) -> Process {
        let env = env(Arc::new(self.clock.clone()), &self.entropy, Arc::new(self.disk.clone()), Duration::ZERO);
        let config = NodeConfig {
            node_id: "a".parse().unwrap(),
            prefix: Path::default(),
            log: LogHome::Disk(PathBuf::from("/log")),
            memory: ByteSize::mib(64),
            resources: Resources::default(),
            rules: Rules { log: LogRules { ack: self.ack }, ..Rules::default() },
            auto_create: true,
            spill_dir: None,
            query_threads: 1,
            checkpoints: Checkpoints::default(),
        };
        let node = Node::open(env.clone(), Arc::new(self.objects.clone()), config).await.unwrap();
        Process { node, env }
    }

    /// The machine loses power: only what was synced is left.
    async fn crash(&self, process: Process) {
        process.env.tasks.abort().await;
        drop(process);
        self.disk.crash();
    }
}

impl Process {
    async fn write(&self, number: i64) -> Result<(), WriteError> {
        let database = self.node.database_or_create(&database()).await?;
        let line = format!("t value={number}i {number}\n");
        database.write_lines(line.into(), &Options::default()).await.map(|_| ())
    }

    async fn numbers(&self) -> Vec<i64> {
        let answer =
            self.node.query(&database(), "SELECT value FROM t ORDER BY value", &Params::default()).await.unwrap();
        let batches: Vec<_> = answer.stream.try_collect().await.unwrap();
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }
}

#[test]
fn a_disk_that_fills_up_again_and_again_refuses_and_heals_by_itself() {
    in_simulation(async {
        let machine = Machine::new(7, Ack::Durable);
        let process = machine.start().await;
        let (mut acknowledged, mut next) = (Vec::new(), 0);
        for round in 0..of_full(FILLS).max(10) {
            machine.disk.set_capacity(u64::MAX);
            // As a file system may: it says that there is room, and a write finds none.
            machine.disk.hide_capacity(round % 2 == 1);
            for _ in 0..5 {
                process.write(next).await.unwrap();
                acknowledged.push(next);
                next += 1;
            }
            let full = if round % 2 == 1 { machine.disk.used() + 10 } else { machine.disk.used() + RESERVE / 2 };
            machine.disk.set_capacity(full);
            let error = process.write(next).await.unwrap_err();
            next += 1;
            assert!(matches!(error, WriteError::Log(LogError::Full { .. })), "round {round}: {error}");
            assert!(error.retry_after().is_some());
            assert!(matches!(process.node.health(), Health::Failing(_)), "round {round}");
            assert_eq!(process.numbers().await, acknowledged, "queries go on");

            machine.disk.set_capacity(u64::MAX);
            let freed = machine.clock.monotonic();
            while process.write(next).await.is_err() {
                machine.clock.sleep(Duration::from_millis(100)).await;
            }
            acknowledged.push(next);
            next += 1;
            let took = machine.clock.monotonic() - freed;
            assert!(took <= HEALS, "round {round}: it took {took:?}");
            assert_eq!(process.node.health(), Health::Ok);
        }
        machine.crash(process).await;
        let process = machine.start().await;
        assert_eq!(process.numbers().await, acknowledged, "what was refused is not there, what was acknowledged is");
        process.node.close().await.unwrap();
    });
}

#[test]
fn what_was_accepted_before_the_log_refused_it_is_counted_and_persisted() {
    in_simulation(async {
        let machine = Machine::new(8, Ack::Accepted);
        let process = machine.start().await;
        process.write(0).await.unwrap();
        machine.clock.sleep(Duration::from_secs(1)).await;
        machine.disk.set_capacity(machine.disk.used() + RESERVE / 2);
        // Acknowledged before the log has looked at the disk.
        process.write(1).await.unwrap();
        machine.clock.sleep(Duration::from_secs(1)).await;
        let error = process.write(2).await.unwrap_err();
        assert!(matches!(error, WriteError::Log(LogError::Full { .. })), "{error}");
        let status = process.node.status();
        assert_eq!(status.databases[0].writes.unlogged_rows, 1);
        assert_eq!(process.numbers().await, [0, 1]);

        process.node.database(&database()).unwrap().persist_all().await.unwrap();
        machine.disk.set_capacity(u64::MAX);
        machine.crash(process).await;
        let process = machine.start().await;
        assert_eq!(process.numbers().await, [0, 1], "it got into Parquet before the crash");
        process.node.close().await.unwrap();
    });
}

#[test]
fn a_failed_sync_ends_acknowledging_at_once_and_a_restart_replays_what_is_verified() {
    // The first operation that fails is the n-th of those after the start.
    for nth in 1..=40 {
        in_simulation(async move {
            let machine = Machine::new(nth, Ack::Durable);
            let process = machine.start().await;
            process.write(-1).await.unwrap();
            machine.disk.fail_at(machine.disk.operations() + nth, Fault::Error);
            let (mut acknowledged, mut failed) = (vec![-1], None);
            for number in 0..30 {
                match process.write(number).await {
                    Ok(()) => acknowledged.push(number),
                    Err(error) => {
                        failed = Some((number, error));
                        break;
                    }
                }
            }
            let Some((number, error)) = failed else { panic!("operation {nth} did not fail: {acknowledged:?}") };
            assert!(error.retry_after().is_some(), "operation {nth}: {error}");
            let at = machine.clock.monotonic();
            if matches!(error, WriteError::Log(LogError::Failed { .. })) {
                assert!(process.write(100).await.is_err(), "operation {nth}: nothing is acknowledged any more");
                process.node.stopped().await;
                assert!(machine.clock.monotonic() - at <= Duration::from_secs(1), "operation {nth}");
                assert!(matches!(process.node.health(), Health::Failing(reason) if !reason.is_empty()));
            }
            machine.crash(process).await;
            let process = machine.start().await;
            let found = process.numbers().await;
            let maybe: Vec<i64> = acknowledged.iter().copied().chain([number]).collect();
            assert!(
                found == acknowledged || found == maybe,
                "operation {nth}: {found:?} of {acknowledged:?} and {number}"
            );
            process.write(200).await.unwrap();
            process.node.close().await.unwrap();
        });
    }
}
