//! A copy that is encrypted or decrypted on its way. Would catch an entry or a state that becomes another by it, a copy that
//! cannot go on after a kill, plain text beside what is encrypted, and a horizon that names the objects of the other form.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ebbtide_catalog::Target;
use ebbtide_fault::DIED;
use ebbtide_replica::{EntryKind, Horizon, HorizonContents, Key};
use ebbtide_testkit::builder::{Builder, txid};

use crate::support::{Ended, History, Owner, Setup};

/// A place with a plain replica, and where its other forms lie.
struct Forms {
    setup: Setup,
    owner: Owner,
}

impl Forms {
    fn of(setup: Setup) -> Forms {
        let owner = Owner::new(&setup.path("owner.txt"));
        Forms { setup, owner }
    }

    /// Encrypts the plain replica on its way.
    fn seal(&self, more: &[&str]) -> Ended {
        self.run(&self.seal_args(more))
    }

    fn seal_args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let to = ["--encrypt-to", &self.owner.recipient];
        [&["copy", "--json"], &to[..], more].concat()
    }

    /// Decrypts the encrypted one on its way.
    fn open(&self, more: &[&str]) -> Ended {
        self.run(&self.open_args(more))
    }

    fn open_args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let with = ["--decrypt", "--identity", &self.owner.identity];
        [&["copy", "--json"], &with[..], more].concat()
    }

    /// With the encrypted replica and the plain one that comes out of it as the last arguments.
    fn run(&self, args: &[&str]) -> Ended {
        let (sealed, again) = (self.setup.text("sealed"), self.setup.text("again"));
        let places = match args.contains(&"--decrypt") {
            true => [sealed.as_str(), &again],
            false => [self.setup.replica.as_str(), &sealed],
        };
        self.setup.run(&[args, &places].concat())
    }

    fn sealed(&self) -> History {
        History::open(&self.setup.text("sealed")).of(&self.owner)
    }

    fn again(&self) -> History {
        History::open(&self.setup.text("again"))
    }

    /// All files of a replica.
    fn files(&self, replica: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.setup.path(replica), "", &mut files);
        files
    }
}

fn collect(directory: &Path, under: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.map(Result::unwrap) {
        let name = format!("{under}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), files),
            false => drop(files.insert(name, fs::read(entry.path()).unwrap())),
        }
    }
}

/// Segments of several commits, packs of both kinds, deltas, snapshots.
async fn history() -> Builder {
    let mut builder = Builder::started(512, 5).await;
    for round in 0..24_u64 {
        builder.wait(1_000_000);
        let size = 3 + usize::try_from(round * 7 % 11).unwrap();
        let page = usize::try_from(round % 3).unwrap();
        builder.commit(&[(page, round), (size - 1, 1000 + round)], size);
        if round % 3 == 0 {
            builder.cut().await;
        }
        if round == 15 {
            builder.snapshot().await;
            builder.claim();
        }
        if [9, 21].contains(&round) {
            let first = builder.last().txid.get() - 4;
            builder.cut().await;
            builder.delta(first).await;
            builder.claim();
        }
    }
    builder.cut().await;
    let objects = builder.objects().await;
    let begins = objects.iter().filter_map(|key| match key {
        Key::Log(first) => Some(first.get()),
        _ => None,
    });
    let begins: Vec<u64> = begins.collect();
    builder.pack(begins[2], begins[5] - 1).await;
    builder.pack_in_order(begins[5], begins[8] - 1).await;
    builder
}

/// Such a history as the replica of a setup.
fn whole() -> Forms {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (setup, builder) = (Setup::new(), runtime.block_on(history()));
    setup.write(&builder);
    Forms::of(setup)
}

/// A thinned history with two marks.
fn thinned() -> (Forms, Builder) {
    let (setup, builder) = crate::thinned::setup();
    for number in [5, 11] {
        let txid = format!("{number:x}");
        setup.run(&["mark", "--txid", &txid, &format!("mark {number}"), &setup.replica]).exits(0);
    }
    (Forms::of(setup), builder)
}

/// The states that a thinned history has are those that were built, each by itself.
#[track_caller]
fn assert_thinned(forms: &Forms, history: &History, builder: &Builder) {
    let output = forms.setup.path("state.db");
    for number in [5, 9, 10, 11, 12] {
        history.restore_into(Target::Txid(txid(number)), &output);
        assert!(fs::read(&output).unwrap() == builder.state(number).image(), "{number}");
        fs::remove_file(&output).unwrap();
    }
}

/// Each entry of the one gives the same bytes in the other.
#[track_caller]
fn assert_same(one: &History, other: &History, directory: &Path) {
    let mut compared = 0;
    for entry in one.entries().iter().filter(|entry| entry.kind != EntryKind::Claim) {
        let target = Target::Txid(entry.txid);
        let (ours, theirs) = (one.restore(target, directory), other.restore(target, directory));
        assert_eq!(ours, theirs, "{}", entry.txid);
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn every_state_is_the_same_in_each_form_and_what_comes_back_is_what_it_was() {
    let forms = whole();
    forms.seal(&["--verify"]).exits(0);
    // Whoever has only seen the address does not have the index key.
    forms.seal(&[]).exits(2).says("name an identity");
    let again = forms.seal(&["--verify", "--identity", &forms.owner.identity]).exits(0).json();
    assert_eq!(again["copied"]["objects"], 0, "{again}");
    let directory = forms.setup.directory.path();
    let (plain, sealed) = (forms.setup.history(), forms.sealed());
    assert_same(&plain, &sealed, directory);
    forms.open(&["--verify"]).exits(0);
    let (before, after) = (forms.files("backup"), forms.files("again"));
    for (name, body) in &after {
        assert!(before.get(name) == Some(body), "{name} is another");
    }
    // What is in a pack is copied once.
    let packed = |name: &String| name.starts_with("log/") && !after.contains_key(name);
    assert!(before.keys().all(|name| after.contains_key(name) || packed(name)));
    assert!(after.keys().any(|name| name.starts_with("pack/")));
    assert!(after.keys().any(|name| name.starts_with("delta/")));
    // And once more encrypted, for somebody else, with other keys and other salts.
    let other = Owner::new(&forms.setup.path("other.txt"));
    let twice = forms.setup.text("twice");
    let to = ["--encrypt-to", &other.recipient, &forms.setup.text("again"), &twice];
    forms.setup.run(&[&["copy"], &to[..]].concat()).exits(0).prints(", encrypted;");
    let twice = History::open(&twice).of(&other);
    assert_same(&plain, &twice, directory);
    forms
        .setup
        .run(&["verify", "--identity", &other.identity, &forms.setup.text("twice")])
        .exits(0);
}

/// Would catch a place at which a kill leaves a copy that is none, that cannot go on, or that has an object nobody opens.
#[test]
fn h37_a_copy_into_another_form_that_is_killed_is_a_replica_and_goes_on() {
    let (forms, builder) = thinned();
    let identity = ["--identity", &forms.owner.identity];
    let mut deaths = 0;
    for place in places() {
        for passage in [1, 2, 3, 6, 9, 12] {
            fs::remove_dir_all(forms.setup.path("sealed")).ok();
            let order = format!("{place}={passage}");
            if !dies(&forms, &forms.seal_args(&[]), &order) {
                break;
            }
            deaths += 1;
            // Until the first snapshot is there, there is nothing to restore.
            let out = forms.setup.text("out.db");
            let sealed = forms.setup.text("sealed");
            let restore = ["restore", "--force", "-o", &out, &sealed];
            let restored = forms.setup.run(&[&restore[..], &identity].concat());
            assert!([0, 3].contains(&restored.code()), "{order}: {}", restored.said);
            forms.seal(&identity).exits(0);
            assert_thinned(&forms, &forms.sealed(), &builder);
        }
    }
    for place in places() {
        for passage in [1, 3, 9] {
            fs::remove_dir_all(forms.setup.path("again")).ok();
            if !dies(&forms, &forms.open_args(&[]), &format!("{place}={passage}")) {
                break;
            }
            deaths += 1;
            forms.open(&[]).exits(0);
            assert_thinned(&forms, &forms.again(), &builder);
        }
    }
    println!("{deaths} copies died");
    assert!(deaths >= 16, "{deaths}");
}

/// The failpoints of copies.
fn places() -> Vec<String> {
    let places = crate::kill::place::places().into_iter();
    places.filter(|place| place.starts_with("copy.") && place != "copy.object.piece").collect()
}

/// Whether a copy with this order for a failpoint died of it.
fn dies(forms: &Forms, args: &[&str], order: &str) -> bool {
    let (sealed, again) = (forms.setup.text("sealed"), forms.setup.text("again"));
    let places = match args.contains(&"--decrypt") {
        true => [sealed.as_str(), &again],
        false => [forms.setup.replica.as_str(), &sealed],
    };
    let mut command = forms.setup.command(&[args, &places].concat());
    let ended = Ended::of(command.env("FAILPOINTS", order));
    if !ended.said.contains(DIED) {
        ended.exits(0);
        return false;
    }
    true
}

#[test]
fn a_thinned_history_keeps_its_states_and_marks_in_each_form() {
    let (forms, builder) = thinned();
    forms.seal(&["--verify"]).exits(0);
    assert_thinned(&forms, &forms.sealed(), &builder);
    forms.open(&["--verify"]).exits(0);
    assert_thinned(&forms, &forms.again(), &builder);
    let out = forms.setup.text("out.db");
    let sealed = forms.setup.text("sealed");
    for number in [5, 11] {
        let name = format!("mark {number}");
        let restore = ["restore", "--force", "-o", &out, "--mark", &name, "--identity"];
        forms.setup.run(&[&restore[..], &[&forms.owner.identity, &sealed]].concat()).exits(0);
        assert!(fs::read(&out).unwrap() == builder.state(number).image());
    }
    // What is not kept is not there, and both neighbours are named.
    let restore = ["restore", "--force", "-o", &out, "--txid", "7", "--identity"];
    let refused = forms.setup.run(&[&restore[..], &[&forms.owner.identity, &sealed]].concat());
    refused.exits(3).says("--txid 5").says("--txid 9");
    // Marks and segments come back to the byte. A horizon names what is there.
    let (before, after) = (forms.files("backup"), forms.files("again"));
    for (name, body) in &after {
        assert!(before.get(name) == Some(body) || name.starts_with("horizon/"), "{name}");
    }
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    // Somebody else has pruned the copy.
    let horizon = "horizon/0000000000000001.seg";
    let file = forms.setup.path("again").join(horizon);
    let (mut other, _) = Horizon::parse(&fs::read(&file).unwrap()).unwrap();
    other.contents.keep = Some("daily=1y".to_owned());
    fs::write(&file, other.encode().unwrap()).unwrap();
    forms.open(&[]).exits(4).says(horizon);
}

/// A copy that begins later has a horizon of its own, in each form.
#[test]
fn a_copy_since_a_state_has_another_form_too() {
    let (forms, builder) = thinned();
    let identity = ["--identity", &forms.owner.identity];
    for since in [&[][..], &identity] {
        let copied = forms.seal(&[&["--since", "txid:9", "--verify"], since].concat()).exits(0);
        assert_eq!(copied.json()["first_txid"], txid(9).to_string());
    }
    let output = forms.setup.path("state.db");
    for number in [9, 10, 12] {
        forms.sealed().restore_into(Target::Txid(txid(number)), &output);
        assert!(fs::read(&output).unwrap() == builder.state(number).image(), "{number}");
        fs::remove_file(&output).unwrap();
    }
    assert!(!forms.setup.path("sealed/snap").join(format!("{}.seg", txid(5))).exists());
}

/// Where a copy begins stays the same, however often it goes on, and wherever it was killed. Would catch a copy that
/// begins once more further on, and one whose horizon promises what a kill has kept from it.
#[test]
fn h37_a_copy_since_a_state_goes_on_in_each_form_wherever_it_was_killed() {
    let (forms, mut builder) = thinned();
    let identity = ["--identity", &forms.owner.identity];
    let since = ["--since", "txid:9"];
    let sealing = [&since[..], &identity].concat();
    let mut deaths = killed_everywhere(&forms, "sealed", &|more| {
        forms.seal_args(&[&sealing[..], more].concat())
    });
    forms.seal(&[&sealing[..], &["--verify"]].concat()).exits(0);
    deaths +=
        killed_everywhere(&forms, "again", &|more| forms.open_args(&[&since[..], more].concat()));
    println!("{deaths} copies died");
    assert!(deaths >= 12, "{deaths}");
    // What came meanwhile comes along, and nothing else is put.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    builder.wait(1_000_000);
    builder.commit(&[(1, 77)], 2);
    runtime.block_on(builder.cut());
    forms.setup.write(&builder);
    let first = txid(9).to_string();
    for added in [1, 0] {
        let sealed = forms.seal(&[&sealing[..], &["--verify"]].concat()).exits(0).json();
        let opened = forms.open(&[&since[..], &["--verify"]].concat()).exits(0).json();
        for copied in [sealed, opened] {
            assert_eq!(copied["first_txid"], first, "{copied}");
            assert_eq!(copied["copied"]["objects"], added, "{copied}");
        }
    }
    let output = forms.setup.path("state.db");
    for history in [forms.sealed(), forms.again()] {
        for number in [9, 10, 12, builder.last().txid.get()] {
            history.restore_into(Target::Txid(txid(number)), &output);
            assert!(fs::read(&output).unwrap() == builder.state(number).image(), "{number}");
            fs::remove_file(&output).unwrap();
        }
    }
    for (replica, with) in [("sealed", &identity[..]), ("again", &[])] {
        let verify = ["verify", &forms.setup.text(replica)];
        forms.setup.run(&[&verify[..], with].concat()).exits(0);
    }
}

/// Kills a copy into `replica` at each place and passage, and goes on with it until it is whole; how often it died. What is
/// whole at last stays there.
fn killed_everywhere<'a>(
    forms: &Forms,
    replica: &str,
    args: &dyn Fn(&[&'a str]) -> Vec<&'a str>,
) -> usize {
    let mut deaths = 0;
    for place in places() {
        for passage in [1, 2, 4] {
            fs::remove_dir_all(forms.setup.path(replica)).ok();
            if !dies(forms, &args(&[]), &format!("{place}={passage}")) {
                break;
            }
            deaths += 1;
            let copied = forms.run(&args(&["--verify"])).exits(0).json();
            assert_eq!(copied["first_txid"], txid(9).to_string(), "{place}={passage}");
            let again = forms.run(&args(&[])).exits(0).json();
            assert_eq!(again["copied"]["objects"], 0, "{place}={passage}");
        }
    }
    deaths
}

/// A reader takes the horizon before where the newest is damaged. Would catch a copy that has one chance less than its
/// source.
#[test]
fn a_copy_in_another_form_has_the_horizons_before_the_newest_too() {
    let (forms, builder) = thinned();
    let place = |replica: &str, number: u64| {
        forms.setup.path(replica).join(Key::Horizon(number).to_string())
    };
    let (mut second, root) = Horizon::parse(&fs::read(place("backup", 1)).unwrap()).unwrap();
    (second.number, second.contents.number) = (2, 2);
    second.contents.previous = Some(HorizonContents::naming(&root));
    fs::write(place("backup", 2), second.encode().unwrap()).unwrap();
    forms.seal(&["--verify"]).exits(0);
    forms.open(&["--verify"]).exits(0);
    let (with, without) = (["--identity", forms.owner.identity.as_str()], [].as_slice());
    for (replica, identity) in [("backup", without), ("sealed", &with[..]), ("again", without)] {
        let verify = ["verify", &forms.setup.text(replica)];
        forms.setup.run(&[&verify[..], identity].concat()).exits(0);
        let mut body = fs::read(place(replica, 2)).unwrap();
        body[200] ^= 1;
        fs::write(place(replica, 2), body).unwrap();
        let out = forms.setup.text("out.db");
        let restore = ["restore", "--force", "--txid", "5", "-o", &out];
        let at = forms.setup.text(replica);
        forms.setup.run(&[&restore[..], identity, &[&at]].concat()).exits(0);
        assert!(fs::read(&out).unwrap() == builder.state(5).image(), "{replica}");
    }
}

/// H39: what a plain copy shows, nothing of it is in an encrypted one.
#[test]
fn h39_an_encrypted_copy_names_neither_host_nor_mark_nor_row() {
    let setup = Setup::new();
    let app = setup.app();
    app.execute("INSERT INTO t (b) VALUES ('the canary of the rows')", []).unwrap();
    setup.once().exits(0);
    setup.run(&["mark", "the canary of the marks", setup.database.to_str().unwrap()]).exits(0);
    let forms = Forms::of(setup);
    forms.seal(&[]).exits(0);
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let manifest = &forms.files("backup")["ebbtide.json"];
    assert!(String::from_utf8_lossy(manifest).contains(&host), "the plain one names it");
    for (name, body) in forms.files("sealed") {
        for canary in ["the canary", &format!("on {host}"), "app.db"] {
            let shows = body.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!shows, "{name} shows {canary:?}");
        }
    }
    let text = String::from_utf8(forms.files("sealed")["ebbtide.json"].clone()).unwrap();
    assert!(text.contains("\"encryption\""), "{text}");
}

/// Would catch a target that has objects of both forms.
#[test]
fn a_mixture_of_forms_in_one_place_is_refused() {
    let forms = whole();
    let (plain, sealed) = (forms.setup.replica.clone(), forms.setup.text("sealed"));
    let identity = ["--identity", &forms.owner.identity];
    forms.seal(&[]).exits(0);
    let before = forms.files("sealed");
    let form = "the same replica in another form";
    forms.setup.run(&["copy", &plain, &sealed]).exits(5).says(form).says("place of its own");
    forms.open(&[]).exits(0);
    let again = forms.setup.text("again");
    let copy = ["copy", &sealed, &again];
    forms.setup.run(&[&copy[..], &identity].concat()).exits(5).says(form);
    let to = ["copy", "--encrypt-to", &forms.owner.recipient, &plain, &again];
    forms.setup.run(&to).exits(5).says("it is not encrypted");
    // Both are of one replica and encrypted, each with keys of its own.
    let twice = forms.setup.text("twice");
    forms.setup.run(&["copy", "--encrypt-to", &forms.owner.recipient, &again, &twice]).exits(0);
    forms.setup.run(&["copy", &twice, &sealed]).exits(5).says("with other keys");
    // The manifest of a target may be lost: its objects say what form it has.
    fs::remove_file(forms.setup.path("sealed/ebbtide.json")).unwrap();
    forms.setup.run(&["copy", &plain, &sealed]).exits(5).says(form);
    assert!(!forms.setup.path("sealed/ebbtide.json").exists());
    forms.seal(&identity).exits(0);
    assert!(forms.files("sealed") == before, "the manifest is as it was");
    // What has the form already.
    let to = ["copy", "--encrypt-to", &forms.owner.recipient, &sealed, &forms.setup.text("x")];
    forms.setup.run(&to).exits(2).says("rewrap");
    let decrypt = ["copy", "--decrypt", &plain, &forms.setup.text("x")];
    forms.setup.run(&decrypt).exits(2).says("is not encrypted");
    let without = ["copy", "--decrypt", &sealed, &forms.setup.text("x")];
    forms.setup.run(&without).exits(2).says("--identity FILE");
    assert!(!forms.setup.path("x").exists());
    let restore = ["restore", "-o", &forms.setup.text("out.db"), &plain, &sealed];
    forms.setup.run(&[&restore[..], &identity].concat()).exits(2).says("in another form");
}

/// The way from a plain replica to an encrypted one, on the host that writes.
#[test]
fn a_database_goes_on_in_its_encrypted_copy() {
    let setup = Setup::new();
    let app = setup.app();
    for _ in 0..3 {
        app.insert(2, 900);
        setup.once().exits(0);
    }
    let forms = Forms::of(setup);
    let (database, sealed) = (forms.setup.text("app.db"), forms.setup.text("sealed"));
    let copy = ["copy", "--encrypt-to", &forms.owner.recipient, &database, &sealed];
    forms.setup.run(&copy).exits(0);
    app.insert(2, 900);
    forms.setup.once().exits(0);
    // The local state has kept the index key of the copy.
    forms.setup.run(&copy).exits(0).prints("copied ");
    let before = forms.sealed().entries().len();
    app.insert(1, 900);
    let go_on = ["replicate", "--once", "--recipient", &forms.owner.recipient, &database, &sealed];
    forms.setup.run(&go_on).exits(0);
    let entries = forms.sealed().entries();
    let added: Vec<&str> = entries[before..].iter().map(|entry| entry.kind.name()).collect();
    assert_eq!(added, ["claim", "commit"]);
    forms.sealed().assert_ends_with(&forms.setup.database, forms.setup.directory.path());
    forms.setup.run(&["verify", "--identity", &forms.owner.identity, &sealed]).exits(0);
}

#[test]
fn what_is_damaged_at_the_source_is_named_and_is_not_in_the_other_form() {
    let forms = whole();
    forms.seal(&[]).exits(0);
    let damage = |replica: &str, name: &str| {
        let file = forms.setup.path(replica).join(name);
        let mut body = fs::read(&file).unwrap();
        let at = body.len() / 3;
        body[at] ^= 1;
        fs::write(&file, body).unwrap();
    };
    let name = format!("snap/{}.seg", txid(2));
    damage("sealed", &name);
    let ended = forms.open(&[]).exits(4);
    ended.says(&name);
    assert!(!forms.setup.path("again").join(&name).exists());
    fs::remove_dir_all(forms.setup.path("sealed")).unwrap();
    damage("backup", &name);
    forms.seal(&[]).exits(4).says(&name);
    assert!(!forms.setup.path("sealed").join(&name).exists());
}

/// An object that is larger than what is held in memory is streamed, and comes back to the byte.
#[test]
fn a_long_snapshot_is_recast_in_pieces() {
    let setup = Setup::new();
    setup.app().insert(14, 1_000_000);
    setup.once().exits(0);
    let forms = Forms::of(setup);
    assert!(dies(&forms, &forms.seal_args(&[]), "copy.object.piece=1"));
    let identity = ["--identity", &forms.owner.identity];
    forms.seal(&[&identity[..], &["--verify"]].concat()).exits(0);
    forms.open(&[]).exits(0);
    let (before, after) = (forms.files("backup"), forms.files("again"));
    assert!(before.values().any(|body| body.len() > 10_000_000));
    assert!(before == after, "{:?}", before.keys());
}
