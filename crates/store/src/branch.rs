//! What lies directly below an address: whether it is a replica's own, and the directories in which others may lie.

use ebbtide_replica::{Key, KeyPrefix};

/// One level of names below an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Branch {
    /// The directories, without slashes, in the order of their names.
    pub directories: Vec<String>,
    /// Whether `ebbtide.json` lies here.
    pub has_manifest: bool,
}

impl Branch {
    /// Whether a replica lies here. A rule about old objects may have deleted its `ebbtide.json`.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        let has = |directory: KeyPrefix| self.directories.contains(&directory.to_string());
        self.has_manifest
            || has(KeyPrefix::Log) && (has(KeyPrefix::Snapshot) || has(KeyPrefix::Pack))
    }

    /// The directories that are not a replica's own.
    pub fn below(&self) -> impl Iterator<Item = &str> {
        let is_replica = self.is_replica();
        let names = self.directories.iter().map(String::as_str);
        names.filter(move |&name| !is_replica || !is_own(name))
    }

    /// Adds a directory, if its name can stand in an address, in which these characters mean something else.
    pub(crate) fn add(&mut self, name: &str, special: &[char]) {
        let is_odd = name.is_empty()
            || name == "."
            || name == ".."
            || name.contains(special)
            || name.chars().any(char::is_control);
        match is_odd {
            true => tracing::warn!(
                name = name.escape_debug().to_string(),
                "passed over a directory whose name can be in no address"
            ),
            false => self.directories.push(name.to_owned()),
        }
    }

    /// With the directories in order, each once.
    pub(crate) fn in_order(mut self) -> Branch {
        self.directories.sort_unstable();
        self.directories.dedup();
        self
    }
}

/// Whether a replica has a directory of this name itself.
fn is_own(name: &str) -> bool {
    KeyPrefix::ALL.iter().any(|own| own.to_string() == name)
}

/// Whether a name is that of the object that every replica begins with.
pub(crate) fn is_manifest(name: &str) -> bool {
    Key::parse(name) == Some(Key::Manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(directories: &[&str], has_manifest: bool) -> Branch {
        let mut branch = Branch { has_manifest, ..Branch::default() };
        directories.iter().for_each(|name| branch.add(name, &['/', '?', '#']));
        branch.in_order()
    }

    #[test]
    fn a_replica_is_known_by_its_manifest_or_by_its_directories() {
        assert!(branch(&[], true).is_replica());
        assert!(branch(&["log", "snap"], false).is_replica());
        assert!(branch(&["pack", "log", "other"], false).is_replica());
        assert!(!branch(&["log"], false).is_replica());
        assert!(!branch(&["snap", "a"], false).is_replica());
        let replica = branch(&["log", "snap", "mark", "eu"], true);
        assert_eq!(replica.below().collect::<Vec<_>>(), ["eu"]);
        let folder = branch(&["log", "eu", "eu"], false);
        assert_eq!(folder.below().collect::<Vec<_>>(), ["eu", "log"]);
    }

    #[test]
    fn names_that_no_address_can_have_are_passed_over() {
        let odd = branch(&["", ".", "..", "a/b", "what?", "x\u{1b}", "fine name"], false);
        assert_eq!(odd.directories, ["fine name"]);
    }
}
