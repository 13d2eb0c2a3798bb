//! Objects with valid names that have nothing to do with the history: garbage, another replica's, and forged ones that say
//! they are far ahead. Would catch a replication and restores that one such object stops for good.

use std::fs;
use std::path::Path;
use std::process::Command;

use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{Chain, Digest, EntryFlags, EntryKind, Key, Manifest, Timestamp, Txid};

use crate::support::{App, Setup};

/// A sound segment, pack or snapshot of a replica, with one claim or an empty database.
fn forged(manifest: &Manifest, contents: Contents, txid: Txid) -> Vec<u8> {
    let Manifest { replica, page_size, .. } = *manifest;
    let mut writer = Writer::new(Header { replica, page_size, contents });
    let (kind, flags) = match contents {
        Contents::Snapshot { .. } => (EntryKind::Image, EntryFlags::COMPLETE),
        _ => (EntryKind::Claim, EntryFlags::NONE),
    };
    let (time, detail) = (Timestamp::EPOCH, Vec::new());
    writer.begin_entry(EntryStart { txid, kind, flags, time, database_pages: 0, detail }).unwrap();
    writer.end_entry(Digest::EMPTY).unwrap();
    match contents {
        Contents::Snapshot { .. } => writer.finish_at(Chain::genesis(replica)).unwrap().tail,
        _ => writer.finish().unwrap().tail,
    }
}

/// The replica goes on and is restored, with whatever lies in it.
#[track_caller]
fn assert_goes_on(setup: &Setup, application: &App) {
    for _ in 0..2 {
        application.insert(1, 100);
        setup.once().exits(0);
    }
    setup.assert_exact();
    let output = setup.text("copy.db");
    setup.restore(&["-o", &output, "--timestamp", "now"]).exits(0);
    fs::remove_file(&output).unwrap();
    fs::remove_dir_all(setup.path(".copy.db-ebbtide")).ok();
}

#[test]
fn o20_a_foreign_object_far_or_near_is_named_and_passed_over() {
    let setup = Setup::new();
    let application = setup.app();
    assert_eq!(setup.follow().stop(), 0);
    let _other = setup.other_app("other.db");
    assert_eq!(setup.follow_other("other.db", "other").stop(), 0);
    let foreign = fs::read(setup.path("other/log/0000000000000001.seg")).unwrap();
    for (name, body) in [
        ("log/00000000ffffffff.seg", foreign.clone()),
        ("log/0000000000000055.seg", foreign),
        ("log/00000000fffffffe.seg", b"junk".to_vec()),
        ("log/0000000000000066.seg", b"junk".to_vec()),
    ] {
        fs::write(setup.path(&format!("backup/{name}")), body).unwrap();
        assert_goes_on(&setup, &application);
        let ended = setup.once();
        ended.says(name);
        // Without local state as well.
        fs::remove_dir_all(setup.path(".app.db-ebbtide")).unwrap();
        assert_goes_on(&setup, &application);
    }
}

/// Z6: after the last number there is none.
#[test]
fn z06_a_forged_object_with_the_last_number_stops_nobody() {
    let setup = Setup::new();
    let application = setup.app();
    assert_eq!(setup.follow().stop(), 0);
    let manifest = fs::read(setup.path("backup/ebbtide.json")).unwrap();
    let manifest = Manifest::from_json(&manifest).unwrap();
    let last = Txid::new(u64::MAX).unwrap();
    let chain = Chain::genesis(manifest.replica);
    for (directory, key, contents) in [
        ("log", Key::Log(last), Contents::Segment { first: last, chain }),
        ("pack", Key::Pack { first: last, last }, Contents::Pack { first: last, chain }),
        ("snap", Key::Snapshot(last), Contents::Snapshot { txid: last }),
    ] {
        fs::create_dir_all(setup.path(&format!("backup/{directory}"))).unwrap();
        let body = forged(&manifest, contents, last);
        fs::write(setup.path(&format!("backup/{key}")), body).unwrap();
        assert_goes_on(&setup, &application);
        fs::remove_dir_all(setup.path(".app.db-ebbtide")).unwrap();
        assert_goes_on(&setup, &application);
    }
}

/// The very next name is taken by what is none of the replica's. Nothing can be put there, which a person must mend; but no
/// other writer has the replica, and no attempt of our own has landed.
#[test]
fn o31_a_foreign_segment_under_the_next_name_is_told_as_that_and_waited_for() {
    let setup = Setup::new();
    let application = setup.app();
    let _other = setup.other_app("other.db");
    assert_eq!(setup.follow_other("other.db", "other").stop(), 0);
    let sidecar = setup.follow();
    let replica = setup.history();
    let next = setup.path(&format!("backup/{}", Key::Log(replica.head().unwrap().next())));
    fs::copy(setup.path("other/log/0000000000000001.seg"), &next).unwrap();
    application.insert(1, 100);
    let trouble = || setup.status(&[]).1[0]["store_trouble"]["error"].clone();
    crate::support::wait_until("the trouble to show", || !trouble().is_null());
    let why = trouble().to_string();
    assert!(why.contains("none of the replica's") && why.contains("remove it"), "{why}");
    assert_eq!(setup.status(&[]).1[0]["attention"][0], "store");
    fs::remove_file(&next).unwrap();
    setup.run(&["sync", "--wait", "--timeout", "60s"]).exits(0);
    assert_eq!(sidecar.stop(), 0);
    replica.assert_ends_with(&setup.path("app.db"), setup.directory.path());
}

/// Copies a file or a directory with all that is in it, owners and modes as they are.
fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{}", from.display());
}

/// A segment of a copy that went on by itself, brought back behind a gap, is as good as the end of a history of which a part
/// is lost. Would catch a start that goes on before it, and a message that does not name it.
#[test]
fn h19_an_object_that_was_brought_back_behind_a_gap_is_named_by_whoever_refuses_it() {
    let (setup, application) = Setup::with_rows(3);
    setup.once().exits(0);
    let other = Setup::new();
    for name in ["app.db", "app.db-wal", ".app.db-ebbtide", "backup"] {
        copy_all(&setup.path(name), &other.path(name));
    }
    for _ in 0..3 {
        other.app().insert(1, 100);
        other.run(&[&other.once_args()[..], &["--adopt"]].concat()).exits(0);
    }
    let log = |setup: &Setup| setup.path("backup/log");
    let names = fs::read_dir(log(&other)).unwrap().map(|it| it.unwrap().file_name());
    let stray = names.max().unwrap();
    fs::copy(log(&other).join(&stray), log(&setup).join(&stray)).unwrap();
    application.insert(1, 100);
    let refused = setup.once().exits(5);
    refused.says(&format!("no object leads to log/{}", stray.to_str().unwrap()));
    refused.says("remove it and start again");
    setup.restore(&["-o", &setup.text("copy.db")]).exits(4).says("before it: ebbtide restore");
    fs::remove_file(log(&setup).join(&stray)).unwrap();
    assert_goes_on(&setup, &application);
}
