//! Whether two texts name one place: a directory has many names, by links, by `..`, and relative to where we are.

use std::path::{Component, Path, PathBuf};

/// Whether two [addresses](super::Store::address) of stores are of the same directory, however it is written, or of the
/// same prefix of a bucket, however it is reached.
#[must_use]
pub fn same_place(one: &str, other: &str) -> bool {
    let (one, other) = (without_keys(one), without_keys(other));
    let is_same = || real_path(one.as_ref()) == real_path(other.as_ref());
    one == other || (is_directory(one) && is_directory(other) && is_same())
}

/// An address of a bucket without its endpoint and what else it is reached by.
fn without_keys(address: &str) -> &str {
    match address.split_once('?') {
        Some((place, _)) if address.starts_with("s3://") => place,
        _ => address,
    }
}

fn is_directory(place: &str) -> bool {
    place.starts_with('/')
}

/// The absolute path with its links resolved, as far as it exists.
#[must_use]
pub fn real_path(path: &Path) -> PathBuf {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some((above.canonicalize().ok()?, rest))
    });
    let (mut real, rest) = existing.unwrap_or((PathBuf::new(), path));
    for part in rest.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            Component::CurDir => {}
            part => real.push(part),
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o18_a_directory_is_the_same_however_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("disk")).unwrap();
        std::os::unix::fs::symlink(root.join("disk"), root.join("link")).unwrap();
        let place = |name: &str| format!("{}/{name}", root.display());
        for other in ["disk/app", "disk/app/", "disk/x/../app", "link/app", "disk/./app"] {
            assert!(same_place(&place("disk/app"), &place(other)), "{other}");
        }
        assert!(!same_place(&place("disk/app"), &place("disk/blog")));
        assert!(same_place("s3://bucket/app", "s3://bucket/app"));
        assert!(!same_place("s3://bucket/app", "s3://bucket/ap"));
    }

    #[test]
    fn a_bucket_is_the_same_however_it_is_reached() {
        assert!(same_place("s3://bucket/app", "s3://bucket/app?endpoint=http://127.0.0.1:9000"));
        assert!(same_place("s3://bucket/app?region=a", "s3://bucket/app?region=b"));
        assert!(!same_place("s3://bucket/app?region=a", "s3://bucket/ap?region=a"));
        assert!(!same_place("/disk/app?a", "/disk/app?b"), "a name of a directory");
    }
}
