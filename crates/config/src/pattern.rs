//! Databases that one table names together: all in a directory, or those whose paths match a pattern.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use ebbtide_store::Location;
use globset::{GlobBuilder, GlobMatcher};

use crate::Database;
use crate::origin::Origins;
use crate::placeholders::{above, read_back};
use crate::prices::Prices;
use crate::range::in_range;
use crate::settings::Values;
use crate::shown::{Shown, shown};

/// What makes a pattern of a path.
const SPECIAL: [char; 3] = ['*', '?', '['];

/// What stands for the name of a database in an address.
const WORDS: [&str; 3] = ["{relative}", "{name}", "{stem}"];

/// A directory or pattern, and what holds for each database that it names.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    root: PathBuf,
    /// What the path below the root must match; nothing: every file in it does.
    matcher: Option<GlobMatcher>,
    sees_hidden: bool,
    /// How many names below the root its paths have, if that is the same for all.
    depth: Option<usize>,
    values: Values,
    prices: Prices,
    pub(crate) origins: Origins,
}

/// By what is written.
impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        (&self.text, &self.root, &self.values, &self.prices)
            == (&other.text, &other.root, &other.values, &other.prices)
    }
}

impl Pattern {
    /// Whether a path names more than one database. A file that has such a name is one database all the same.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let path = Path::new(text);
        text.ends_with('/') || path.is_dir() || (text.contains(SPECIAL) && !path.is_file())
    }

    /// What `values` says of the databases that its path names.
    pub(crate) fn new(values: Values, origins: Origins, prices: Prices) -> Result<Pattern, String> {
        let text = values.path.clone().unwrap_or_default();
        check_addresses(&values)?;
        let (root, rest) = split(&text);
        let absolute = std::path::absolute(Path::new(root));
        let root = absolute.map_err(|error| format!("{root}: {error}"))?;
        // Everything in the directories that it names.
        let rest = if rest.ends_with('/') { format!("{rest}**") } else { rest.to_owned() };
        let matcher = match rest.as_str() {
            "" => None,
            rest => {
                let glob = GlobBuilder::new(rest).literal_separator(true).build();
                Some(glob.map_err(|error| error.to_string())?.compile_matcher())
            }
        };
        let sees_hidden = rest.starts_with('.') || rest.contains("/.");
        let is_bounded = matcher.is_some() && !rest.contains("**");
        let depth = is_bounded.then(|| rest.split('/').count());
        let pattern = Pattern { text, root, matcher, sees_hidden, depth, values, prices, origins };
        // What is out of its range is told now, and not once there is a database.
        pattern.stand_in()?;
        Ok(pattern)
    }

    /// A database that stands for all of them.
    fn stand_in(&self) -> Result<Database, String> {
        self.database(&self.root.join("name.db"))
    }

    /// What holds for each of its databases, with the addresses as they are written.
    pub(crate) fn shown(&self) -> Result<Vec<Shown>, String> {
        let mut all = shown(&self.stand_in()?, &self.origins);
        for one in &mut all {
            match one.key {
                "replica" => one.value = self.values.replica.clone(),
                "mirror" => one.value = self.values.mirror.as_ref().map(|all| all.join(" ")),
                "state" => one.value = self.values.state.clone(),
                _ => {}
            }
        }
        Ok(all)
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The directory below which its databases are, as an absolute path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it names this absolute path, whatever is there.
    #[must_use]
    pub fn names(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else { return false };
        let is_hidden = |part: &OsStr| part.as_encoded_bytes().starts_with(b".");
        if below.as_os_str().is_empty() || (!self.sees_hidden && below.iter().any(is_hidden)) {
            return false;
        }
        self.matcher.as_ref().is_none_or(|matcher| matcher.is_match(below))
    }

    /// Whether there may be a database in this directory below the root, which is no link.
    #[must_use]
    pub fn enters(&self, directory: &Path) -> bool {
        let Ok(below) = directory.strip_prefix(&self.root) else { return false };
        let name = directory.file_name().unwrap_or_default().as_encoded_bytes();
        // Our own are hidden, too, and nothing in them is anybody's database.
        let is_ours = name.starts_with(b".") && name.ends_with(b"-ebbtide");
        let is_seen = self.sees_hidden || !name.starts_with(b".");
        is_seen && !is_ours && self.depth.is_none_or(|depth| below.components().count() < depth)
    }

    /// Whether rollback-journal databases are switched to a write-ahead log.
    #[must_use]
    pub fn enables_wal(&self) -> bool {
        self.values.enable_wal.unwrap_or(false)
    }

    /// Whether its databases are restored where none of them is there.
    #[must_use]
    pub fn restores_if_missing(&self) -> bool {
        self.values.restore_if_missing.unwrap_or(false)
    }

    /// Has them restored, whatever is written.
    pub fn restore_if_missing(&mut self) {
        self.values.restore_if_missing = Some(true);
    }

    /// The place below which the replicas of all its databases lie.
    ///
    /// # Errors
    /// When there is no one place.
    pub fn above_replicas(&self) -> Result<Location, String> {
        let replica = self.values.replica.as_deref().unwrap_or_default();
        above(replica).parse::<Location>().map_err(|error| format!("{replica}: {error}"))
    }

    /// What holds for the database whose replica lies there; nothing if its address does not tell which it is. Whoever can
    /// write there decides on the address, so a database is one that the pattern names, and lies below its directory.
    #[must_use]
    pub fn database_of(&self, replica: &Location) -> Option<Database> {
        let address = self.values.replica.as_deref()?;
        let names = replica.below(&self.above_replicas().ok()?)?;
        let (word, value) = read_back(address, &names)?;
        let is_name = |part| matches!(part, Component::Normal(_));
        if value.is_empty() || !Path::new(value).components().all(is_name) {
            return None;
        }
        let extension = Path::new(&self.text).extension().and_then(OsStr::to_str);
        let path = match (word, extension) {
            ("stem", Some(extension)) => self.root.join(format!("{value}.{extension}")),
            _ => self.root.join(value),
        };
        let database = self.database(&path).ok().filter(|_| self.names(&path))?;
        (database.location.place() == replica.place()).then_some(database)
    }

    /// What holds for the database at this absolute path.
    ///
    /// # Errors
    /// When its name cannot be put into the address of its replica.
    pub fn database(&self, path: &Path) -> Result<Database, String> {
        in_range(self.values.clone(), path, path.strip_prefix(&self.root).ok(), &self.prices)
    }
}

/// The directory that a pattern begins with, and the rest.
fn split(text: &str) -> (&str, &str) {
    let Some(special) = text.find(SPECIAL).filter(|_| !Path::new(text).is_dir()) else {
        return (text, "");
    };
    match text[..special].rfind('/') {
        Some(0) => ("/", &text[1..]),
        Some(slash) => (&text[..slash], &text[slash + 1..]),
        None => (".", text),
    }
}

/// Each database has a place of its own, which its name makes.
fn check_addresses(values: &Values) -> Result<(), String> {
    let mirrors = values.mirror.iter().flatten().map(|address| ("mirror", address));
    let addresses = [("replica", &values.replica), ("state", &values.state)];
    let addresses = addresses.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?)));
    for (key, address) in addresses.chain(mirrors) {
        if !WORDS.iter().any(|word| address.contains(word)) {
            return Err(format!(
                "{key} = {address}: each of several databases has one of its own: write {{relative}} for the path of the \
                 database below the directory, or {{name}} or {{stem}}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(path: &str, replica: &str) -> Pattern {
        let text = format!("[[database]]\npath = \"{path}\"\nreplica = \"{replica}\"\n");
        crate::Config::parse(&text).unwrap().patterns.remove(0)
    }

    #[test]
    fn the_database_of_a_replica_is_found_by_its_address() {
        for (path, replica, names) in [
            ("/data/t/**/*.db", "s3://bucket/t/{relative}?region=x", &["a.db", "deep/er/b.db"][..]),
            ("/data/t/*.db", "./backups/{stem}", &["a.db", "b c.db"]),
            ("/data/t/*/app.db", "/mnt/{relative}/replica", &["acme/app.db"]),
            ("/data/t/", "./{name}", &["a.db", "notes"]),
        ] {
            let pattern = pattern(path, replica);
            for name in names {
                let database = pattern.database(&Path::new("/data/t").join(name)).unwrap();
                let found = pattern.database_of(&database.location).unwrap();
                assert_eq!(found.path, database.path, "{replica}");
                let above = pattern.above_replicas().unwrap();
                assert!(database.location.below(&above).is_some(), "{replica}");
            }
        }
    }

    #[test]
    fn a_replica_of_no_database_of_the_pattern_is_none() {
        let tenants = pattern("/data/t/*.db", "s3://bucket/t/{relative}");
        for place in [
            "s3://bucket/t/a.txt",
            "s3://bucket/t/deep/a.db",
            "s3://bucket/t/.hidden.db",
            "s3://bucket/other/a.db",
            "s3://other/t/a.db",
            "s3://bucket/t",
            "/data/t/a.db",
        ] {
            assert!(tenants.database_of(&place.parse().unwrap()).is_none(), "{place}");
        }
        let anywhere = pattern("/data/t/**", "/mnt/{relative}");
        for place in ["/mnt/../etc/passwd", "/mnt/a/../../b.db", "/mnt/", "/mnt"] {
            let place = Location::Directory(PathBuf::from(place));
            assert!(anywhere.database_of(&place).is_none(), "{place}");
        }
        let twice = pattern("/data/t/*.db", "/mnt/{stem}/{name}");
        assert!(twice.database_of(&"/mnt/a/a.db".parse().unwrap()).is_none());
    }
}
