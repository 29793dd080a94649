//! A disk that fills up under the log, and has room again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::kills::{begin, check};
use super::writers::{Writers, count};
use crate::e2e::server::{Start, dir};
use crate::fuzz::random::Random;

/// The disk; the server keeps 64 MiB of it free.
const DISK: &str = "size=80m";
/// What somebody else's file takes of it: no room is left for the log.
const OTHERS: usize = 20 << 20;

/// A file system of its own, gone when dropped.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(path: &'a Path) -> Result<Self, String> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(path).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Self(path)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_loses_nothing() {
    let (disk, objects) = (dir(), dir());
    let _mount = match Mount::new(disk.path()) {
        Ok(mount) => mount,
        Err(reason) => {
            println!("SKIPPED: a small file system can't be mounted here: {reason}");
            return;
        }
    };
    let data_dir = disk.path().join("data");
    let url = format!("file://{}", objects.path().display());
    let start = Start::in_dir(&data_dir).args(&["--object-store", &url]);
    let mut writers = Writers::new(4);
    begin(start.clone(), &mut writers).await;
    let mut random = Random::new(7);
    let mut server = start.start();
    let url = server.url("");
    let a_second = || tokio::time::sleep(Duration::from_secs(1));
    writers.work(&url, &mut random, a_second()).await;

    let ballast = disk.path().join("others");
    std::fs::write(&ballast, vec![1; OTHERS]).unwrap();
    writers.work(&url, &mut random, a_second()).await;
    let refused = server.post("/write?db=crash", "load,writer=x v=1i 1\n").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty(), "{:?}", refused.headers);
    assert!(refused.text().contains("the log has no room"), "{}", refused.text());
    let rows = count(&reqwest::Client::new(), &url).await;
    assert!(rows.is_some_and(|rows| rows > 0), "queries go on");

    std::fs::remove_file(&ballast).unwrap();
    let before = writers.journal.lock().there();
    // Writers try again while they are refused.
    writers.work(&url, &mut random, tokio::time::sleep(Duration::from_secs(4))).await;
    assert!(writers.journal.lock().there() > before, "it takes writes again");
    let again = server.again();
    server.kill();
    let server = again.start();
    check(&server, &writers, "after a full disk and a crash").await;
    println!("{:?} batches and rows", writers.journal.lock().there());
}
