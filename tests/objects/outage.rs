//! A store that is away for half an hour: writes go on as long as there is room, are then refused with the time to
//! try again, and everything heals by itself. On paused time, with doubles.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use ochre_database::{LogHome, Node, NodeConfig, WriteError};
use ochre_doubles::clock::SimClock;
use ochre_doubles::disk::SimDisk;
use ochre_doubles::entropy::{SimEntropy, env};
use ochre_doubles::objects::SimObjects;
use ochre_env::{Clock, Env};
use ochre_ingest::line_protocol::Options;
use ochre_query::Params;
use ochre_store::catalog::Checkpoints;
use ochre_store::object::{Meter, Patient, Policy};
use ochre_types::rules::{BufferRules, Rules};
use ochre_types::{ByteSize, DatabaseName};

const AWAY: Duration = Duration::from_secs(30 * 60);
const EVERY: Duration = Duration::from_secs(1);
/// Rows of a write.
const ROWS: u64 = 500;
/// How soon after the store is back writes are taken again, and everything is persisted.
const HEALED: Duration = Duration::from_secs(120);

struct Machine {
    clock: SimClock,
    entropy: SimEntropy,
    disk: SimDisk,
    objects: SimObjects,
}

struct Running {
    node: Arc<Node>,
    env: Env,
    meter: Arc<Meter>,
}

fn database() -> DatabaseName {
    "d".parse().unwrap()
}

impl Machine {
    async fn open(&self) -> Running {
        let disk = Arc::new(self.disk.clone());
        let env = env(Arc::new(self.clock.clone()), &self.entropy, disk, Duration::from_millis(1));
        let store = Patient::new(Arc::new(self.objects.clone()), None, Policy::default(), &env);
        let meter = store.meter();
        let buffer = BufferRules {
            freeze_rows: 20_000,
            freeze_after: Duration::from_secs(20),
            persist_after: Duration::from_secs(40),
            ..BufferRules::default()
        };
        let config = NodeConfig {
            node_id: "a".parse().unwrap(),
            prefix: Path::default(),
            log: LogHome::Disk(PathBuf::from("/log")),
            memory: ByteSize::mib(64),
            resources: Default::default(),
            rules: Rules { buffer, ..Rules::default() },
            auto_create: true,
            spill_dir: None,
            query_threads: 1,
            checkpoints: Checkpoints::default(),
        };
        let node = Node::open(env.clone(), Arc::new(store), config).await.unwrap();
        Running { node, env, meter }
    }
}

/// Rows whose values are their numbers, each with a text that takes room.
fn lines(number: u64) -> String {
    let row = |row: u64| {
        let value = number * ROWS + row;
        format!("t,h=h{} v={value}i,text=\"{value:0200}\" {}\n", value % 10, 1_700_000_000_000_000_000 + value)
    };
    (0..ROWS).map(row).collect()
}

impl Running {
    async fn write(&self, number: u64) -> Result<(), WriteError> {
        let database = self.node.database_or_create(&database()).await?;
        let written = database.write_lines(lines(number).into(), &Options::default()).await?;
        assert_eq!((written.lines as u64, written.rejected_total), (ROWS, 0));
        Ok(())
    }

    /// Rows, and the sum of their values.
    async fn sum(&self) -> (i64, i64) {
        use arrow_array::cast::AsArray;
        use arrow_array::types::Int64Type;
        let sql = "SELECT count(v) AS n, CAST(sum(v) AS BIGINT) AS s FROM t";
        let answer = self.node.query(&database(), sql, &Params::default()).await.unwrap();
        let batches: Vec<_> = answer.stream.try_collect().await.unwrap();
        let column = |at: usize| batches[0].column(at).as_primitive::<Int64Type>().value(0);
        (column(0), column(1))
    }
}

/// What all rows of these writes come to.
fn sum_of(acknowledged: &[u64]) -> (i64, i64) {
    let rows = acknowledged.iter().flat_map(|number| number * ROWS..(number + 1) * ROWS);
    rows.fold((0, 0), |(count, sum), value| (count + 1, sum + i64::try_from(value).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_without_the_store() {
    let clock = SimClock::new();
    let objects = SimObjects::new(Arc::new(clock.clone()), 1);
    let machine = Machine { clock: clock.clone(), entropy: SimEntropy::new(1), disk: SimDisk::new(1), objects };
    let running = machine.open().await;
    running.write(0).await.unwrap();
    let mut acknowledged = vec![0];
    machine.objects.unavailable_until(clock.monotonic() + AWAY);
    let (begun, mut number, mut refused_after, mut healed_after) = (clock.monotonic(), 1, None, None);
    while clock.monotonic() - begun < AWAY + HEALED {
        let since = clock.monotonic() - begun;
        match running.write(number).await {
            Ok(()) => {
                acknowledged.push(number);
                if since > AWAY {
                    healed_after.get_or_insert(since - AWAY);
                }
            }
            Err(error) => {
                assert!(error.retry_after().is_some(), "{error}");
                refused_after.get_or_insert((since, acknowledged.len()));
            }
        }
        if (60..1_700).contains(&since.as_secs()) {
            let failing = running.meter.failing().expect("it has not answered for a while");
            assert!(failing.lasting <= since && since - failing.lasting < Duration::from_secs(60), "{failing:?}");
        }
        number += 1;
        clock.sleep(EVERY).await;
    }
    let (after, taken) = refused_after.expect("there is not room for half an hour");
    assert!(taken > 50, "writes went on for {after:?}: {taken}");
    let healed = healed_after.expect("writes are taken again");
    assert!(healed < HEALED / 2, "it took {healed:?}");
    assert_eq!(running.meter.failing(), None);
    let expected = sum_of(&acknowledged);
    assert_eq!(running.sum().await, expected, "what was acknowledged is there, what was refused is not");

    clock.sleep(HEALED).await;
    let status = running.node.status();
    assert_eq!(status.databases[0].buffered_rows, 0, "everything was persisted by itself");
    assert_eq!(status.databases[0].persisted_rows, u64::try_from(expected.0).unwrap());
    running.env.tasks.abort().await;
    drop(running);
    machine.disk.crash();
    assert_eq!(machine.open().await.sum().await, expected);
}
