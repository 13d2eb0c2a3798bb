//! Whether there are descriptors enough for all databases, and for one more.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

/// What a database takes that an application has open: three of SQLite's connection, one of the wal-index, one of the
/// database, and one more while it is written.
const EACH: u64 = 6;

/// What is open besides: the store, the socket, watches, and the starts that are under way.
const BESIDE: u64 = 200;

/// Below this limit errors tell by themselves: one database may be followed with less than is left over otherwise.
const LIMIT_MIN: u64 = 64;

/// Fewer databases have what they need, or fail with a word about it.
const MANY: usize = 20;

/// Says once for each doubling that there are more databases than descriptors.
#[derive(Debug, Default)]
pub(super) struct DescriptorCheck {
    told: u64,
}

impl DescriptorCheck {
    /// There are so many databases now.
    pub(super) fn look(&mut self, databases: usize) {
        let needed = descriptors_needed(databases as u64);
        if databases < MANY || needed <= self.told {
            return;
        }
        let Ok((_, limit)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
        if needed > limit {
            self.told = needed * 2;
            tracing::error!(
                databases,
                limit,
                needed,
                "too few files may be open for so many databases: raise the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd)"
            );
        }
    }
}

/// Too few descriptors are left to follow one more database: what is left is for those that are followed, for the store, and
/// for those who ask how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoDescriptors {
    /// How many are open.
    pub(crate) open: u64,
    /// How many may be.
    pub(crate) limit: u64,
}

impl NoDescriptors {
    /// Looks whether it is so. Where the system does not say how many are open, it is not.
    pub(crate) fn look() -> Option<NoDescriptors> {
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let open = open_now().filter(|&open| is_short(open, limit))?;
        Some(NoDescriptors { open, limit })
    }
}

/// A quarter of a low limit is left, and no more than [`BESIDE`] of a high one.
fn is_short(open: u64, limit: u64) -> bool {
    limit >= LIMIT_MIN && open + EACH + BESIDE.min(limit / 4) > limit
}

/// How many descriptors this process has open: the size of that directory since Linux 6.2, the number of its entries before.
fn open_now() -> Option<u64> {
    const OPEN: &str = "/proc/self/fd";
    match fs::metadata(OPEN).ok()?.len() {
        0 => Some(fs::read_dir(OPEN).ok()?.count() as u64),
        open => Some(open),
    }
}

/// How many files a process has open that follows so many databases.
#[must_use]
pub fn descriptors_needed(databases: u64) -> u64 {
    databases.saturating_mul(EACH).saturating_add(BESIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_databases_need_sixty_thousand_descriptors() {
        assert_eq!((descriptors_needed(1), descriptors_needed(10_000)), (206, 60_200));
    }

    #[test]
    fn the_last_descriptors_are_left_to_those_that_are_followed() {
        assert!(!is_short(19_794, 20_000) && is_short(19_795, 20_000));
        assert!(!is_short(69, 100) && is_short(70, 100) && !is_short(40, 40));
        let before = open_now().unwrap();
        let files: Vec<fs::File> = (0..10).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // Other tests of this process open and close some, too.
        assert!(open_now().unwrap() + 5 >= before + files.len() as u64);
    }
}
