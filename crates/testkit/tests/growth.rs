//! What SQLite promises about a database that grows: the commit that makes it larger writes every new page.
//!
//! Entries of a replica carry what a commit wrote and nothing else. Were there a new page that nobody writes, its
//! content would be whatever lay in the file or in an older frame, and a restored database could differ from the
//! original there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ebbtide_testkit::oracle::committed;
use ebbtide_testkit::sparse::below_the_lock_page;
use ebbtide_testkit::workload::{Options, Workload};
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_wal::{PageSize, lock_page};

/// The last commit in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct End {
    salts: u64,
    frames: usize,
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn salts(bytes: &[u8], offset: usize) -> u64 {
    u64::from(word(bytes, offset)) << 32 | u64::from(word(bytes, offset + 4))
}

/// The newest images of the pages in the frames after `before`, and where the log ends now. Nobody is in the middle of
/// a transaction and nobody was killed, so the last commit frame with the salts of the header is the last commit.
fn written(wal: &[u8], size: PageSize, before: End) -> (BTreeMap<u32, &[u8]>, End) {
    let salts_now = salts(wal, 16);
    let frames: Vec<&[u8]> = wal[32..]
        .chunks_exact(24 + size.bytes())
        .take_while(|frame| salts(frame, 8) == salts_now)
        .collect();
    let last = frames.iter().rposition(|frame| word(frame, 4) != 0).map_or(0, |index| index + 1);
    let first = if before.salts == salts_now { before.frames.min(last) } else { 0 };
    let pages = frames[first..last].iter().map(|frame| (word(frame, 0), &frame[24..]));
    (pages.collect(), End { salts: salts_now, frames: last })
}

/// Adds to `seen` what a commit did to the database's size, and asserts that its frames account for all of it.
fn check(before: &[u8], after: &[u8], pages: &BTreeMap<u32, &[u8]>, size: PageSize, told: &str) {
    let count = |bytes: &[u8]| u32::try_from(bytes.len() / size.bytes()).expect("a page number");
    let new = count(before) + 1..=count(after);
    let missing: Vec<u32> =
        new.filter(|page| *page != lock_page(size).get() && !pages.contains_key(page)).collect();
    assert!(missing.is_empty(), "new pages {missing:?} are not in the log: {told}");

    let mut image = before.to_vec();
    image.resize(after.len(), 0xee);
    for (page, body) in pages.range(..=count(after)) {
        let start = (*page as usize - 1) * size.bytes();
        image[start..start + size.bytes()].copy_from_slice(body);
    }
    let wrong = image.chunks(size.bytes()).zip(after.chunks(size.bytes()));
    let wrong: Vec<usize> =
        wrong.enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i + 1).collect();
    assert!(wrong.is_empty(), "pages {wrong:?} are not what the log says: {told}");
}

#[derive(Debug, Default)]
struct Seen {
    commits: u64,
    grown: u64,
    shrunk: u64,
    grown_after_shrunk: u64,
    new_pages: u64,
}

fn follow(path: &Path, seed: u64, steps: usize, seen: &mut Seen) {
    let options = Options::random(&mut Random::new(seed));
    let size = options.page_size;
    let mut workload = Workload::new(path, seed, options).expect("a new database");
    let told = workload.to_string();
    let log = path.with_extension("db-wal");
    let (_, mut end) = written(&fs::read(&log).unwrap_or(vec![0; 32]), size, End::default());
    let mut image = committed(path).expect("a database that can be read");
    let mut largest = image.len();
    let mut done = Vec::new();
    for _ in 0..steps {
        let step = workload.step(&mut |_| {
            let after = committed(path).expect("a database that can be read");
            let log = fs::read(&log).expect("the log of an open database");
            let wal = if log.len() < 32 { vec![0; 32] } else { log };
            let (pages, now) = written(&wal, size, end);
            let told = format!("{told}, after {done:?} and one more");
            check(&image, &after, &pages, size, &told);
            seen.commits += u64::from(now != end);
            seen.shrunk += u64::from(after.len() < image.len());
            if after.len() > image.len() {
                seen.grown += 1;
                seen.grown_after_shrunk += u64::from(after.len() <= largest);
                seen.new_pages += ((after.len() - image.len()) / size.bytes()) as u64;
            }
            largest = largest.max(after.len());
            (image, end) = (after, now);
        });
        done.push(step.expect("a step that SQLite lets happen"));
    }
}

/// If this fails, entries have to carry the pages that SQLite leaves out.
#[test]
fn a_commit_that_grows_the_database_writes_every_new_page() {
    let mut seen = Seen::default();
    for_each_seed(40, |seed| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        follow(&directory.path().join("app.db"), seed, 80, &mut seen);
    });
    println!("{seen:?}");
    assert!(seen.grown > 0 && seen.shrunk > 0, "a workload that does both: {seen:?}");
}

/// The one page that is left out, for each page size: it lies where a database reaches a gibibyte.
#[test]
fn a_database_that_grows_past_the_lock_byte_page_leaves_it_out() {
    for size in (9..=16).map(|bits| PageSize::new(1 << bits).expect("a power of two")) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("app.db");
        below_the_lock_page(&path, size, 3).expect("a sparse file");
        let connection = rusqlite::Connection::open(&path).expect("a database");
        let pages = || connection.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0));
        let (mut before, mut end) = (pages().expect("a size"), End::default());
        let lock = lock_page(size).get();
        assert_eq!(before, lock - 4);
        while before < lock + 3 {
            let body = vec![b'x'; 2 * size.bytes()];
            connection.execute("INSERT INTO t (body) VALUES (?1)", [body]).expect("a row");
            let wal = fs::read(path.with_extension("db-wal")).expect("a log");
            let (written, now) = written(&wal, size, end);
            let after = pages().expect("a size");
            let new: Vec<u32> = (before + 1..=after).filter(|page| *page != lock).collect();
            assert!(new.iter().all(|page| written.contains_key(page)), "{new:?} at {size}");
            assert!(!written.contains_key(&lock), "page {lock} of {size} bytes was written");
            (before, end) = (after, now);
        }
        drop(connection);
        let file = fs::File::open(&path).expect("a database");
        assert_eq!(file.metadata().expect("a size").len(), u64::from(before) * size.offset());
        let mut content = vec![1; size.bytes()];
        file.read_exact_at(&mut content, 0x4000_0000).expect("a page");
        assert!(content.iter().all(|byte| *byte == 0), "it is a hole in the file");
    }
}
