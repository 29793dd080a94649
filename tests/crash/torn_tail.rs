//! A log that ends in the middle of its last frame, at every byte of it.

use super::in_process::{Captured, Home, len, line, pairs_of};

/// Batches before the last one.
const BATCHES: i64 = 5;
/// Rows of each.
const ROWS: i64 = 4;

/// A home whose newest segment ends with the frame of the last batch, and where that frame begins.
async fn home_with_a_last_frame() -> (Home, u64) {
    let home = Home::new();
    let running = home.open().await.unwrap();
    for batch in 0..BATCHES {
        running.write(&(0..ROWS).map(|row| line(batch, row)).collect::<String>()).await;
        if batch == 1 {
            running.node.database(&super::in_process::database()).unwrap().persist_all().await.unwrap();
        }
    }
    let begin = len(&home.newest_segment());
    running.write(&line(BATCHES, 0)).await;
    running.crash().await;
    (home, begin)
}

#[tokio::test]
async fn a_log_cut_off_within_its_last_frame_opens_with_all_before_it() {
    let captured = Captured::start();
    let (home, begin) = home_with_a_last_frame().await;
    let end = len(&home.newest_segment());
    assert!((20..1_000).contains(&(end - begin)), "the last frame has {} bytes", end - begin);
    let before: Vec<_> = (0..BATCHES).flat_map(|batch| pairs_of(batch, ROWS)).collect();
    let whole: Vec<_> = before.iter().copied().chain(pairs_of(BATCHES, 1)).collect();
    captured.take();
    for cut in begin..=end {
        let copy = home.copy();
        let segment = copy.newest_segment();
        std::fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(cut).unwrap();
        let running = copy.open().await.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let log = captured.take();
        assert_eq!(
            running.pairs().await.unwrap(),
            if cut == end { &*whole } else { &*before },
            "cut at {cut} of {end}"
        );
        let torn = cut != begin && cut != end;
        assert_eq!(log.contains("unfinished write"), torn, "cut at {cut} of {begin}..{end}: {log}");
        assert!(!log.contains("ERROR"), "a torn tail is nobody's fault: cut at {cut}: {log}");
        if cut % 16 == 0 {
            // It goes on from there, also over another start.
            running.write(&line(BATCHES + 1, 0)).await;
            running.crash().await;
            let running = copy.open().await.unwrap();
            let longer: Vec<_> = before.iter().copied().chain(pairs_of(BATCHES + 1, 1)).collect();
            assert!(cut == end || running.pairs().await.unwrap() == longer, "cut at {cut}");
            assert!(!captured.take().contains("unfinished write"), "reported once");
            running.crash().await;
        } else {
            running.crash().await;
        }
    }
    println!("{} cuts", end - begin + 1);
}
