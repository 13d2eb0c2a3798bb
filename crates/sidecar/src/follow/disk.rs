//! How much room the disks of a database have.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// How many bytes are free for its user on the disk of any of these paths that has the least; nothing if none can be asked.
#[must_use]
pub fn free_bytes<'a>(paths: impl Iterator<Item = &'a Path>) -> Option<u64> {
    // Some file systems do not say how large they are.
    let disks = paths.filter_map(|path| statvfs(path).ok()).filter(|disk| disk.blocks() > 0);
    disks.map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_does_not_say_how_large_it_is_counts_for_nothing() {
        let here = Path::new("/");
        assert!(free_bytes([here].into_iter()).is_some());
        for nothing in ["/proc", "/no/such/place"] {
            assert_eq!(free_bytes([Path::new(nothing)].into_iter()), None, "{nothing}");
            assert!(free_bytes([Path::new(nothing), here].into_iter()).is_some());
        }
    }
}
