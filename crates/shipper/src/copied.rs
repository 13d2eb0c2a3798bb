//! Recognizes a database that was copied together with its local state, while the original still exists on this host.
//!
//! The local state alone does not show which of the two files the replica belongs to, and a process that follows the
//! copy would fence the process that follows the original.

use std::path::Path;

use ebbtide_replica::{Claim, ClaimedFile};
use ebbtide_state::{FileIdentity, state_directory};

/// The file of which this one is a copy: the one that the replica's newest claim names, if it still exists on this host
/// with a local state of its own. `directory` is that of this database's local state: two paths to one local state are
/// the same database.
///
/// Hosts are compared by name. Whether a file on another host still exists cannot be checked, and a database that is
/// restored on a new host continues its replica without an option.
pub(crate) fn original_of(
    claim: Option<&Claim>,
    host: &str,
    file: Option<&ClaimedFile>,
    directory: &Path,
) -> Option<String> {
    let (claim, file) = (claim?, file?);
    let original = claim.database.as_deref()?;
    // Only inodes are compared: a device number may change with a restart of the machine.
    if claim.host != host || original.path == file.path || original.inode == file.inode {
        return None;
    }
    let identity = |path: &Path| path.metadata().ok().map(|found| FileIdentity::of(&found));
    let path = Path::new(&original.path);
    let is_there = identity(path).is_some_and(|found| found.inode == original.inode);
    let state = identity(&state_directory(path));
    (is_there && state.is_some() && state != identity(directory)).then(|| original.path.clone())
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::Timestamp;

    use super::*;

    fn claimed(path: &Path) -> ClaimedFile {
        let identity = FileIdentity::of(&path.metadata().unwrap());
        let path = path.to_str().unwrap().to_owned();
        ClaimedFile { path, device: identity.device, inode: identity.inode }
    }

    #[test]
    fn only_another_file_beside_the_claimed_one_is_an_original() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        for name in ["app.db", "copy.db"] {
            std::fs::write(place(name), name).unwrap();
        }
        let (original, copy) = (claimed(&place("app.db")), claimed(&place("copy.db")));
        let claim = Claim {
            host: "db1".to_owned(),
            pid: 1,
            session: String::new(),
            version: String::new(),
            time: Timestamp::EPOCH,
            database: Some(Box::new(original.clone())),
            manifest: None,
        };
        let directory_of = |name: &str| state_directory(&place(name));
        let is_copy = |host, file: &ClaimedFile| {
            let directory = directory_of("copy.db");
            original_of(Some(&claim), host, Some(file), &directory).is_some()
        };
        assert!(!is_copy("db1", &copy), "it was never followed here");
        std::fs::create_dir(directory_of("app.db")).unwrap();
        assert!(is_copy("db1", &copy));
        assert!(!is_copy("db2", &copy));
        assert!(!is_copy("db1", &original));
        std::fs::hard_link(place("app.db"), place("link.db")).unwrap();
        assert!(!is_copy("db1", &claimed(&place("link.db"))));
        // Another file has the path of the original.
        std::fs::rename(place("app.db"), place("aside.db")).unwrap();
        std::fs::write(place("app.db"), "new").unwrap();
        assert!(!is_copy("db1", &copy));
        std::fs::remove_file(place("app.db")).unwrap();
        assert!(!is_copy("db1", &copy));
        assert!(original_of(None, "db1", Some(&copy), directory.path()).is_none());
    }
}
