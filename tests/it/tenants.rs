//! Databases that a pattern names, as they come and go beside a running process (issue 20).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide_state::state_directory;
use ebbtide_testkit::Random;
use ebbtide_testkit::oracle::Image;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{App, History, Setup, Sidecar, image, wait_until};

/// A directory of databases, and a process that follows those in it.
pub(crate) struct Tenants {
    pub(crate) setup: Setup,
    config: String,
}

impl Tenants {
    pub(crate) fn new(more: &str) -> Tenants {
        let setup = Setup::new();
        fs::create_dir(setup.path("tenants")).unwrap();
        let tenants = Tenants { config: setup.text("ebbtide.toml"), setup };
        tenants.configure(more);
        tenants
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "[[database]]\npath = \"{}/**/*.db\"\nreplica = \"{}/{{relative}}\"\n{more}\n",
            self.setup.text("tenants"),
            self.setup.text("backups")
        );
        fs::write(self.setup.path("ebbtide.toml"), text).unwrap();
    }

    pub(crate) fn start(&self) -> Sidecar {
        self.started(self.setup.command(&self.args()))
    }

    /// The same within a limit, as `ulimit` takes it.
    pub(crate) fn start_within(&self, limit: &str) -> Sidecar {
        self.started(self.setup.limited(limit, &self.args()))
    }

    fn args(&self) -> [&str; 5] {
        ["replicate", "--log-format", "json", "--config", &self.config]
    }

    fn started(&self, mut command: Command) -> Sidecar {
        let sidecar = Sidecar::spawn_command(&mut command);
        wait_until("the process to answer", || self.setup.run(&["list"]).code() == 0);
        sidecar
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.path("tenants").join(name)
    }

    pub(crate) fn app(&self, name: &str) -> App {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        App::open(&self.path(name))
    }

    /// What the status says of one.
    pub(crate) fn report(&self, name: &str) -> Value {
        let path = self.path(name);
        let (_, all) = self.setup.status(&[]);
        all.into_iter()
            .find(|one| Some(path.as_path()) == one["database"].as_str().map(Path::new))
            .unwrap_or_default()
    }

    pub(crate) fn wait_for(&self, name: &str, phase: &str) {
        wait_until(&format!("{name} to be {phase}"), || self.report(name)["phase"] == phase);
    }

    fn sync(&self, name: &str) {
        self.setup.run(&["sync", "--wait", self.path(name).to_str().unwrap()]).exits(0);
    }

    fn history(&self, name: &str) -> History {
        History::open(&self.setup.text(&format!("backups/{name}")))
    }

    #[track_caller]
    fn assert_exact(&self, name: &str, expected: &Image) {
        assert_eq!(&self.restored(name), expected, "{name}");
    }

    fn restored(&self, name: &str) -> Image {
        let directory = self.setup.directory.path();
        self.history(name).restore(ebbtide_catalog::Target::Latest, directory).1
    }
}

#[test]
fn databases_that_come_are_followed_and_those_that_go_get_their_last_sync() {
    let tenants = Tenants::new("puts-per-second = 0.001\nputs-burst = 1.0");
    let first = tenants.app("first.db");
    first.insert(3, 100);
    let sidecar = tenants.start();
    tenants.wait_for("first.db", "following");
    let began = Instant::now();
    let second = tenants.app("deep/second.db");
    second.insert(1, 100);
    tenants.wait_for("deep/second.db", "following");
    println!("followed {:?} after it was made", began.elapsed());
    // The store gets one put in a thousand seconds, so only a last sync takes these.
    second.insert(5, 100);
    let expected = image(&tenants.path("deep/second.db"));
    let files = ["", "-wal", "-shm"].map(|suffix| tenants.path(&format!("deep/second.db{suffix}")));
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    tenants.wait_for("deep/second.db", "ended");
    tenants.assert_exact("deep/second.db", &expected);
    drop(second);
    assert_eq!(tenants.report("deep/second.db")["healthy"], true);
    assert_eq!(tenants.report("first.db")["phase"], "following");

    // The same name again is another database, and its replica has a history: that is refused by name, or shown to be its own.
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    tenants.assert_exact("first.db", &image(&tenants.path("first.db")));
}

#[test]
fn a_directory_of_databases_is_moved_and_each_is_exact_under_both_names() {
    let tenants = Tenants::new("");
    let apps: Vec<App> = (0..5).map(|number| tenants.app(&format!("old/{number}.db"))).collect();
    let sidecar = tenants.start();
    for (number, app) in apps.iter().enumerate() {
        tenants.wait_for(&format!("old/{number}.db"), "following");
        app.insert(4, 200);
    }
    drop(apps);
    let images: Vec<Image> =
        (0..5).map(|number| image(&tenants.path(&format!("old/{number}.db")))).collect();
    fs::rename(tenants.path("old"), tenants.path("new")).unwrap();
    for number in 0..5 {
        tenants.wait_for(&format!("old/{number}.db"), "ended");
        tenants.wait_for(&format!("new/{number}.db"), "following");
    }
    let again: Vec<App> = (0..5).map(|number| tenants.app(&format!("new/{number}.db"))).collect();
    for (number, app) in again.iter().enumerate() {
        app.insert(2, 200);
        tenants.sync(&format!("new/{number}.db"));
        tenants.assert_exact(&format!("old/{number}.db"), &images[number]);
        let name = format!("new/{number}.db");
        tenants.assert_exact(&name, &image(&tenants.path(&name)));
    }
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn nothing_ends_because_the_directory_is_not_there_for_a_while() {
    let tenants = Tenants::new("");
    let app = tenants.app("a.db");
    let sidecar = tenants.start();
    tenants.wait_for("a.db", "following");
    app.insert(3, 100);
    tenants.sync("a.db");
    drop(app);
    let elsewhere = tenants.setup.path("elsewhere");
    fs::rename(tenants.path(""), &elsewhere).unwrap();
    tenants.wait_for("a.db", "failing");
    sidecar
        .process()
        .line_with("the directory of a pattern is not there", crate::support::PATIENCE);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(tenants.report("a.db")["phase"], "failing", "it has not ended");
    fs::rename(&elsewhere, tenants.path("")).unwrap();
    tenants.wait_for("a.db", "following");
    tenants.app("a.db").insert(2, 100);
    tenants.sync("a.db");
    tenants.assert_exact("a.db", &image(&tenants.path("a.db")));
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_copy_is_followed_once_it_is_whole_and_a_replaced_one_goes_on() {
    let tenants = Tenants::new("");
    let source = tenants.setup.other_app("source.db");
    source.insert(200, 500);
    source.checkpoint("TRUNCATE");
    drop(source);
    let bytes = fs::read(tenants.setup.path("source.db")).unwrap();
    let sidecar = tenants.start();
    let copy = tenants.path("copy.db");
    for end in [4096, bytes.len() / 2, bytes.len()] {
        fs::write(&copy, &bytes[..end]).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let is_whole = end == bytes.len();
        assert!(is_whole || tenants.report("copy.db").is_null(), "{end} bytes");
    }
    tenants.wait_for("copy.db", "following");
    tenants.sync("copy.db");
    tenants.assert_exact("copy.db", &image(&copy));
    let other = tenants.setup.other_app("other.db");
    other.insert(20, 300);
    other.checkpoint("TRUNCATE");
    drop(other);
    // As rsync does it.
    fs::copy(tenants.setup.path("other.db"), tenants.path(".copy.db.x1Y2z3")).unwrap();
    fs::rename(tenants.path(".copy.db.x1Y2z3"), &copy).unwrap();
    App::open(&copy).insert(1, 100);
    let is_exact = || {
        let synced = tenants.setup.run(&["sync", "--wait", copy.to_str().unwrap()]);
        synced.code() == 0
    };
    wait_until("the replaced one to be durable", is_exact);
    let restored = tenants.restored("copy.db");
    let (expected, (code, said)) = (image(&copy), sidecar.stop_and_tell());
    assert_eq!((restored, code), (expected, 0), "{said}");
}

#[test]
fn what_cannot_be_followed_is_refused_by_name_and_everything_else_goes_on() {
    let tenants = Tenants::new("");
    let app = tenants.app("a.db");
    app.insert(1, 100);
    drop(App::prepared(&tenants.path("journal.db"), "CREATE TABLE t (b)"));
    fs::write(tenants.path("text.db"), "no database ".repeat(100)).unwrap();
    symlink(tenants.path("nowhere"), tenants.path("dangling.db")).unwrap();
    let sidecar = tenants.start();
    tenants.wait_for("a.db", "following");
    tenants.wait_for("journal.db", "failing");
    let why = tenants.report("journal.db")["error"].as_str().unwrap().to_owned();
    assert!(why.contains("enable-wal"), "{why}");
    fs::hard_link(tenants.path("a.db"), tenants.path("link.db")).unwrap();
    symlink(tenants.path("a.db"), tenants.path("symlink.db")).unwrap();
    for name in ["link.db", "symlink.db"] {
        tenants.wait_for(name, "stopped");
        let why = tenants.report(name)["error"].as_str().unwrap().to_owned();
        assert!(why.contains("the same file as") && why.contains("a.db"), "{why}");
    }
    let list = tenants.setup.run(&["list"]).exits(0);
    list.prints("**/*.db: 1 followed, 1 need enable-wal").prints("1 no databases");
    app.insert(2, 100);
    tenants.sync("a.db");
    tenants.assert_exact("a.db", &image(&tenants.path("a.db")));
    sidecar.stop();
}

#[test]
fn a_configuration_that_is_read_again_disturbs_nobody_who_is_in_it_as_before() {
    let tenants = Tenants::new("");
    let apps = ["a.db", "b.db"].map(|name| tenants.app(name));
    let one = tenants.setup.other_app("one.db");
    let own = |more: &str| {
        let (path, replica) = (tenants.setup.text("one.db"), tenants.setup.text("one"));
        format!("[[database]]\npath = \"{path}\"\nreplica = \"{replica}\"\n{more}\n")
    };
    tenants.configure(&own(""));
    let sidecar = tenants.start();
    ["a.db", "b.db", "../one.db"].iter().for_each(|name| {
        let path = tenants.path(name).canonicalize().unwrap();
        let reports = || tenants.setup.status(&[]).1;
        let is_its = |one: &Value| one["database"].as_str().map(Path::new) == Some(&path);
        let follows = || reports().iter().any(|one| is_its(one) && one["phase"] == "following");
        wait_until("it to be followed", follows);
    });
    let since = || tenants.report("a.db")["since"].clone();
    let before = since();
    let claims = || tenants.history("a.db").entries().len();
    let entries = claims();

    // What is not in order changes nothing.
    fs::write(tenants.setup.path("ebbtide.toml"), "[[database]]\npath = 1\n").unwrap();
    tenants.setup.run(&["reload"]).exits(1).says("ebbtide.toml");
    assert_eq!(tenants.setup.run(&["list", "--json"]).exits(0).json_lines().len(), 4);

    // One that is changed begins again, and the others do not notice.
    tenants.configure(&own("puts-per-second = 2.0"));
    let reloaded = tenants.setup.run(&["reload", "--json"]).exits(0).json();
    assert_eq!(
        (reloaded["unchanged"].as_u64(), reloaded["restarted"].as_u64()),
        (Some(2), Some(1))
    );
    let one_path = tenants.setup.text("one.db");
    let follows = || {
        let (_, all) = tenants.setup.status(&[]);
        all.iter().any(|it| it["database"] == one_path && it["phase"] == "following")
    };
    wait_until("the changed one to be followed again", follows);
    one.insert(3, 100);
    tenants.setup.run(&["sync", "--wait", &one_path]).exits(0);

    // One that is not named any more gets its last sync.
    one.insert(2, 100);
    let expected = image(&tenants.setup.path("one.db"));
    tenants.configure("");
    sidecar.process().signal(Signal::SIGHUP).unwrap();
    let has_ended = || {
        let (_, all) = tenants.setup.status(&[]);
        all.iter().any(|it| it["database"] == one_path && it["phase"] == "ended")
    };
    wait_until("it to end", has_ended);
    let history = History::open(&tenants.setup.text("one"));
    let (_, restored) =
        history.restore(ebbtide_catalog::Target::Latest, tenants.setup.directory.path());
    assert_eq!(restored, expected);
    assert_eq!((since(), claims()), (before, entries), "no session began");
    for app in &apps {
        app.insert(1, 100);
    }
    tenants.sync("b.db");
    assert_eq!(sidecar.stop(), 0);
    for name in ["a.db", "b.db"] {
        tenants.assert_exact(name, &image(&tenants.path(name)));
    }
}

#[test]
fn databases_are_added_and_removed_by_commands() {
    let tenants = Tenants::new("");
    let setup = &tenants.setup;
    let _inside = tenants.app("a.db");
    let app = setup.other_app("other.db");
    let sidecar = tenants.start();
    tenants.wait_for("a.db", "following");
    let (database, replica) = (setup.text("other.db"), setup.text("other"));
    setup.run(&["add", &database, &replica]).exits(0).prints("durable up to txid");
    app.insert(4, 100);
    setup.run(&["sync", "--wait", &database]).exits(0);
    setup.run(&["add", &database, &replica]).exits(1).says("is followed already");
    symlink(&database, setup.path("link.db")).unwrap();
    setup.run(&["add", &setup.text("link.db"), &setup.text("x")]).exits(1).says("same file as");
    let third = setup.other_app("third.db");
    third.insert(1, 100);
    setup
        .run(&["add", &setup.text("third.db"), &replica])
        .exits(1)
        .says("a replica has one database");
    let listed = setup.run(&["list", "--json"]).exits(0).json_lines();
    let added: Vec<&Value> = listed.iter().filter(|it| it["added"] == true).collect();
    assert_eq!((added.len(), &added[0]["database"]), (1, &Value::from(database.clone())));

    // An added one stays, and a removed one comes back, when the configuration is read again.
    setup.run(&["remove", tenants.path("a.db").to_str().unwrap()]).exits(0);
    tenants.wait_for("a.db", "ended");
    setup.run(&["reload"]).exits(0).prints("1 unchanged");
    tenants.wait_for("a.db", "following");

    app.insert(2, 100);
    setup.run(&["remove", &database]).exits(0).prints("durable up to txid");
    let history = History::open(&replica);
    let (_, restored) = history.restore(ebbtide_catalog::Target::Latest, setup.directory.path());
    assert_eq!(restored, image(Path::new(&database)));
    setup.run(&["remove", &database]).exits(1);
    assert_eq!(sidecar.stop(), 0);
}

/// So many databases come in the gate; `EBBTIDE_TEST_TENANTS=2000` is for an afternoon.
const COUNT: u32 = 80;

/// What became of databases that an operator makes, renames and deletes.
struct Flock {
    tenants: Tenants,
    live: BTreeMap<String, App>,
    /// What was in those that are gone, or have another name.
    gone: BTreeMap<String, Image>,
    random: Random,
}

impl Flock {
    fn name(number: u32) -> String {
        format!("{}/{number}/app.db", number % 7)
    }

    fn make(&mut self, number: u32) {
        let name = Flock::name(number);
        let app = self.tenants.app(&name);
        app.insert(1 + number % 3, 300);
        self.live.insert(name, app);
    }

    /// Those that are followed: what was never followed has no replica, and what goes before that is in none.
    fn followed(&self) -> Vec<String> {
        let (_, all) = self.tenants.setup.status(&[]);
        let root = self.tenants.path("");
        let followed = all.iter().filter(|one| one["phase"] == "following");
        let names: BTreeSet<String> = followed
            .filter_map(|one| Path::new(one["database"].as_str()?).strip_prefix(&root).ok())
            .map(|name| name.to_str().unwrap().to_owned())
            .collect();
        self.live.keys().filter(|name| names.contains(*name)).cloned().collect()
    }

    fn delete(&mut self, name: &str) {
        let app = self.live.remove(name).unwrap();
        app.insert(1, 200);
        self.gone.insert(name.to_owned(), image(&self.tenants.path(name)));
        // With the application or without it, as a file or with its directory.
        let app = Some(app).filter(|_| self.random.below(2) == 0);
        if self.random.below(2) == 0 {
            fs::remove_dir_all(self.tenants.path(name).parent().unwrap()).unwrap();
        } else {
            fs::remove_file(self.tenants.path(name)).unwrap();
        }
        drop(app);
    }

    fn rename(&mut self, name: &str, number: u32) {
        let app = self.live.remove(name).unwrap();
        app.insert(1, 200);
        drop(app);
        self.gone.insert(name.to_owned(), image(&self.tenants.path(name)));
        let to = format!("renamed/{number}/app.db");
        let (from, new) = (self.tenants.path(name), self.tenants.path(&to));
        fs::create_dir_all(new.parent().unwrap().parent().unwrap()).unwrap();
        fs::rename(from.parent().unwrap(), new.parent().unwrap()).unwrap();
        self.live.insert(to.clone(), self.tenants.app(&to));
    }
}

#[test]
fn many_databases_are_made_renamed_and_deleted_and_each_is_exact() {
    let count = std::env::var("EBBTIDE_TEST_TENANTS").map_or(COUNT, |count| count.parse().unwrap());
    let tenants = Tenants::new("");
    let sidecar = tenants.start();
    let (live, gone, random) = (BTreeMap::new(), BTreeMap::new(), Random::new(20));
    let mut flock = Flock { tenants, live, gone, random };
    for number in 0..count {
        flock.make(number);
        if number % 8 == 7 {
            let mut followed = flock.followed();
            for step in 0..3 {
                let length = u32::try_from(followed.len()).unwrap();
                if length < 4 {
                    break;
                }
                let name = followed.swap_remove(flock.random.below(length) as usize);
                match step {
                    0 => flock.delete(&name),
                    1 => flock.rename(&name, number),
                    _ => flock.live[&name].insert(3, 500),
                }
            }
        }
        if number == count / 2 {
            flock.tenants.configure("snapshot-interval = \"24h\"");
            let before = ebbtide_sidecar::clock::now().to_string();
            flock.tenants.setup.run(&["reload"]).exits(0);
            // What is deleted while its session is replaced by another one is deleted while nobody follows it.
            wait_until("all to be followed as they are configured now", || {
                let (_, all) = flock.tenants.setup.status(&[]);
                let is_new = |one: &&Value| one["since"].as_str() > Some(&before);
                let followed = all.iter().filter(|one| one["phase"] == "following");
                followed.filter(is_new).count() == flock.live.len()
            });
        }
    }
    assert!(flock.gone.len() >= 4, "{} are gone", flock.gone.len());
    wait_until("all to be followed", || flock.followed().len() == flock.live.len());
    for name in flock.gone.keys() {
        let is_over = || {
            let report = flock.tenants.report(name);
            report.is_null() || report["phase"] == "ended"
        };
        wait_until(&format!("{name} to end"), is_over);
    }
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    for (name, expected) in &flock.gone {
        flock.tenants.assert_exact(name, expected);
    }
    for name in flock.live.keys() {
        flock.tenants.assert_exact(name, &image(&flock.tenants.path(name)));
    }
}

/// Would catch an end that comes before what a pattern names was found, with exit code 0.
#[test]
fn what_a_pattern_names_is_durable_before_an_end() {
    let tenants = Tenants::new("");
    let names = ["a.db", "b.db", "deep/c.db"];
    // Written a moment ago, and nobody has them open.
    names.iter().for_each(|name| tenants.app(name).insert(3, 100));
    let args = ["replicate", "--config", &tenants.config];
    for more in [&["--once"][..], &["--exec", "true"]] {
        tenants.setup.run(&[&args[..], more].concat()).exits(0);
        for name in names {
            tenants.assert_exact(name, &image(&tenants.path(name)));
        }
        fs::remove_dir_all(tenants.setup.path("backups")).unwrap();
        for name in names {
            fs::remove_dir_all(state_directory(&tenants.path(name))).unwrap();
        }
    }
    drop(App::prepared(&tenants.path("journal.db"), "CREATE TABLE t (b)"));
    let ended = tenants.setup.run(&[&args[..], &["--once"]].concat());
    ended.exits(1).says("1 database that patterns name cannot be followed");
}

/// Would catch a tenant that has left and is a trouble for the others, or cannot be had back.
#[test]
fn a_database_that_was_let_go_is_no_trouble_and_can_be_restored() {
    let tenants = Tenants::new("");
    let apps = ["a.db", "b.db"].map(|name| tenants.app(name));
    let sidecar = tenants.start();
    for (app, name) in apps.iter().zip(["a.db", "b.db"]) {
        tenants.wait_for(name, "following");
        app.insert(3, 100);
        tenants.sync(name);
    }
    let expected = image(&tenants.path("b.db"));
    let [_a, b] = apps;
    drop(b);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(tenants.path(&format!("b.db{suffix}"))).ok();
    }
    tenants.wait_for("b.db", "ended");
    tenants.setup.run(&["sync", "--wait"]).exits(0);
    assert_eq!(tenants.setup.status(&[]).0, 0);
    let (output, replica) = (tenants.path("b.db"), tenants.setup.text("backups/b.db"));
    tenants.setup.run(&["restore", "-o", output.to_str().unwrap(), &replica]).exits(0);
    tenants.wait_for("b.db", "following");
    assert_eq!(image(&output), expected);
    assert_eq!(sidecar.stop(), 0);
}
