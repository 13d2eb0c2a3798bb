//! Whether there are descriptors enough for all databases.

use nix::sys::resource::{Resource, getrlimit};

/// What a database takes that an application has open: three of SQLite's connection, one of the wal-index, one of the
/// database, and one more while it is written.
const EACH: u64 = 6;

/// What is open besides: the store, the socket, watches, and the starts that are under way.
const BESIDE: u64 = 200;

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
}
