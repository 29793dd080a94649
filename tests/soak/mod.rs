//! A server at a steady rate for a long time, with everything going on that ever goes on: writes, partial rows, queries,
//! freezing, persisting, joining, retention, deletes, dropped and recovered tables, collecting.
//!
//! ```text
//!   driver.rs   one tick: a batch; now and then a delete, a drop, a question --> the real binary
//!   model.rs    what is in the table, as a plain map
//!   gauge.rs    memory, chunks, files, log of the server, again and again
//! ```
//!
//! Answers are right all the time; and after the first quarter nothing grows any more.
//!
//! `OCHRE_SOAK_SECONDS` says how long; else `OCHRE_TEST_TIER` decides: `quick` 8, `ci` 25, `full` 1,200.

#![allow(clippy::disallowed_methods, reason = "a test, in the real world")]

mod driver;
mod gauge;
mod model;

use std::time::Duration;

use driver::Driver;

/// A run shorter than this says nothing about growth.
const TREND_NEEDS: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_and_every_answer_is_right() {
    let by_tier = match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("full") => 1_200,
        Ok("quick") => 8,
        _ => 25,
    };
    let seconds = match std::env::var("OCHRE_SOAK_SECONDS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("OCHRE_SOAK_SECONDS={text:?}: give a number")),
        Err(_) => by_tier,
    };
    let length = Duration::from_secs(seconds);
    let mut driver = Driver::start(length).await;
    driver.run(length).await;
    println!("{}", driver.report());
    if length >= TREND_NEEDS {
        driver.gauges().assert_flat();
    }
    driver.end().await;
}
