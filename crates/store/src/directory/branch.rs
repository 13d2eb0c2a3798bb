//! One level of a directory.

use std::io;
use std::path::{Path, PathBuf};

use super::blocking::blocking;
use crate::api::LIST_MAX;
use crate::branch::{Branch, is_manifest};
use crate::error::{ErrorKind, StoreError};

/// What lies directly below `path`.
pub(crate) async fn branch(path: PathBuf) -> Result<Branch, StoreError> {
    blocking(move || look(&path)).await
}

fn look(path: &Path) -> Result<Branch, StoreError> {
    let what = "list what is below";
    let fail = |error| StoreError::io(what, path, error);
    let entries = match path.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Branch::default()),
        entries => entries.map_err(fail)?,
    };
    let mut branch = Branch::default();
    for (count, entry) in entries.enumerate() {
        if count >= LIST_MAX {
            let why = format!("{}: more than {LIST_MAX} names", path.display());
            return Err(StoreError::new(ErrorKind::Invalid, what, why));
        }
        let entry = entry.map_err(fail)?;
        let kind = entry.file_type().map_err(fail)?;
        let name = entry.file_name();
        // A link leads elsewhere, perhaps back to where we come from. A name that is no text is in no address.
        let Some(name) = name.to_str() else { continue };
        if kind.is_dir() {
            branch.add(name, &['/']);
        } else if kind.is_file() && is_manifest(name) {
            branch.has_manifest = true;
        }
    }
    Ok(branch.in_order())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed_and_what_is_not_there_has_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path();
        assert_eq!(look(&path.join("none")).unwrap(), Branch::default());
        std::fs::create_dir(path.join("app")).unwrap();
        std::os::unix::fs::symlink(path, path.join("round")).unwrap();
        std::fs::write(path.join("file"), "").unwrap();
        let found = look(path).unwrap();
        assert_eq!(found, Branch { directories: vec!["app".to_owned()], has_manifest: false });
        std::fs::write(path.join("ebbtide.json"), "{}").unwrap();
        assert!(look(path).unwrap().has_manifest);
    }
}
