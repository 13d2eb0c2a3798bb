//! Other names of a database's file. SQLite derives the name of the log from the name of the database, so a process
//! that opens the file by another hard link, or through a bind mount of the file alone, writes another log. That log is
//! not followed, and it will damage the database.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files::Paths;

/// A sentence about the other names of the file; `None` if this process can see none.
pub(crate) fn other_names(database: &Path) -> Option<String> {
    let metadata = fs::metadata(database).ok()?;
    let links = metadata.nlink();
    if links > 1 {
        return Some(format!(
            "{links} hard links: whoever opens it by another name than {} has another log, which is not followed",
            database.display()
        ));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let device = (nix::sys::stat::major(metadata.dev()), nix::sys::stat::minor(metadata.dev()));
    let at = mounts_on(&mounts, device).find(|mount| {
        // Of a directory, or of another file.
        fs::metadata(mount).is_ok_and(|found| {
            found.is_file() && (found.dev(), found.ino()) == (metadata.dev(), metadata.ino())
        })
    })?;
    Some(format!(
        "a mount of the file alone at {}: whoever opens it by its name elsewhere has another log, which is not followed; \
         mount its directory instead",
        at.display()
    ))
}

/// Logs an error if the file has other names. Returns whether it has any.
pub(crate) fn tell_names(paths: &Paths) -> bool {
    let names = other_names(&paths.database);
    if let Some(names) = &names {
        tracing::error!(database = %paths.given.display(), "the database has other names: {names}");
    }
    names.is_some()
}

/// Whether the file has more than one hard link. One system call.
pub(crate) fn is_linked(paths: &Paths) -> bool {
    fs::metadata(&paths.database).is_ok_and(|metadata| metadata.nlink() > 1)
}

/// The mount points of a device in the lines of proc_pid_mountinfo(5).
fn mounts_on(mounts: &str, (major, minor): (u64, u64)) -> impl Iterator<Item = PathBuf> {
    let device = format!("{major}:{minor}");
    mounts.lines().filter_map(move |line| {
        let mut fields = line.split(' ').skip(2);
        let is_on = fields.next()? == device;
        is_on.then(|| fields.nth(1).map(unescape)).flatten()
    })
}

/// Decodes the octal escapes of space, tab, line break and backslash.
fn unescape(field: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes
        .iter()
        .fold(field.to_owned(), |field, (octal, plain)| field.replace(octal, plain))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_those_of_the_device_as_they_are_called() {
        let mounts = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                      37 35 254:1 /data/app.db /srv/my\\040app.db rw shared:2 - ext4 /dev/vda rw\n\
                      38 35 254:1\n";
        let found: Vec<_> = mounts_on(mounts, (254, 1)).collect();
        assert_eq!(found, [PathBuf::from("/srv/my app.db")]);
    }

    #[test]
    fn a_second_hard_link_is_another_name() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("app.db"), directory.path().join("other.db"));
        fs::write(&one, "").unwrap();
        assert_eq!(other_names(&one), None);
        fs::hard_link(&one, two).unwrap();
        assert!(other_names(&one).unwrap().starts_with("2 hard links"));
    }
}
