//! What a seed has applications and a sidecar do, and what must hold in the end.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ebbtide_replica::{Entry, EntryKind};
use ebbtide_testkit::Random;
use ebbtide_testkit::workload::Options;

use super::history::Told;
use super::program::{Answer, Program, State};
use crate::runs::Runs;
use crate::scene::{Compared, Scene};
use crate::support::Setup;
use crate::tally::Tally;

/// How often everybody works for a while.
const PHASES: u32 = 8;

/// What becomes of the sidecar and of one application while they work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    None,
    Stop,
    KillSidecar,
    KillApplication,
    KillBoth,
}

/// Everybody, and what is known.
pub(super) struct Course {
    command: String,
    pragmas: Vec<String>,
    random: Random,
    scene: Scene,
    programs: Vec<Program>,
    sidecar: Runs,
    history: Told,
    kills: u64,
    /// Whether the sidecar is never away, so that nothing may be missed.
    is_steady: bool,
    /// Whether transactions roll back to savepoints; applications are not killed then. SQLite 3.11.0 to 3.49.2 can leave
    /// frames without checksums behind such a transaction, and itself loses it when the log has to be recovered.
    has_savepoints: bool,
    longest: Duration,
}

impl Course {
    pub(super) fn new(command: &str, setup: Setup, seed: u64) -> Course {
        let scene = Scene::of(setup);
        let mut random = Random::new(seed);
        let pragmas = pragmas(&mut random, seed);
        println!("seed {seed}: {}", pragmas.join(" "));
        let mut first = Program::start(command, &scene.database, &pragmas);
        first.run(
            "BEGIN; CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE progress (number INTEGER);
             INSERT INTO progress VALUES (0); COMMIT"
                .replace('\n', " ")
                .as_str(),
        );
        let mut history = Told::default();
        history.tell(&Answer::State(first.look()));
        let mut programs = vec![first];
        for _ in 1..random.between(1, 3) {
            programs.push(Program::start(command, &scene.database, &pragmas));
        }
        Course {
            command: command.to_owned(),
            is_steady: seed % 4 == 2,
            has_savepoints: seed % 2 == 1,
            pragmas,
            random,
            scene,
            programs,
            sidecar: Runs::default(),
            history,
            kills: 0,
            longest: Duration::ZERO,
        }
    }

    /// Runs to the end and compares.
    pub(super) fn run(mut self, tally: &mut Tally) -> Compared {
        for _ in 0..PHASES {
            let blow = self.blow();
            // Now and then nobody follows for a while, and now and then a start finds everybody at work.
            if !self.sidecar.is_on() && (self.is_steady || !self.random.one_in(3)) {
                self.sidecar.begin(&self.scene);
                if self.random.one_in(2) {
                    self.sidecar.wait();
                }
            }
            self.work(blow);
        }
        self.end(tally)
    }

    fn blow(&mut self) -> Blow {
        if self.is_steady {
            return *self.random.choose(&[Blow::None, Blow::KillApplication]);
        }
        if self.has_savepoints {
            return *self.random.choose(&[Blow::None, Blow::Stop, Blow::KillSidecar]);
        }
        *self.random.choose(&[
            Blow::None,
            Blow::Stop,
            Blow::KillSidecar,
            Blow::KillSidecar,
            Blow::KillApplication,
            Blow::KillBoth,
        ])
    }

    /// All applications work at once, and meanwhile comes the blow.
    fn work(&mut self, blow: Blow) {
        let victim = self.random.below(u32::try_from(self.programs.len()).unwrap()) as usize;
        let kill = self.programs[victim].killer();
        let moment = Duration::from_micros(self.random.below(300_000).into());
        let alone = self.programs.len() == 1;
        let has_savepoints = self.has_savepoints;
        let seeds: Vec<u64> = self.programs.iter().map(|_| self.random.next()).collect();
        let told: Vec<Vec<Answer>> = thread::scope(|scope| {
            let at_work: Vec<_> = self
                .programs
                .iter_mut()
                .zip(seeds)
                .map(|(program, seed)| {
                    scope.spawn(move || work(program, seed, alone, has_savepoints))
                })
                .collect();
            if blow != Blow::None {
                // The moment is what is random here; nothing waits for it.
                thread::sleep(moment);
            }
            if matches!(blow, Blow::KillApplication | Blow::KillBoth) {
                kill();
            }
            if matches!(blow, Blow::KillSidecar | Blow::KillBoth) {
                self.sidecar.kill();
            }
            at_work.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        told.iter().flatten().for_each(|answer| self.history.tell(answer));
        self.bury(blow, victim);
    }

    /// Takes note of who is gone, and starts another application in the place of one.
    fn bury(&mut self, blow: Blow, victim: usize) {
        if matches!(blow, Blow::KillApplication | Blow::KillBoth) {
            self.kills += 1;
            self.history.untold_max += 1;
            let database = &self.scene.database;
            let mut next = Program::start(&self.command, database, &self.pragmas);
            self.history.tell(&Answer::State(next.look()));
            let dead = std::mem::replace(&mut self.programs[victim], next);
            self.longest = self.longest.max(dead.longest);
        }
        match blow {
            Blow::KillSidecar | Blow::KillBoth => {
                self.sidecar.bury(&self.scene);
            }
            Blow::Stop => self.sidecar.stop(&self.scene),
            Blow::None | Blow::KillApplication => {}
        }
    }

    fn end(mut self, tally: &mut Tally) -> Compared {
        self.sidecar.begin(&self.scene);
        self.sidecar.stop(&self.scene);
        let mut judge = self.programs.swap_remove(0);
        let end = judge.look();
        self.history.tell(&Answer::State(end.clone()));
        let version = judge.version.clone();
        self.scene.assert_exact();
        let restored = restore_all(&self.scene, &mut judge);
        let mut compared = self.history.compare(&restored, &end);
        self.sidecar.compare_kept(&self.scene, &mut compared);
        let resyncs = restored.iter().filter(|(entry, _)| entry.kind == EntryKind::Resync).count();
        if self.is_steady && resyncs != 1 {
            compared.wrong.push(format!("{resyncs} resyncs beside a sidecar that was never away"));
        }
        let transactions = self.history.len();
        println!("SQLite {version}: {transactions} transactions, {} states", restored.len());
        self.programs.push(judge);
        let longest = self.programs.iter().map(|program| program.longest).max();
        self.programs.into_iter().for_each(Program::finish);
        tally.add(self.kills + self.sidecar.kills, &compared);
        tally.seeds += 1;
        tally.step_max = tally.step_max.max(self.longest).max(longest.unwrap_or_default());
        compared
    }
}

/// Every state that the history has, as that SQLite reads it: each in a directory of its own, because the SQLite of 2014
/// lets go of a file some time after it was closed, and then removes the log that has its name.
fn restore_all(scene: &Scene, judge: &mut Program) -> Vec<(Entry, State)> {
    let judge = Mutex::new(judge);
    scene.history().states_as(scene.directory.path(), |output| judge.lock().unwrap().read(output))
}

/// The pragmas of each connection. Three seeds in a row have all that matters most between them.
fn pragmas(random: &mut Random, seed: u64) -> Vec<String> {
    let options = Options::random(random);
    let (mapped, autocheckpoint) = match seed % 3 {
        0 => (0, 1),
        1 => (256 << 20, 1000),
        _ => (65_536, options.autocheckpoint),
    };
    let limit = options.journal_size_limit.map_or(-1, i64::from);
    vec![
        "busy_timeout = 20000".to_owned(),
        format!("page_size = {}", options.page_size),
        format!("auto_vacuum = {}", options.auto_vacuum.name()),
        "journal_mode = WAL".to_owned(),
        format!("synchronous = {}", options.synchronous.name()),
        format!("cache_size = {}", options.cache_pages),
        format!("wal_autocheckpoint = {autocheckpoint}"),
        format!("journal_size_limit = {limit}"),
        format!("mmap_size = {mapped}"),
    ]
}

/// One application's share of a phase: what it told, until it was killed.
fn work(program: &mut Program, seed: u64, alone: bool, has_savepoints: bool) -> Vec<Answer> {
    let mut random = Random::new(seed);
    let mut told = Vec::new();
    for _ in 0..40 {
        let request = request(&mut random, has_savepoints);
        let Some(answer) = program.ask(&request) else { break };
        if let Answer::Failed(why) = &answer {
            // Others hold locks that it does not wait for: a checkpoint is busy, as is said of it.
            let is_busy = why.contains("locked") && !request.starts_with("commit");
            assert!(is_busy, "{request}: {why}");
        }
        told.push(answer);
        // Where others write, too, this may be a later state than the one it committed.
        if alone || random.one_in(2) {
            told.extend(program.ask("look"));
        }
    }
    told
}

fn request(random: &mut Random, has_savepoints: bool) -> String {
    match random.below(100) {
        0..62 => {
            let count = random.between(1, 3);
            let statements: Vec<String> =
                (0..count).map(|_| statement(random, has_savepoints)).collect();
            format!("commit {}", statements.join("; "))
        }
        62..67 => format!("run BEGIN IMMEDIATE; {}; ROLLBACK", statement(random, has_savepoints)),
        67..78 => {
            let mode = random.choose(&["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
            // Its own readers may be in its way, and will not go while it waits for them.
            format!(
                "run PRAGMA busy_timeout = 30; PRAGMA wal_checkpoint({mode}); PRAGMA busy_timeout = 20000"
            )
        }
        78..84 => "open".to_owned(),
        84..90 => "close".to_owned(),
        90..92 => "reopen".to_owned(),
        92..94 => "run VACUUM".to_owned(),
        94..96 => "run CREATE INDEX IF NOT EXISTS i ON t (b, a)".to_owned(),
        96..98 => "run DROP INDEX IF EXISTS i".to_owned(),
        _ => "run PRAGMA incremental_vacuum(10)".to_owned(),
    }
}

fn statement(random: &mut Random, has_savepoints: bool) -> String {
    let (bytes, few) = (random.below(3000), random.between(2, 9));
    let many = format!(
        "INSERT INTO t (a, b) SELECT randomblob({bytes}), i FROM \
         (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n)",
        random.between(2, 60)
    );
    match random.below(20) {
        0..9 => format!("INSERT INTO t (a, b) VALUES (randomblob({bytes}), {few})"),
        9..11 => many,
        11..14 => format!("UPDATE t SET a = randomblob({bytes} / 4) WHERE id % {few} = 1"),
        14..16 => format!("DELETE FROM t WHERE id % {few} = 0"),
        16..18 if has_savepoints => format!("SAVEPOINT s; {many}; ROLLBACK TO s; RELEASE s"),
        // Keeps it small.
        _ => "DELETE FROM t WHERE id < (SELECT max(id) FROM t) - 100".to_owned(),
    }
}
