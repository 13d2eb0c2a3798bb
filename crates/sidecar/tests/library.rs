//! The engine as another program has it: databases that come and go, waits until a commit is durable, failures of one
//! among many, an end. Would catch a wait that returns too early or never, an end that leaves something behind, and a
//! database that takes another down.
//!
//! The applications are processes of their own: this one must not write what it follows, nor open it besides.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ebbtide_config::{Config, Database};
use ebbtide_replica::{Entry, EntryKind, Txid};
use ebbtide_sidecar::{
    AddError, DatabaseSet, Ended, FollowError, Followed, Gravity, Hooks, How, Sidecar, Statuses,
    View,
};
use ebbtide_store::Location;
use ebbtide_testkit::actor::{self, Actor, Ask};
use ebbtide_testkit::workload::Options;
use ebbtide_wal::PageSize;
use tempfile::TempDir;

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for the database instead of refusing one that is not there, or that another still has.
const PATIENT: How = How {
    consent: ebbtide_sidecar::Consent { adopt: false, take_back: false, begin_anew: false },
    is_once: false,
    is_successor: true,
    may_come: true,
    wrap: None,
};

/// Not a test: the application, when this binary is started as one.
#[test]
fn actor() {
    actor::run_if_asked();
}

/// Databases and replicas, and what was committed.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn replica(&self, name: &str) -> Location {
        self.path(name).to_str().unwrap().parse().unwrap()
    }

    /// `NAME.db` as it is followed into `NAME`.
    fn database(&self, name: &str) -> Database {
        Database::new(self.path(&format!("{name}.db")), self.replica(name))
    }

    /// An application on `NAME.db`, which has rows that no other one has.
    fn application(&self, name: &str) -> Actor {
        let mut actor = self.start(name);
        commit(&mut actor, 20);
        actor
    }

    fn start(&self, name: &str) -> Actor {
        let options = Options::plain(PageSize::new(1024).unwrap());
        let seed = name.bytes().fold(0, |seed, byte| seed * 31 + u64::from(byte));
        Actor::start("actor", &self.path(&format!("{name}.db")), seed, &options).unwrap()
    }

    /// What a replica has.
    async fn entries(&self, name: &str) -> Vec<Entry> {
        let store = self.replica(name).open().await.unwrap();
        let manifest = ebbtide_catalog::read_manifest(&*store).await.unwrap().unwrap();
        let mut entries = Vec::new();
        for object in ebbtide_catalog::list(&*store).await.unwrap().log {
            let fetched = ebbtide_catalog::read_index(&*store, &manifest, object).await.unwrap();
            entries.extend_from_slice(fetched.index.entries());
        }
        entries
    }

    /// How many commits a replica has, none of which is left out.
    async fn commits(&self, name: &str) -> usize {
        let entries = self.entries(name).await;
        assert_eq!(entries.iter().filter_map(ebbtide_catalog::missed_since).count(), 0, "{name}");
        entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count()
    }

    /// The replica has so many commits.
    async fn assert_has(&self, name: &str, commits: usize) {
        assert_eq!(self.commits(name).await, commits, "{name}");
    }
}

/// Has an application commit so many rows, one at a time; how many commits that were.
fn commit(actor: &mut Actor, rows: u32) -> usize {
    actor.act(Ask::InsertEach(rows, 100)).commits.len()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() });
}

/// Adds a database and waits until it is followed.
async fn followed(sidecar: &mut Sidecar, database: Database, how: How) -> Followed {
    let followed = sidecar.add(database, how).unwrap();
    followed.following().await.unwrap();
    followed
}

fn databases(statuses: &Statuses) -> Vec<PathBuf> {
    statuses.now().iter().map(|status| status.get().database).collect()
}

fn refusal(ended: Ended) -> FollowError {
    ended.result.unwrap_err()
}

#[test]
fn what_was_waited_for_is_in_the_replica() {
    run(async {
        let place = Place::new();
        let mut application = place.application("app");
        let mut sidecar = Sidecar::new(Hooks::default());
        let app = followed(&mut sidecar, place.database("app"), How::default()).await;
        let mut commits = 0;
        for rows in 1..=4 {
            commits += commit(&mut application, rows);
            let durable = app.durable().await.unwrap();
            place.assert_has("app", commits).await;
            let last: Txid = place.entries("app").await.last().unwrap().txid;
            assert_eq!(durable, Some(last));
        }
        // Nothing is new, and that is durable, too.
        assert_eq!(app.durable().await.unwrap().map(Txid::get), Some(2 + commits as u64));
    });
}

#[test]
fn one_that_is_removed_ends_with_everything_durable_and_may_be_added_again() {
    run(async {
        let place = Place::new();
        let mut applications = ["one", "two"].map(|name| place.application(name));
        let mut sidecar = Sidecar::new(Hooks::default());
        let one = followed(&mut sidecar, place.database("one"), How::default()).await;
        let two = followed(&mut sidecar, place.database("two"), How::default()).await;
        assert_eq!(
            sidecar.add(place.database("one"), How::default()).unwrap_err(),
            AddError::Twice(place.path("one.db"))
        );
        let statuses = sidecar.statuses();
        assert_eq!(databases(&statuses), ["one.db", "two.db"].map(|name| place.path(name)));

        commit(&mut applications[0], 5);
        assert!(sidecar.remove(&place.path("one.db")));
        assert!(!sidecar.remove(&place.path("three.db")));
        let ended = sidecar.next_ended().await.unwrap();
        assert_eq!(ended.status.get().database, place.path("one.db"));
        ended.result.unwrap();
        place.assert_has("one", 5).await;
        assert_eq!(databases(&statuses), [place.path("two.db")]);
        one.durable().await.unwrap_err();
        one.following().await.unwrap_err();

        // The other one did not notice, and the first carries on with its log.
        commit(&mut applications[1], 3);
        two.durable().await.unwrap();
        place.assert_has("two", 3).await;
        commit(&mut applications[0], 2);
        let one = followed(&mut sidecar, place.database("one"), How::default()).await;
        one.durable().await.unwrap();
        place.assert_has("one", 7).await;
        assert!(!sidecar.is_empty());
    });
}

/// Which ends are waited for by the program, and what it hears of one that ends by itself.
#[test]
fn one_that_cannot_be_followed_ends_alone_and_says_why() {
    run(async {
        let place = Place::new();
        let mut application = place.application("app");
        let mut sidecar = Sidecar::new(Hooks::default());
        assert!(sidecar.next_ended().await.is_none(), "nobody is followed");
        let app = followed(&mut sidecar, place.database("app"), How::default()).await;

        let absent = sidecar.add(place.database("absent"), How::default()).unwrap();
        let ended = sidecar.next_ended().await.unwrap();
        assert!(matches!(refusal(ended), FollowError::Absent(_)));
        let why = absent.durable().await.unwrap_err();
        assert!(why.contains("no such file"), "{why}");

        fs::write(place.path("other.db"), [7; 8192]).unwrap();
        let other = sidecar.add(place.database("other"), How::default()).unwrap();
        let error = refusal(sidecar.next_ended().await.unwrap());
        assert_eq!(error.gravity(), Gravity::Failed, "{error}");
        assert!(error.to_string().contains("not an SQLite database"), "{error}");
        let why = other.following().await.unwrap_err();
        assert!(why.contains("not an SQLite database"), "{why}");
        assert!(!place.path("other").exists(), "it has made no replica");

        commit(&mut application, 3);
        app.durable().await.unwrap();
        place.assert_has("app", 3).await;
    });
}

#[test]
fn one_that_may_come_is_waited_for() {
    run(async {
        let place = Place::new();
        let mut sidecar = Sidecar::new(Hooks::default());
        let app = sidecar.add(place.database("app"), PATIENT).unwrap();
        let mut application = place.application("app");
        app.following().await.unwrap();
        // Some of the first commits may have come before it was followed, and are a part of its first state.
        app.durable().await.unwrap();
        let before = place.commits("app").await;
        commit(&mut application, 3);
        app.durable().await.unwrap();
        place.assert_has("app", before + 3).await;
    });
}

#[test]
fn a_run_once_ends_by_itself() {
    run(async {
        let place = Place::new();
        let mut application = place.application("app");
        let once = How { is_once: true, ..How::default() };
        for commits in [0, 4] {
            commit(&mut application, commits);
            let mut sidecar = Sidecar::new(Hooks::default());
            sidecar.add(place.database("app"), once.clone()).unwrap();
            sidecar.next_ended().await.unwrap().result.unwrap();
            assert!(sidecar.next_ended().await.is_none() && sidecar.is_empty());
            place.assert_has("app", commits as usize).await;
        }
    });
}

#[test]
fn a_stop_ends_all_with_a_last_sync() {
    run(async {
        let place = Place::new();
        let names = ["one", "two", "three"];
        let mut applications = names.map(|name| place.application(name));
        let mut sidecar = Sidecar::new(Hooks::default());
        for name in names {
            followed(&mut sidecar, place.database(name), How::default()).await;
        }
        for application in &mut applications {
            commit(application, 10);
        }
        let ended = sidecar.stop(PATIENCE).await;
        assert_eq!(ended.len(), 3);
        for ended in ended {
            ended.result.unwrap();
        }
        for name in names {
            place.assert_has(name, 10).await;
        }
    });
}

/// The store is away, so nothing can become durable. What was committed is in the log, and comes with the next start.
#[test]
fn a_stop_without_a_store_ends_in_time_and_loses_nothing() {
    run(async {
        let place = Place::new();
        let mut application = place.application("app");
        let mut sidecar = Sidecar::new(Hooks::default());
        let app = followed(&mut sidecar, place.database("app"), How::default()).await;
        fs::rename(place.path("app"), place.path("away")).unwrap();
        fs::write(place.path("app"), "a file where the replica was").unwrap();
        commit(&mut application, 5);
        let ended = sidecar.stop(Duration::from_millis(300)).await;
        assert!(ended.iter().all(|ended| ended.result.is_err()), "{ended:?}");
        app.durable().await.unwrap_err();

        fs::remove_file(place.path("app")).unwrap();
        fs::rename(place.path("away"), place.path("app")).unwrap();
        let mut sidecar = Sidecar::new(Hooks::default());
        followed(&mut sidecar, place.database("app"), PATIENT).await.durable().await.unwrap();
        place.assert_has("app", 5).await;
    });
}

/// As when a program panics, or forgets it: the tasks end where they are, and close what they have open.
#[test]
fn one_that_is_dropped_leaves_its_databases_to_the_next() {
    run(async {
        let place = Place::new();
        let mut application = place.application("app");
        let mut commits = 0;
        for round in 1..=5 {
            let mut sidecar = Sidecar::new(Hooks::default());
            let app = followed(&mut sidecar, place.database("app"), PATIENT).await;
            commits += commit(&mut application, round);
            drop(sidecar);
            app.durable().await.unwrap_err();
        }
        let mut sidecar = Sidecar::new(Hooks::default());
        followed(&mut sidecar, place.database("app"), PATIENT).await.durable().await.unwrap();
        place.assert_has("app", commits).await;
    });
}

/// What lies there goes with the database's disk.
#[test]
fn a_replica_or_mirror_within_the_local_state_is_refused() {
    run(async {
        let place = Place::new();
        let _application = place.application("app");
        let mut sidecar = Sidecar::new(Hooks::default());
        let state = place.path(".app.db-ebbtide");
        let inside = |path: &str| Location::Directory(place.path(path));
        let mut add = |location: Location, mirrors: Vec<Location>| {
            let database = Database::new(place.path("app.db"), location);
            sidecar.add(Database { mirrors, ..database }, How::default()).unwrap_err()
        };
        for path in [".app.db-ebbtide", ".app.db-ebbtide/backup", "x/../.app.db-ebbtide/backup"] {
            let replica = inside(path).to_string();
            let refused = AddError::InState { replica, state: state.clone() };
            assert_eq!(add(inside(path), Vec::new()), refused);
            assert_eq!(add(place.replica("app"), vec![inside(path)]), refused);
        }
        let database = Database::new(place.path("app.db"), inside(".app.db-ebbtide-backup"));
        sidecar.add(database, How::default()).unwrap();
    });
}

/// Two databases with one address by mistake: whoever has the replica keeps it. Also within one process, in which both
/// would be the same owner, and also if their pages are the same.
#[test]
fn another_database_is_refused_in_a_replica_and_its_owner_goes_on() {
    run(async {
        let place = Place::new();
        let (mut application, _other) = (place.application("app"), place.application("other"));
        let mut sidecar = Sidecar::new(Hooks::default());
        let app = followed(&mut sidecar, place.database("app"), How::default()).await;
        let other = Database::new(place.path("other.db"), place.replica("app"));
        let shared = AddError::SharedReplica {
            replica: place.replica("app").to_string(),
            other: place.path("app.db"),
        };
        assert_eq!(sidecar.add(other.clone(), How::default()).unwrap_err(), shared);
        // The same place by another address.
        let Location::Directory(replica) = place.replica("app") else {
            panic!("it is a directory")
        };
        let around = replica.join("..").join(replica.file_name().unwrap());
        let around = Database::new(place.path("other.db"), Location::Directory(around));
        let error = sidecar.add(around, How::default()).unwrap_err();
        assert!(matches!(error, AddError::SharedReplica { .. }), "{error}");
        let mut beside = Sidecar::new(Hooks::default());
        beside.add(other, How::default()).unwrap();
        let error = refusal(beside.next_ended().await.unwrap());
        assert_eq!(error.gravity(), Gravity::Fenced, "{error}");
        commit(&mut application, 3);
        app.durable().await.unwrap();
        place.assert_has("app", 3).await;
    });
}

/// The same database on two machines: the second takes the replica over, and the first hears of it.
#[test]
fn the_second_that_follows_a_copy_has_the_replica_and_the_first_ends() {
    run(async {
        let place = Place::new();
        let mut application = place.application("app");
        let mut first = Sidecar::new(Hooks::default());
        let app = followed(&mut first, place.database("app"), How::default()).await;
        commit(&mut application, 3);
        app.durable().await.unwrap();
        application.finish().unwrap();
        // With nobody else there its file alone is the database.
        while !app.status().get().resting {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // By another process: closing the file would drop the locks of this one.
        let (from, to) = (place.path("app.db"), place.path("copy.db"));
        assert!(Command::new("cp").args([&from, &to]).status().unwrap().success());

        let mut second = Sidecar::new(Hooks::default());
        let copy = Database::new(to, place.replica("app"));
        let copy = followed(&mut second, copy, How::default()).await;
        copy.durable().await.unwrap();
        commit(&mut place.start("app"), 1);
        let error = refusal(first.next_ended().await.unwrap());
        assert_eq!(error.gravity(), Gravity::Fenced, "{error}");
        app.durable().await.unwrap_err();

        let commits = commit(&mut place.start("copy"), 2);
        copy.durable().await.unwrap();
        place.assert_has("app", 3 + commits).await;
    });
}

/// Would catch a process that says that all is followed before it has looked for what there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_with_patterns_has_begun_once_it_has_looked_for_what_they_name() {
    for names in [&[][..], &["one", "two"][..]] {
        let place = Place::new();
        fs::create_dir(place.path("tenants")).unwrap();
        let actors: Vec<Actor> =
            names.iter().map(|name| place.application(&format!("tenants/{name}"))).collect();
        let text = format!(
            "[[database]]\npath = {:?}\nreplica = {:?}\n",
            place.path("tenants/*.db"),
            place.path("backups/{stem}")
        );
        let mut set = DatabaseSet::new(Hooks::default(), PATIENT);
        let view = View::of(set.sidecar());
        set.begin(&Config::parse(&text).unwrap()).await.unwrap();
        assert!(!view.has_begun());
        let begun = async {
            while !view.has_begun() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = begun => {}
            ended = set.next_ended() => panic!("{ended:?}"),
            () = tokio::time::sleep(PATIENCE) => panic!("it has not begun"),
        }
        assert_eq!(view.statuses.now().len(), names.len());
        set.abort().await;
        actors.into_iter().for_each(|actor| actor.finish().unwrap());
    }
}
