//! Which SQLite a process has, by what it has mapped: a library of its own, or the program itself.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ebbtide_directory::read_start;

use super::finding::{Check, Finding};

/// Larger libraries and programs are not searched.
const BYTES_MAX: u64 = 256 << 20;

/// The first version without the WAL-reset bug.
const FIXED: [u32; 3] = [3, 51, 3];

/// The digits of the hash at the end of what SQLite says of its source.
const HASH_DIGITS: usize = 64;
/// The length of the date and time before that, with the spaces around the time.
const DATE_BYTES: usize = "2026-01-01 00:00:00 ".len();

/// What a process has of SQLite.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SqliteVersion {
    /// Where it was seen.
    file: PathBuf,
    /// Its version, where a library of its own says it.
    version: Option<[u32; 3]>,
    /// The day of its source.
    day: String,
}

impl SqliteVersion {
    /// That of the process with this directory of /proc, if it can be seen.
    pub(super) fn of(process: &Path) -> Option<SqliteVersion> {
        let maps = fs::read_to_string(process.join("maps")).ok()?;
        let libraries = mapped(&maps).filter(|path| is_named_for_sqlite(path));
        let root = process.join("root");
        // As the process sees it, which may be in a container.
        let within = |path: &Path| path.strip_prefix("/").map(|path| root.join(path));
        let mut found = libraries.filter_map(|path| {
            let bytes = read(&within(path).ok()?)?;
            let version = version(&bytes);
            Some(SqliteVersion { file: path.to_owned(), version, day: day(&bytes)? })
        });
        found.next().or_else(|| {
            let file = fs::read_link(process.join("exe")).ok()?;
            Some(SqliteVersion { day: day(&read(&process.join("exe"))?)?, version: None, file })
        })
    }

    /// What is to be said of it.
    pub(super) fn finding(&self, process: u32) -> Finding {
        let seen = format!("process {process} has {self}, in {}", self.file.display());
        match self.version {
            Some(version) if version < FIXED => Finding::note(
                Check::Sqlite,
                seen,
                "before 3.51.3 SQLite has the WAL-reset bug, unless it was mended in an older version; beside a running \
                 ebbtide nothing is lost by it",
            ),
            _ => Finding::ok(Check::Sqlite, seen),
        }
    }
}

impl fmt::Display for SqliteVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some([major, minor, patch]) => write!(f, "SQLite {major}.{minor}.{patch}"),
            None => write!(f, "an SQLite of {}", self.day),
        }
    }
}

/// The files that a process executes, in the lines of proc_pid_maps(5), each once.
fn mapped(maps: &str) -> impl Iterator<Item = &Path> {
    let mut last = "";
    maps.lines().filter_map(move |line| {
        let mut fields = line.splitn(6, ' ').skip(1);
        let is_executable = fields.next()?.contains('x');
        let path = fields.last()?.trim_start();
        if !is_executable || !path.starts_with('/') || path == last {
            return None;
        }
        last = path;
        Some(Path::new(path))
    })
}

fn is_named_for_sqlite(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.to_ascii_lowercase().contains("sqlite")
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let is_searched = |metadata: &fs::Metadata| metadata.len() <= BYTES_MAX;
    read_start(path, BYTES_MAX, is_searched).ok().flatten().map(|(bytes, _)| bytes)
}

/// The day of the source: SQLite has "2026-01-01 00:00:00" and 64 digits in it, as `sqlite_source_id()` returns them.
fn day(bytes: &[u8]) -> Option<String> {
    let is_source = |text: &[u8]| {
        let (date, hash) = text.split_at(DATE_BYTES);
        let shape = |(byte, shown): (&u8, u8)| {
            if shown.is_ascii_digit() { byte.is_ascii_digit() } else { *byte == shown }
        };
        date.iter().zip(*b"2026-01-01 00:00:00 ").all(shape)
            && hash.iter().all(u8::is_ascii_alphanumeric)
    };
    // It begins with the century.
    let mut windows = bytes.windows(DATE_BYTES + HASH_DIGITS);
    let found = windows.find(|text| text.starts_with(b"20") && is_source(text))?;
    str::from_utf8(&found[.."2026-01-01".len()]).ok().map(str::to_owned)
}

/// The version that a library of SQLite has in it: a text by itself, such as "3.51.3".
fn version(bytes: &[u8]) -> Option<[u32; 3]> {
    let texts = bytes.split(|&byte| byte == 0).filter(|text| text.starts_with(b"3."));
    let parse = |text: &[u8]| -> Option<[u32; 3]> {
        let numbers = str::from_utf8(text).ok()?.split('.').map(|number| number.parse().ok());
        numbers.collect::<Option<Vec<u32>>>()?.try_into().ok()
    };
    texts.filter_map(parse).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_says_its_version_and_day() {
        let hash = "ab12".repeat(16);
        let source = format!("2022-12-28 14:03:47 {hash}");
        let texts = |texts: &[&str]| texts.join("\0").into_bytes();
        let bytes = texts(&["x", "3.7", "3.40.1", &source, ""]);
        assert_eq!(version(&bytes), Some([3, 40, 1]));
        assert_eq!(day(&bytes).as_deref(), Some("2022-12-28"));
        assert_eq!(day(b"2022-12-28 14:03:47 and so on"), None);
        assert_eq!(version(&texts(&["3.40", "3.x.1"])), None);
    }

    #[test]
    fn mapped_files_are_those_that_are_executed() {
        let maps = "7f00-7f01 r--p 00000000 08:01 11 /usr/lib/libsqlite3.so.0.8.6\n\
                    7f01-7f02 r-xp 00001000 08:01 11 /usr/lib/libsqlite3.so.0.8.6\n\
                    7f02-7f03 r-xp 00002000 08:01 11 /usr/lib/libsqlite3.so.0.8.6\n\
                    7f02-7f03 r-xp 00000000 08:01 12   /usr/lib/a library.so\n\
                    7f03-7f04 r-xp 00000000 00:00 0    [vdso]\n\
                    7f04-7f05 rw-p 00000000 00:00 0\n";
        let found: Vec<&Path> = mapped(maps).collect();
        let all = ["/usr/lib/libsqlite3.so.0.8.6", "/usr/lib/a library.so"].map(Path::new);
        assert_eq!(found, all);
    }
}
