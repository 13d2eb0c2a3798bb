//! What a look finds, in directories as operators have them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use ebbtide_config::Config;
use tempfile::TempDir;

use super::*;

/// A directory, a pattern over it, and a clock of its own.
struct Place {
    directory: TempDir,
    book: Book,
    now: Instant,
    followed: HashSet<FileKey>,
}

impl Place {
    fn new(pattern: &str, more: &str) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("data");
        fs::create_dir(&root).unwrap();
        let text = format!(
            "[[database]]\npath = \"{}/{pattern}\"\nreplica = \"/replica/{{relative}}\"\n{more}",
            root.display()
        );
        let mut book = Book::new(None);
        book.set_patterns(Arc::new(Config::parse(&text).unwrap().patterns));
        Place { directory, book, now: Instant::now(), followed: HashSet::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }

    /// A database, which was made long ago.
    fn database(&self, name: &str, mode: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let application = rusqlite::Connection::open(&path).unwrap();
        let sql = format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE t (b); INSERT INTO t VALUES (zeroblob(9000))"
        );
        application.execute_batch(&sql).unwrap();
        path
    }

    /// Looks, so much later.
    fn after(&mut self, millis: u64, at: Where) -> Vec<Change> {
        self.now += Duration::from_millis(millis);
        // The files' own clock stands still, so that nothing is old.
        self.book.look(at, &self.followed, self.now, SystemTime::UNIX_EPOCH)
    }

    fn everywhere(&mut self, millis: u64) -> Vec<String> {
        let changes = self.after(millis, Where::Everywhere);
        self.told(changes)
    }

    fn told(&self, changes: Vec<Change>) -> Vec<String> {
        let told = |change| {
            let (what, path) = match change {
                Change::Appeared { path, .. } => ("+", path),
                Change::Replaced { path, .. } => ("~", path),
                Change::Journal { path } => ("journal ", path),
                Change::Vanished { path } => ("-", path),
            };
            let name = path.strip_prefix(self.path("")).unwrap().to_string_lossy().into_owned();
            format!("{what}{name}")
        };
        let mut all: Vec<String> = changes.into_iter().map(told).collect();
        all.sort();
        all
    }
}

#[test]
fn databases_are_told_once_and_nothing_beside_them_is_one() {
    let mut place = Place::new("**/*", "");
    place.database("a.db", "WAL");
    place.database("deep/down/b.sqlite", "WAL");
    place.database(".hidden/c.db", "WAL");
    place.database("replica/d.db", "WAL");
    fs::write(place.path("replica/ebbtide.json"), "{}").unwrap();
    fs::create_dir(place.path(".a.db-ebbtide")).unwrap();
    fs::write(
        place.path("notes.txt"),
        "nothing of SQLite's, and more than a hundred bytes of it. ".repeat(5),
    )
    .unwrap();
    symlink(place.path("nowhere"), place.path("dangling.db")).unwrap();
    symlink(place.path(""), place.path("deep/loop")).unwrap();
    place.everywhere(0);
    assert_eq!(place.everywhere(200), ["+a.db", "+deep/down/b.sqlite"]);
    assert_eq!(place.everywhere(1000), [""; 0]);
    let mut others = 0;
    place.book.count(|_, standing| others += u64::from(standing == Standing::Other));
    assert_eq!(others, 1, "the notes");
    fs::rename(place.path("a.db"), place.path("nowhere")).unwrap();
    place.everywhere(0);
    let told = place.everywhere(400);
    assert!(
        told.contains(&"-a.db".to_owned()) && told.contains(&"+dangling.db".to_owned()),
        "{told:?}"
    );
}

#[test]
fn names_may_be_anything_that_a_file_system_takes() {
    let mut place = Place::new("*", "");
    let names: [&[u8]; 3] = [b"new\nline.db", b"not\xffUTF-8.db", b"*.db"];
    for name in names {
        let from = place.database("seed", "WAL");
        fs::rename(from, place.path("").join(OsStr::from_bytes(name))).unwrap();
    }
    place.everywhere(0);
    let changes = place.after(200, Where::Everywhere);
    assert_eq!(changes.len(), 3, "{changes:?}");
}

/// What a copy has not written yet must not be followed: it would be compared with the rest once that comes.
#[test]
fn a_copy_is_told_once_all_of_it_is_there_and_nobody_writes_it() {
    let mut place = Place::new("*.db", "");
    let whole = place.database("whole", "WAL");
    let bytes = fs::read(whole).unwrap();
    let path = place.path("copy.db");
    for length in [0, 50, 4096, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        place.everywhere(1000);
        assert_eq!(place.everywhere(1000), [""; 0], "{length} of {} bytes", bytes.len());
    }
    fs::write(&path, &bytes).unwrap();
    let at = || Where::At([path.clone()].into());
    assert_eq!(place.after(1000, at()), [], "it may go on");
    let changes = place.after(200, Where::Pending);
    assert_eq!(place.told(changes), ["+copy.db"]);
}

#[test]
fn a_database_in_rollback_journal_mode_is_told_or_followed() {
    let mut place = Place::new("*.db", "");
    let path = place.database("a.db", "DELETE");
    place.everywhere(0);
    assert_eq!(place.everywhere(1000), [""; 0], "it may be switched yet");
    assert_eq!(place.everywhere(2000), ["journal a.db"]);
    assert_eq!(place.everywhere(2000), [""; 0]);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    place.after(1000, Where::Pending);
    let changes = place.after(1000, Where::Pending);
    assert_eq!(place.told(changes), ["+a.db"]);
    let mut place = Place::new("*.db", "enable-wal = true");
    place.database("a.db", "DELETE");
    place.everywhere(0);
    assert_eq!(place.everywhere(200), ["+a.db"]);
}

#[test]
fn what_is_gone_is_told_after_a_moment_and_what_is_replaced_is_not_gone() {
    let mut place = Place::new("**/*.db", "");
    for name in ["a/1.db", "a/2.db", "b.db"] {
        place.database(name, "WAL");
    }
    place.everywhere(0);
    assert_eq!(place.everywhere(200).len(), 3);
    // A directory of them is moved.
    fs::rename(place.path("a"), place.path("c")).unwrap();
    let at = [place.path("a"), place.path("c")].into();
    place.after(10, Where::At(at));
    let changes = place.after(400, Where::Pending);
    assert_eq!(place.told(changes), ["+c/1.db", "+c/2.db", "-a/1.db", "-a/2.db"]);
    // Removed and made again at once, while it is open: otherwise the new one may get its inode.
    let _open = fs::File::open(place.path("b.db")).unwrap();
    fs::remove_file(place.path("b.db")).unwrap();
    place.after(10, Where::At([place.path("b.db")].into()));
    let other = place.database("other", "WAL");
    fs::rename(other, place.path("b.db")).unwrap();
    let changes = place.after(400, Where::Pending);
    assert_eq!(place.told(changes), ["~b.db"]);
}

#[test]
fn nothing_is_gone_because_the_directory_is() {
    let mut place = Place::new("*.db", "");
    place.database("a.db", "WAL");
    place.everywhere(0);
    assert_eq!(place.everywhere(200), ["+a.db"]);
    let elsewhere = place.directory.path().join("elsewhere");
    fs::rename(place.path(""), &elsewhere).unwrap();
    for _ in 0..3 {
        assert_eq!(place.everywhere(1000), [""; 0]);
        assert!(place.book.has_lost());
    }
    fs::rename(&elsewhere, place.path("")).unwrap();
    assert_eq!(place.everywhere(1000), [""; 0]);
    assert!(!place.book.has_lost());
    fs::remove_file(place.path("a.db")).unwrap();
    place.everywhere(0);
    assert_eq!(place.everywhere(400), ["-a.db"]);
}

/// Closing a descriptor of a file drops the locks of all connections that this process has to it.
#[test]
fn a_file_that_is_followed_is_not_opened_under_another_name() {
    let mut place = Place::new("*.db", "");
    let path = place.database("a.db", "WAL");
    place.followed.insert(key_of(&fs::metadata(&path).unwrap()));
    fs::hard_link(&path, place.path("b.db")).unwrap();
    symlink(&path, place.path("c.db")).unwrap();
    assert_eq!(
        place.everywhere(0),
        ["+a.db", "+b.db", "+c.db"],
        "at once, because nothing is read"
    );
}
