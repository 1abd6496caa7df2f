//! How much memory the kernel lets this process have, by its control groups.
//!
//! Version 2 as in the kernel's `admin-guide/cgroup-v2`, section Memory; version 1 as in
//! `admin-guide/cgroup-v1/memory`.

use std::fs;
use std::path::{Path, PathBuf};

/// What a group may use and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes. At the limit the kernel ends a process of the group.
    pub(super) limit: u64,
    /// Bytes, without what the kernel can drop: pages of files that nobody has read lately.
    pub(super) used: u64,
}

impl Room {
    /// The tightest of this process's groups and of those they are in; `None`: no limit.
    pub(super) fn here() -> Option<Self> {
        let listing = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::tightest(&listing, Path::new("/sys/fs/cgroup"))
    }

    /// `listing` as in `/proc/self/cgroup`, with the groups mounted at `root`.
    fn tightest(listing: &str, root: &Path) -> Option<Self> {
        let groups = listing.lines().filter_map(|line| Version::of(line, root));
        let rooms = groups.flat_map(|(version, top, path)| {
            let inside = path.trim_start_matches('/');
            // In a container the path is the host's, and its own group is the top.
            let own = top.join(inside);
            let lowest = if own.is_dir() { own } else { top.clone() };
            let up = lowest.ancestors().take_while(|group| group.starts_with(&top));
            up.filter_map(|group| version.room(group)).collect::<Vec<_>>()
        });
        rooms.min_by_key(Self::left)
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Whether so little is left that nothing new may begin. Once it is, more has to come free than
    /// had to be taken, so that this does not swing with each session.
    pub(super) fn is_short(&self, already: bool) -> bool {
        let reserve = (self.limit / 8).clamp(LEAST, MOST);
        self.left() < if already { reserve + reserve / 2 } else { reserve }
    }
}

/// The two ways in which the kernel shows a group.
#[derive(Clone, Copy, Debug)]
enum Version {
    One,
    Two,
}

impl Version {
    /// Version, mount and path of the group in one line of `/proc/self/cgroup`.
    fn of<'a>(line: &'a str, root: &Path) -> Option<(Self, PathBuf, &'a str)> {
        let mut parts = line.splitn(3, ':');
        match (parts.next()?, parts.next()?, parts.next()?) {
            ("0", "", path) => Some((Self::Two, root.to_owned(), path)),
            (_, "memory", path) => Some((Self::One, root.join("memory"), path)),
            _ => None,
        }
    }

    fn room(self, group: &Path) -> Option<Room> {
        let [limit, used, cache] = match self {
            Self::One => ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            Self::Two => ["memory.max", "memory.current", "inactive_file"],
        };
        let read = |name: &str| fs::read_to_string(group.join(name)).ok();
        let limit = read(limit)?.trim().parse().ok().filter(|limit| *limit < UNLIMITED)?;
        let used: u64 = read(used)?.trim().parse().ok()?;
        let stat = read("memory.stat")?;
        let fields = stat.lines().filter_map(|line| line.split_once(' '));
        let mut cached = fields.filter(|(name, _)| *name == cache);
        let cached = cached.next().and_then(|(_, bytes)| bytes.parse().ok()).unwrap_or(0);
        Some(Room { limit, used: used.saturating_sub(cached) })
    }
}

/// What may be asked for between two looks, and what is needed to end in order.
const LEAST: u64 = 16 << 20;
const MOST: u64 = 256 << 20;
/// Version 1 has a number for "no limit": the largest that is a whole number of pages.
const UNLIMITED: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_group_decides() {
        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, limit: &str, used: u64, cached: u64| {
            let path = root.path().join(path);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("memory.max"), limit).unwrap();
            fs::write(path.join("memory.current"), format!("{used}\n")).unwrap();
            let stat = format!("anon 1\ninactive_file {cached}\nactive_file 7\n");
            fs::write(path.join("memory.stat"), stat).unwrap();
        };
        group("system.slice", "1000\n", 900, 300);
        group("system.slice/adit.service", "max\n", 900, 0);
        let listing = "0::/system.slice/adit.service\n";
        let tightest = || Room::tightest(listing, root.path());
        assert_eq!(tightest(), Some(Room { limit: 1000, used: 600 }));
        group("system.slice/adit.service", "700\n", 650, 0);
        assert_eq!(tightest(), Some(Room { limit: 700, used: 650 }));
    }

    #[test]
    fn version_1_is_read_and_its_no_limit_is_none() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("memory");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.usage_in_bytes"), "500\n").unwrap();
        fs::write(group.join("memory.stat"), "inactive_file 9\ntotal_inactive_file 100\n").unwrap();
        // The path is the host's: what this container sees is its own group, at the top.
        let listing = "5:cpu:/x\n4:memory:/docker/abc\n0::/\n";
        for (limit, room) in
            [("9223372036854771712\n", None), ("800\n", Some(Room { limit: 800, used: 400 }))]
        {
            fs::write(group.join("memory.limit_in_bytes"), limit).unwrap();
            assert_eq!(Room::tightest(listing, root.path()), room);
        }
        assert_eq!(Room::tightest("nonsense\n1:memory\n", root.path()), None);
    }

    #[test]
    fn it_is_short_sooner_than_it_is_no_longer_short() {
        let mib = |used: u64| Room { limit: 512 << 20, used: used << 20 };
        let cases =
            [(440, false, false), (449, false, true), (440, true, true), (410, true, false)];
        for (used, already, short) in cases {
            assert_eq!(mib(used).is_short(already), short, "{used} MiB");
        }
        let small = Room { limit: 64 << 20, used: 40 << 20 };
        assert!(!small.is_short(false));
        assert!(Room { used: 49 << 20, ..small }.is_short(false));
        assert!(Room { used: 80 << 20, ..small }.is_short(false));
    }
}
