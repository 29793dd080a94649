//! What once failed, each as a scenario of its own: the meaning of a seed changes with the plans.

use std::time::Duration;

use ochre_database::WriteError;
use ochre_ingest::line_protocol::Options;
use ochre_types::ByteSize;
use ochre_types::rules::{BufferRules, Rules};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::answers::ask_number;
use super::client::Client;
use super::journal::Violation;
use super::plan::Plan;
use super::read::check_table;
use super::rules::Ruled;
use super::server::{Server, World};

fn in_simulation(scenario: impl Future<Output = Result<(), Violation>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    if let Err(violation) = runtime.expect("a runtime in this thread can be made").block_on(scenario) {
        panic!("{violation}");
    }
}

/// Found by seed 84. A server whose prefix another one had for a while finds a low-water mark of the other's log in the
/// catalog, and replays all that its own log still has, though every row is in a chunk. While nobody wrote, nothing
/// moved its mark, and its log was never released.
#[test]
fn a_log_is_released_after_another_servers_time() {
    in_simulation(async {
        let world = World::new(Plan {
            homes: 2,
            databases: 1,
            tables: 1,
            bad_lines: 0,
            given_up: 0,
            filters: false,
            ..Plan::new(84)
        });
        for home in [0, 1, 0] {
            let server = world.open(home).await?;
            check_table(&server.node, &world.journal, &world.trace, home, 0, 0, true).await?;
            if home == 0 && world.journal.lock().acked_rows() > 0 {
                world.sleep(Duration::from_secs(5)).await;
                assert_eq!(server.node.status().log.segments, 1);
                return Ok(());
            }
            let mut client = Client::new(&world, &server, SmallRng::seed_from_u64(1));
            assert!(client.write_to(0).await?);
            let database = server.node.database(&World::database(0)).expect("it was written to");
            database.persist_all().await.expect("nothing is in the way");
            let parts = world.journal.lock().known_to(home);
            world.journal.lock().make_global(&parts);
            world.kill(server, false).await;
        }
        Ok(())
    });
}

/// Found by reading, and by no seed so far. Under `ack: accepted`, rows are in chunks that the log never took, as its
/// disk was full; after a crash their frames' numbers were given again, and what came with them was taken for rows that
/// the chunks had already.
#[test]
fn rows_that_were_accepted_and_never_logged_hide_no_later_ones() {
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: i64 = 86_400_000_000_000;
    let buffer =
        BufferRules { freeze_rows: 4, freeze_size: ByteSize::mib(64), freeze_after: HOUR, persist_after: HOUR };
    let rules = Rules { buffer, ..Rules::default() };
    in_simulation(async {
        let world = World::new(Plan { homes: 1, databases: 1, given_up: 0, rules, ..Plan::new(1) });
        let server = world.open(0).await?;
        write(&server, &format!("cpu f=1 {DAY}")).await;
        rule(&world, &server, Ruled { accepted: true, ..Ruled::default() }).await?;
        let disk = &world.homes[0].disk;
        disk.set_capacity(disk.used());
        disk.hide_capacity(true);
        let lines: Vec<String> = (0..20).map(|time| format!("cpu f=1 {time}")).collect();
        let taken = futures::future::join_all(lines.iter().map(|line| try_write(&server, line))).await;
        let taken = taken.into_iter().filter(Result::is_ok).count();
        assert!(taken >= 4, "{taken} were accepted before the log said that it is full");
        world.sleep(Duration::from_secs(5)).await;
        let status = server.node.status().databases.remove(0);
        assert_eq!((status.persisted_rows, status.buffered_rows), (taken as u64, 1));
        world.kill(server, true).await;

        world.heal().await;
        let server = world.open(0).await?;
        rule(&world, &server, Ruled::default()).await?;
        write(&server, "cpu f=2 100").await;
        let count = "SELECT count(*) FROM cpu";
        let counted = ask_number(&server.node, &World::database(0), count).await;
        assert_eq!(counted.expect("nothing is in the way"), taken as i64 + 2);
        world.kill(server, true).await;
        let server = world.open(0).await?;
        let counted = ask_number(&server.node, &World::database(0), count).await;
        assert_eq!(counted.expect("nothing is in the way"), taken as i64 + 2, "after another crash");
        Ok(())
    });
}

async fn write(server: &Server, line: &str) {
    try_write(server, line).await.expect("nothing is in the way");
}

async fn try_write(server: &Server, line: &str) -> Result<(), WriteError> {
    let database = server.node.database_or_create(&World::database(0)).await?;
    let written = database.write_lines(line.to_owned().into(), &Options::default()).await?;
    assert_eq!((written.lines, written.rejected_total), (1, 0));
    Ok(())
}

async fn rule(world: &World, server: &Server, ruled: Ruled) -> Result<(), Violation> {
    let mut client = Client::new(world, server, SmallRng::seed_from_u64(1));
    assert!(client.apply(0, ruled).await?);
    Ok(())
}
