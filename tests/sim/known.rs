//! What once failed, each as a scenario of its own: the meaning of a seed changes with the plans.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::client::Client;
use super::journal::Violation;
use super::plan::Plan;
use super::read::check_table;
use super::server::World;

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
        let world = World::new(Plan { homes: 2, databases: 1, tables: 1, bad_lines: 0, given_up: 0, ..Plan::new(84) });
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
            let parts = world.journal.lock().required_of(home);
            world.journal.lock().make_global(&parts);
            world.kill(server, false).await;
        }
        Ok(())
    });
}
