//! What a process takes, from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::e2e::server::Server;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(10);

/// Notes the most memory that a server takes, as far as the system can't take it back by dropping pages of files.
pub struct Watch {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    pid: u32,
}

impl Watch {
    /// Looks at a server until dropped.
    pub fn of(server: &Server) -> Self {
        let (most, stop, pid) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), server.pid());
        let thread = std::thread::spawn({
            let (most, stop) = (most.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    most.fetch_max(resident(pid).unwrap_or(0), Ordering::Relaxed);
                    std::thread::sleep(LOOK);
                }
            }
        });
        Self { most, stop, thread: Some(thread), pid }
    }

    /// The most so far, in bytes.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Panics unless the process is alive and never took more than 1.1 of its budget.
    pub fn check(&self, what: &str, budget_mib: u64) {
        let most = self.most() >> 20;
        println!("{what}: {most} MiB at most, of {budget_mib} MiB");
        assert!(resident(self.pid).is_some_and(|now| now > 0), "{what}: the process is gone");
        assert!(most > 0 && most * 10 <= budget_mib * 11, "{what}: {most} MiB were taken, of {budget_mib} MiB");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kib("RssAnon:")? + kib("RssShmem:")?) << 10)
}
