//! Follows a real application in another process, applies what is captured to a model of the database, and compares
//! the model with the file byte for byte. Would catch a commit missed at a restart of the log, a phantom, a page taken
//! from the wrong frame, and an image torn by a checkpoint.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ebbtide_testkit::Random;
use ebbtide_testkit::process::{Output, Process};
use ebbtide_time::Timestamp;
use ebbtide_wal::PageSize;
use ebbtide_watcher::{Error, Follower, Image, Kept, Limits, LogEvidence, Options, Scratch};
use rusqlite::Connection;

const WRITER: &str = "EBBTIDE_TEST_WRITER";

const LIMITS: Limits = Limits {
    checkpoint_frames: 200,
    checkpoint_interval: Duration::from_millis(300),
    exclusive_frames: 1500,
    write_lock_budget: Duration::from_millis(50),
    truncate_bytes: 100_000,
    idle: Duration::from_millis(100),
};

/// Not a test of its own: the application that the tests start, one process each.
#[test]
fn writer_process() {
    let Ok(job) = std::env::var(WRITER) else { return };
    let mut words = job.split(' ');
    let mut word = || words.next().unwrap().to_owned();
    let (path, seed, millis, page_size) = (word(), word(), word(), word());
    write_at_random(
        Path::new(&path),
        seed.parse().unwrap(),
        Duration::from_millis(millis.parse().unwrap()),
        page_size.parse().unwrap(),
    );
}

fn write_at_random(path: &Path, seed: u64, length: Duration, page_size: u32) {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    let setup = format!(
        "PRAGMA page_size={page_size}; PRAGMA auto_vacuum=FULL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
         CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX IF NOT EXISTS i ON t(a);"
    );
    db.execute_batch(&setup).unwrap();
    db.pragma_update(None, "cache_size", 10).unwrap();
    println!("ready");
    std::io::stdout().flush().unwrap();
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    let mut random = Random::new(seed);
    let until = Instant::now() + length;
    while Instant::now() < until {
        let rows = random.between(1, 20);
        let mut sql = String::from("BEGIN IMMEDIATE;");
        for _ in 0..rows {
            let (key, size) = (random.below(3000), random.below(3000));
            sql += &match random.below(4) {
                0 => format!("DELETE FROM t WHERE id BETWEEN {key} AND {key}+9;"),
                _ => format!("REPLACE INTO t VALUES({key}, random(), randomblob({size}));"),
            };
        }
        sql += if random.below(12) == 0 { "ROLLBACK" } else { "COMMIT" };
        db.execute_batch(&sql).unwrap();
        match random.below(400) {
            0 => db.execute_batch("VACUUM").unwrap(),
            1..4 => {
                let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][random.below(4) as usize];
                db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
            }
            4..20 => std::thread::sleep(Duration::from_millis(random.below(150).into())),
            20..30 => {
                db.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
                std::thread::sleep(Duration::from_millis(random.below(30).into()));
                db.execute_batch("COMMIT").unwrap();
            }
            _ => {}
        }
    }
}

/// An application that waits for a line on its standard input, and then writes for `length`.
fn start_writer(path: &Path, seed: u64, length: Duration, page_size: u32) -> Process {
    let job = format!("{} {seed} {} {page_size}", path.display(), length.as_millis());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "writer_process", "--nocapture"]).env(WRITER, job);
    let process = Process::start(&mut command, Output::Stdout).unwrap();
    process.line_with("ready", Duration::from_secs(60));
    process
}

/// The database as the captured transactions make it.
struct Model {
    size: PageSize,
    bytes: Vec<u8>,
    transactions: usize,
    time: Timestamp,
}

impl Model {
    fn of(image: &Image) -> Model {
        let mut bytes = Vec::new();
        image
            .for_each_page(|_, page| {
                bytes.extend_from_slice(page);
                Ok::<_, Error>(())
            })
            .unwrap();
        Model { size: image.page_size(), bytes, transactions: 0, time: Timestamp::EPOCH }
    }

    fn apply(&mut self, transaction: &mut ebbtide_watcher::Transaction<'_>) {
        assert!(transaction.time >= self.time, "time ran backwards");
        (self.time, self.transactions) = (transaction.time, self.transactions + 1);
        let (size, pages) = (self.size.bytes(), transaction.database_pages as usize);
        let old = self.bytes.len() / size;
        self.bytes.resize(pages * size, 0xee);
        let mut grown = pages.saturating_sub(old);
        transaction
            .for_each_page(|page, image| {
                let at = (page.get() as usize - 1) * size;
                grown -= usize::from(page.get() as usize > old);
                self.bytes[at..at + size].copy_from_slice(image);
                Ok::<_, Error>(())
            })
            .unwrap();
        assert_eq!(grown, 0, "the database grew by a page that was not written");
    }
}

#[expect(clippy::disallowed_methods, reason = "a test dates commits by the clock")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(since.as_micros().try_into().unwrap()).unwrap()
}

/// Follows step by step, with checkpoints on a thread of their own as the sidecar has them.
#[derive(Default)]
struct Steps {
    scratch: Scratch,
    checkpoint: Option<std::thread::JoinHandle<()>>,
    checkpoints: u32,
}

impl Steps {
    fn step(&mut self, follower: &mut Follower, model: &mut Model) {
        follower
            .capture(now(), &mut self.scratch, |transaction| {
                model.apply(transaction);
                Ok::<_, Error>(true)
            })
            .unwrap();
        if let Some(running) = self.checkpoint.take_if(|running| running.is_finished()) {
            running.join().unwrap();
            follower.end_checkpoint().unwrap();
            self.checkpoints += 1;
        }
        let due = follower.due(Kept::Durable, true).unwrap();
        follower
            .perform(due, now(), Kept::Durable, &mut self.scratch, |transaction| {
                model.apply(transaction);
                Ok::<_, Error>(true)
            })
            .unwrap();
        if let Some(checkpoint) = follower.take_checkpoint() {
            self.checkpoint = Some(std::thread::spawn(|| checkpoint.run()));
        }
    }

    fn end(self, follower: &mut Follower) {
        if let Some(running) = self.checkpoint {
            running.join().unwrap();
            follower.end_checkpoint().unwrap();
        }
        assert!(self.checkpoints > 0, "none was due");
    }
}

fn assert_same(ours: &[u8], theirs: &[u8], size: usize, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}: sizes differ");
    let pages = ours.chunks(size).zip(theirs.chunks(size)).enumerate();
    let differing: Vec<usize> = pages.filter(|(_, (a, b))| a != b).map(|(at, _)| at + 1).collect();
    assert!(differing.is_empty(), "{what}: pages {differing:?} differ");
}

fn follow(seed: u64, page_size: u32, length: Duration) {
    println!("seed {seed}, pages of {page_size}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let mut writer = start_writer(&path, seed, length, page_size);
    let options = Options { enable_wal: false, limits: LIMITS };
    let (mut follower, start) = Follower::open(&path, &options, None, Timestamp::EPOCH).unwrap();
    assert_eq!(start, LogEvidence::Restarted);
    writer.tell("go").unwrap();
    let mut steps = Steps::default();
    let mut pin = follower.pin_image().unwrap();
    follower.skip_to(&mut pin).unwrap();
    let mut model = Model::of(&follower.image(pin).unwrap().unwrap());
    let mut images = 0;
    let ended = loop {
        if let Some(ended) = writer.ended().unwrap() {
            break ended;
        }
        for _ in 0..200 {
            steps.step(&mut follower, &mut model);
            std::thread::sleep(Duration::from_micros(500));
        }
        let pin = follower.pin_image().unwrap();
        steps.step(&mut follower, &mut model);
        let image = follower.image(pin).unwrap().expect("everything was captured");
        let theirs = Model::of(&image);
        assert_same(&model.bytes, &theirs.bytes, page_size as usize, "an image");
        images += 1;
    };
    assert!(ended.success(), "the application failed: {ended}");
    steps.step(&mut follower, &mut model);
    let position = follower.position();
    steps.end(&mut follower);
    drop(follower);
    println!("{} transactions, {images} images, at {position:?}", model.transactions);
    assert!(!directory.path().join("app.db-wal").exists(), "the last to close removes the log");
    let theirs = std::fs::read(&path).unwrap();
    assert_same(&model.bytes, &theirs, page_size as usize, "the end");
}

#[test]
fn a_database_is_followed_byte_for_byte_at_every_page_size() {
    for (seed, page_size) in [512, 1024, 4096, 16384, 65536].into_iter().enumerate() {
        follow(seed as u64 + 1, page_size, Duration::from_millis(1500));
    }
}

/// Would catch an image with frames of another WAL generation: all frames were backfilled when it began, so that the
/// application may restart the log while the image is being read.
#[test]
fn an_image_stands_still_while_the_log_is_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let application = Connection::open(&path).unwrap();
    application
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t(a);
             WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 100)
             INSERT INTO t SELECT randomblob(3000) FROM n; PRAGMA wal_checkpoint",
        )
        .unwrap();
    let options = Options { enable_wal: false, limits: LIMITS };
    let (mut follower, _) = Follower::open(&path, &options, None, Timestamp::EPOCH).unwrap();
    let mut pin = follower.pin_image().unwrap();
    follower.skip_to(&mut pin).unwrap();
    let image = follower.image(pin).unwrap().unwrap();
    let before = Model::of(&image).bytes;
    application.execute("UPDATE t SET a = randomblob(3000)", []).unwrap();
    assert_same(&before, &Model::of(&image).bytes, 4096, "the image");
    application.execute("UPDATE t SET a = randomblob(3000)", []).unwrap();
    assert_same(&before, &Model::of(&image).bytes, 4096, "the image, later");
}

#[test]
fn a_rollback_journal_and_a_stranger_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let options = Options { enable_wal: false, limits: LIMITS };
    let refusal = |path: &Path| {
        Follower::open(path, &options, None, Timestamp::EPOCH).unwrap_err().to_string()
    };
    assert!(refusal(&path).contains("no such file"));
    std::fs::write(&path, b"").unwrap();
    assert!(refusal(&path).contains("empty"));
    std::fs::write(&path, vec![7; 8192]).unwrap();
    assert!(refusal(&path).contains("not an SQLite database"));
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(a)").unwrap();
    assert!(refusal(&path).contains("rollback-journal mode"));
    let enable = Options { enable_wal: true, ..options.clone() };
    let (follower, _) = Follower::open(&path, &enable, None, Timestamp::EPOCH).unwrap();
    drop(follower);
    let mode: String = Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
}

/// Would catch commits that are left out: they were made and checkpointed while nobody followed, so that the hold of
/// the next start reads the database file alone, and without the restart lock the application would restart the log
/// before they are read.
#[test]
fn commits_that_were_checkpointed_before_a_start_are_captured_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let application = Connection::open(&path).unwrap();
    application
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1)")
        .unwrap();
    let options = Options { enable_wal: false, limits: LIMITS };
    let (follower, _) = Follower::open(&path, &options, None, Timestamp::EPOCH).unwrap();
    let position = follower.position();
    drop(follower);
    application.execute("UPDATE t SET a = 2", []).unwrap();
    application.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
    let (mut follower, start) =
        Follower::open(&path, &options, Some(position), Timestamp::EPOCH).unwrap();
    assert_eq!(start, LogEvidence::Continues);
    application.execute("INSERT INTO t VALUES(3)", []).unwrap();
    let mut scratch = Scratch::default();
    let captured = follower.capture(now(), &mut scratch, |_| Ok::<_, Error>(true)).unwrap();
    assert_eq!(captured.transactions, 2);
}
