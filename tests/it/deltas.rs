//! Deltas at the ends of hours, which are short here: what is restored through them is what the application committed.

use std::process::Command;

use ebbtide_catalog::Target;
use ebbtide_replica::Key;
use ebbtide_testkit::actor::{Actor, Ask};
use ebbtide_testkit::for_each_seed;
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use ebbtide_testkit::workload::{AutoVacuum, Options};
use ebbtide_wal::PageSize;

use crate::scene::Scene;
use crate::support::{Ended, Setup, Sidecar, wait_until};

/// Small pages make long logs cheap.
const PAGES: PageSize = PageSize::new(512).unwrap();

/// How the time passes in a test, and what is worth a delta.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// How long an hour is.
    pub(crate) hour_millis: u32,
    /// How many of them a day has.
    pub(crate) day_hours: u32,
    /// From which share on a snapshot is made instead.
    pub(crate) percent_max: u32,
}

impl Times {
    /// Hours alone.
    pub(crate) const fn hours(hour_millis: u32) -> Times {
        Times { hour_millis, day_hours: 1_000_000_000, percent_max: 50 }
    }

    pub(crate) fn of(self, command: &mut Command) -> &mut Command {
        let Times { hour_millis, day_hours, percent_max } = self;
        let settings = format!(
            "hour-millis={hour_millis},day-hours={day_hours},percent-max={percent_max},pack-segments=1"
        );
        command.env("FAILPOINT_SETTINGS", settings)
    }
}

/// What lies in a directory of the replica.
pub(crate) fn objects(setup: &Setup, directory: &str) -> Vec<Key> {
    let files = std::fs::read_dir(setup.path("backup").join(directory));
    let names = files.into_iter().flatten().map(|file| file.unwrap().file_name());
    let keys = names.filter_map(|name| format!("{directory}/{}", name.to_str()?).parse().ok());
    let mut keys: Vec<Key> = keys.collect();
    keys.sort();
    keys
}

/// Follows with a put for each commit.
fn follow(scene: &Scene, times: Times) -> Sidecar {
    let config = scene.configure("", "puts-per-second = 1000.0");
    let args = ["replicate", "--log-format", "json", "--config", &config];
    Sidecar::start_command(times.of(&mut scene.command(&args)))
}

/// Commits until there are so many more deltas.
fn until_deltas(scene: &mut Scene, actor: &mut Actor, more: usize) {
    let wanted = objects(scene, "delta").len() + more;
    wait_until("deltas", || {
        scene.act(actor, Ask::InsertEach(2, 200));
        objects(scene, "delta").len() >= wanted
    });
    // The entry that vouches for the last one, and some more.
    scene.act(actor, Ask::InsertEach(20, 200));
}

/// How many a restore of the newest state uses.
fn deltas_planned(scene: &Scene) -> usize {
    scene.history().planned_deltas(Target::Latest)
}

/// How many of the states that deltas lead to are restored through deltas.
fn states_through_deltas(scene: &Scene) -> usize {
    let history = scene.history();
    let lasts = objects(scene, "delta").into_iter().filter_map(|key| match key {
        Key::Delta { last, .. } => Some(last),
        _ => None,
    });
    lasts.filter(|last| history.planned_deltas(Target::Txid(*last)) > 0).count()
}

#[test]
fn deltas_are_made_from_hour_to_hour_and_over_restarts_without_another_snapshot() {
    let mut scene = Scene::new();
    let mut actor = scene.start_actor(1, &Options::plain(PAGES));
    scene.act(&mut actor, Ask::Insert(4000, 800));
    let hours = Times::hours(700);
    let sidecar = follow(&scene, hours);
    until_deltas(&mut scene, &mut actor, 3);
    assert_eq!(sidecar.stop(), 0);
    assert!(deltas_planned(&scene) >= 2, "{:?}", objects(&scene, "delta"));
    // What changed before a restart, or a kill, is not forgotten.
    for kill in [false, true] {
        let sidecar = follow(&scene, hours);
        scene.act(&mut actor, Ask::InsertEach(5, 200));
        until_deltas(&mut scene, &mut actor, 1);
        match kill {
            true => sidecar.kill(),
            false => assert_eq!(sidecar.stop(), 0),
        }
    }
    let sidecar = follow(&scene, hours);
    until_deltas(&mut scene, &mut actor, 1);
    assert_eq!(sidecar.stop(), 0);
    actor.finish().unwrap();
    assert!(deltas_planned(&scene) >= 3, "{:?}", objects(&scene, "delta"));
    assert_eq!(objects(&scene, "snap").len(), 1);
    scene.compare().assert_right("deltas");
    scene.run(&["verify", &scene.replica]).exits(0);
}

#[test]
fn the_delta_of_a_day_takes_the_place_of_those_of_its_hours() {
    let mut scene = Scene::new();
    let mut actor = scene.start_actor(1, &Options::plain(PAGES));
    scene.act(&mut actor, Ask::Insert(6000, 800));
    let sidecar = follow(&scene, Times { day_hours: 10, ..Times::hours(400) });
    let days = |scene: &Scene| {
        let deltas = objects(scene, "delta");
        let firsts = deltas.iter().filter_map(|key| match key {
            Key::Delta { first, .. } => Some(*first),
            _ => None,
        });
        let firsts: Vec<_> = firsts.collect();
        // Only a day begins where an hour begins.
        firsts.windows(2).filter(|pair| pair[0] == pair[1]).count()
    };
    wait_until("a day", || {
        scene.act(&mut actor, Ask::InsertEach(2, 200));
        days(&scene) > 0
    });
    scene.act(&mut actor, Ask::InsertEach(20, 200));
    assert_eq!(sidecar.stop(), 0);
    actor.finish().unwrap();
    let hours = objects(&scene, "delta").len();
    assert!(deltas_planned(&scene) < hours, "{:?}", objects(&scene, "delta"));
    scene.compare().assert_right("a day");
    scene.run(&["verify", &scene.replica]).exits(0);
}

/// As by cron, where no process lives until an hour ends.
#[test]
fn runs_that_end_make_deltas_too() {
    let (setup, app) = Setup::with_rows(300);
    setup.once().exits(0);
    wait_until("a delta", || {
        app.insert(1, 100);
        let args = setup.once_args();
        Ended::of(Times::hours(500).of(&mut setup.command(&args))).exits(0);
        !objects(&setup, "delta").is_empty()
    });
    app.insert(1, 100);
    setup.once().exits(0);
    assert!(setup.history().planned_deltas(Target::Latest) > 0);
    assert_eq!(objects(&setup, "snap").len(), 1);
    setup.assert_exact();
}

/// Whatever the application does: pages are cut and grown again, the whole database is written again, the log is restarted.
#[test]
fn h28_deltas_of_any_work_are_exact() {
    for_each_seed(4, |seed| {
        let mut scene = Scene::new();
        let auto_vacuum = [AutoVacuum::None, AutoVacuum::Full, AutoVacuum::Incremental];
        let auto_vacuum = auto_vacuum[usize::try_from(seed % 3).unwrap()];
        let options = Options { auto_vacuum, ..Options::plain(PAGES) };
        let mut actor = scene.start_actor(seed, &options);
        scene.act(&mut actor, Ask::Insert(3000, 800));
        // However much has changed.
        let times = Times { hour_millis: 300, day_hours: 4, percent_max: 1_000_000 };
        let sidecar = follow(&scene, times);
        let mut round = 0;
        wait_until("deltas", || {
            round += 1;
            for _ in 0..10 {
                scene.act(&mut actor, Ask::Any);
            }
            if round % 20 == 0 {
                scene.act(&mut actor, Ask::Vacuum);
            }
            round >= 40 && objects(&scene, "delta").len() >= 6
        });
        sidecar.kill();
        scene.act(&mut actor, Ask::Any);
        let sidecar = follow(&scene, times);
        until_deltas(&mut scene, &mut actor, 2);
        assert_eq!(sidecar.stop(), 0);
        actor.finish().unwrap();
        // Not of the newest state: if it is not known what changed over a kill, the next day may end with a snapshot.
        let deltas = objects(&scene, "delta");
        assert!(states_through_deltas(&scene) > deltas.len() / 2, "{deltas:?}");
        scene.compare().assert_right(&format!("seed {seed}"));
        scene.run(&["verify", &scene.replica]).exits(0);
    });
}

/// Hours that end while the store is away end without a delta, and the log waits no longer because of them.
#[test]
fn h30_no_delta_is_begun_while_the_store_is_away() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let app = setup.app();
    app.insert(20, 200_000);
    let budgets = "log-max = \"16 MiB\"\nspool-max = \"256 MiB\"\nputs-per-second = 1000.0";
    let config = setup.configure("", budgets);
    let args = ["replicate", "--log-format", "json", "--config", &config];
    let sidecar = Sidecar::start_command(Times::hours(300).of(&mut setup.command(&args)));
    let made = || std::fs::read_dir(server.file("app").join("delta")).map_or(0, Iterator::count);
    let mut rounds = 0;
    wait_until("a delta", || {
        app.insert(2, 100);
        rounds += 1;
        made() > 0 || rounds > 2000
    });
    if made() == 0 {
        panic!("no delta: {}", sidecar.stop_and_tell().1);
    }
    setup.sync();
    server.script(|_: &Asked| Some(Fault::Refused(503, "ServiceUnavailable")));
    let log = setup.path("app.db-wal");
    let (mut written, mut longest) = (0, 0);
    wait_until("the log to be let go of into the spool, and hours to pass", || {
        app.insert(1, 200_000);
        written += 1;
        longest = longest.max(log.metadata().unwrap().len());
        written >= 400
    });
    server.heal();
    app.insert(3, 100);
    setup.sync();
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("making a delta"), "{said}");
    assert!(longest < 64 << 20, "the log had {longest} bytes");
    let away = said.find("the store is away").unwrap();
    let back = said[away..].find("the store is back").unwrap();
    // One that was begun when nobody knew yet is given up.
    assert!(said[away..away + back].matches("making a ").count() <= 1, "{said}");
    setup.assert_exact();
}
