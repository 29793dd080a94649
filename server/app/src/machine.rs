//! What the machine has.

use ochre_types::ByteSize;

/// What is assumed where the machine does not say.
const UNKNOWN: ByteSize = ByteSize::mib(4096);

/// The memory that this process may use at most: the machine's, or less where a control group says so.
pub fn memory() -> ByteSize {
    let total = read("/proc/meminfo").as_deref().and_then(meminfo).unwrap_or(UNKNOWN.0);
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = groups.iter().filter_map(|path| read(path)?.trim().parse::<u64>().ok()).min();
    ByteSize(total.min(limit.unwrap_or(u64::MAX)))
}

/// The memory that this process takes and that the system can't take back by dropping pages of files; `None` where the
/// machine does not say.
pub fn resident() -> Option<u64> {
    read("/proc/self/status").as_deref().and_then(private)
}

fn private(status: &str) -> Option<u64> {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).and_then(kibibytes);
    Some(line("RssAnon:")? + line("RssShmem:").unwrap_or(0))
}

fn kibibytes(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kibibytes(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_meminfo() {
        assert_eq!(meminfo("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(meminfo("nothing"), None);
        assert_eq!(private("VmRSS: 9 kB\nRssAnon:\t   3 kB\nRssFile:\t 5 kB\nRssShmem:\t 1 kB\n"), Some(4 << 10));
        assert!(memory().0 > 0);
    }
}
