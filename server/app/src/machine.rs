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

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_meminfo() {
        assert_eq!(meminfo("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(meminfo("nothing"), None);
        assert!(memory().0 > 0);
    }
}
