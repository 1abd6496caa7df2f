//! What the kernel says of this process. Linux; elsewhere nothing.

/// How many files, sockets among them, it has open.
pub(super) fn open_files() -> Option<i64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the reading itself.
    i64::try_from(count.saturating_sub(1)).ok()
}

/// How much memory it holds.
pub(super) fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
