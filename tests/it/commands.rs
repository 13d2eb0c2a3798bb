//! What a person sees: exit codes, messages, JSON.

use std::fs::{self, read};

use crate::support::Setup;

/// A setup whose application has committed a row and gone.
fn written() -> Setup {
    Setup::with_rows(1).0
}

/// SQLite takes names of up to 247 bytes, and beside them a local state has no name.
#[test]
fn a_database_whose_local_state_would_have_too_long_a_name_is_refused_with_the_way_out() {
    let long = format!("{}.db", "a".repeat(244));
    let setup = Setup::new().called(&long, "backup");
    let app = setup.app();
    app.insert(2, 300);
    setup.once().exits(2).says("at most 255 bytes: say with `state`");
    let config = setup.configure("", &format!("state = {:?}", setup.text("state")));
    let once = || setup.run(&["replicate", "--once", "--config", &config]).exits(0);
    once();
    app.insert(2, 300);
    once();
    setup.assert_exact();
}

#[test]
fn one_run_brings_a_replica_up_to_date_and_it_can_be_listed_proved_and_restored() {
    let setup = written();
    for _ in 0..2 {
        setup.app().insert(1, 8);
        setup.once().exits(0);
    }
    let lines = setup.run(&["log", "--json", &setup.replica]).exits(0).json_lines();
    let what: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["claim", "resync", "claim", "resync", "snapshot", "summary"]);
    let summary = lines.last().unwrap();
    let counts = ["entries", "claims", "resyncs", "gaps", "forks"].map(|key| &summary[key]);
    assert_eq!(counts, [4, 2, 2, 1, 0], "{summary}");
    assert!(summary["longest_gap_seconds"].as_f64().unwrap() > 0.0, "{summary}");
    assert_eq!(summary["last_txid"], "0000000000000004");
    let table = setup.run(&["log", &setup.replica]).out;
    assert!(table.contains("\n1 gap, the longest of "), "{table}");
    assert!(table.contains("; no forks\n"), "{table}");
    let proof = setup.run(&["verify", "--restore", "--json", &setup.replica]).exits(0).json();
    assert_eq!(proof["sound"], true);
    let output = setup.text("copy.db");
    let restore = ["--verify", "full", "-o", &output];
    setup.restore(&restore).exits(0);
    assert_eq!(read(&output).unwrap(), read(&setup.database).unwrap());
    setup.restore(&restore).exits(1).says("--force");
}

#[test]
fn a_database_that_was_followed_can_be_given_another_replica() {
    let setup = written();
    let copy = setup.text("copy.db");
    for replica in ["one", "two", "one"] {
        setup.app().insert(1, 8);
        setup.once_other("app.db", replica, &[]).exits(0);
        setup.run(&["restore", "--force", "-o", &copy, &setup.text(replica)]).exits(0);
        assert_eq!(read(&copy).unwrap(), read(&setup.database).unwrap());
    }
}

#[test]
fn exit_codes_mean_what_they_say() {
    let setup = Setup::new();
    let output = setup.text("copy.db");
    setup.run(&["restore"]).exits(2);
    // No output is named.
    setup.restore(&[]).exits(2);
    setup.restore(&["-o", &output]).exits(3);
    setup.restore(&["--if-replica-exists", "-o", &output]).exits(0);
    setup.run(&["log", &setup.replica]).exits(3);
    setup.once().exits(1).says("no such file");
    let pattern = setup.text("*.db");
    let ended = setup.run(&["replicate", &pattern, &setup.replica]).exits(2);
    ended.says(&format!("`path = \"{pattern}\"`"));
    setup.app().insert(1, 8);
    setup.once().exits(0);
    setup.restore(&["--timestamp", "2001-01-01T00:00:00Z", "-o", &output]).exits(3);
    setup.restore(&["--txid", "ffff", "-o", &output]).exits(3);
    let snapshot = setup.path("backup/snap/0000000000000002.seg");
    let mut bytes = read(&snapshot).unwrap();
    // Within the first block of pages.
    bytes[140] ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    setup.restore(&["-o", &output]).exits(4).says("snap/0000000000000002.seg");
    setup.run(&["verify", &setup.replica]).exits(4);
    assert!(!setup.path("copy.db").exists(), "nothing is left of a restore that failed");
}

#[test]
fn the_second_of_two_writers_owns_the_replica_and_the_first_says_so() {
    let (setup, app) = Setup::with_rows(1);
    let first = setup.follow();
    // The state of another host: the same database, restored.
    setup.restore(&["-o", &setup.text("copy.db")]).exits(0);
    let second = setup.follow_other("copy.db", "backup");
    app.insert(1, 8);
    let (ended, said) = first.end();
    assert_eq!(ended, 5, "{said}");
    assert!(said.contains(&format!("process {}", second.process().id())), "{said}");
    assert_eq!(second.stop(), 0);
}

#[test]
fn the_applications_exit_code_is_ours() {
    let setup = written();
    for (script, code) in [("exit 7", 7), ("sleep 0.3", 0)] {
        let args = ["replicate", "--exec", script, &setup.text("app.db"), &setup.replica];
        setup.run(&args).exits(code);
    }
    setup.run(&["verify", &setup.replica]).exits(0);
}

#[test]
fn a_misspelt_key_in_the_configuration_is_refused_with_the_right_one() {
    let setup = Setup::new();
    let file = setup.text("ebbtide.toml");
    fs::write(&file, "[[database]]\npath = \"app.db\"\nreplcia = \"backup\"\n").unwrap();
    setup.run(&["replicate", "--config", &file]).exits(2).says("did you mean `replica`?");
}

#[test]
fn many_databases_of_a_configuration_are_followed_by_one_process() {
    let setup = Setup::new();
    let names = [0, 1, 2, 3, 4].map(|number| format!("{number}.db"));
    let entry = |name: &String| {
        setup.other_app(name).insert(1, 8);
        let (database, replica) = (setup.path(name), setup.path(&format!("backup-{name}")));
        format!("[[database]]\npath = {database:?}\nreplica = {replica:?}\n")
    };
    let file = setup.text("ebbtide.toml");
    fs::write(&file, names.iter().map(entry).collect::<String>()).unwrap();
    setup.run(&["replicate", "--once", "--config", &file]).exits(0);
    for name in &names {
        let output = setup.text("copy.db");
        // By the name of the database, from the configuration.
        setup.run(&["restore", "--config", &file, "-o", &output, &setup.text(name)]).exits(0);
        assert_eq!(read(&output).unwrap(), read(setup.path(name)).unwrap());
        fs::remove_file(&output).unwrap();
    }
}

/// Would catch a check of an older state that is one of the newest.
#[test]
fn an_older_state_is_restored_and_checked_by_verify() {
    let (setup, app) = Setup::with_rows(2);
    let sidecar = setup.follow();
    for _ in 0..3 {
        app.insert(1, 300);
        setup.sync();
    }
    assert_eq!(sidecar.stop(), 0);
    let verify = |args: &[&str]| {
        setup.run(&[&["verify", "--json", "--restore", &setup.replica][..], args].concat())
    };
    let restored = |args: &[&str]| verify(args).exits(0).json()["restored"].clone();
    assert_eq!(restored(&[]), "0000000000000005");
    assert_eq!(restored(&["--txid", "3"]), "0000000000000003");
    assert_eq!(restored(&["--timestamp", "before:5"]), "0000000000000004");
    setup.run(&["mark", "--txid", "3", "three", &setup.replica]).exits(0);
    assert_eq!(restored(&["--mark", "three"]), "0000000000000003");
    verify(&["--txid", "ff"]).exits(3);
    verify(&["--mark", "ten"]).exits(3).says("there is no mark ten; there are three");
    verify(&["--timestamp", "soon"]).exits(2);
    setup.run(&["verify", "--txid", "3", &setup.replica]).exits(2).says("--restore");
}
