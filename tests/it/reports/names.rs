//! Names that are legal and that nobody expects.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::support::{Ended, Setup};

/// Spaces, line breaks, quotes, what an address or a pattern would be, other scripts, one that is as long as it may be.
#[test]
fn r23_a_database_of_any_name_is_followed_asked_about_and_restored() {
    let long = "x".repeat(240) + ".db";
    let names = [
        "with space.db",
        "line\nbreak.db",
        "größe-日本.db",
        "-dash.db",
        "q?x#y%41&a=b;*.db",
        "q'\".db",
        &long,
    ];
    for name in names {
        let setup = Setup::new().called(name, "backup of it");
        let app = setup.app();
        app.insert(20, 700);
        let sidecar = setup.follow();
        app.insert(2, 700);
        setup.sync();
        setup.assert_exact_after(sidecar);
        let copy = setup.path("copies");
        std::fs::create_dir(&copy).unwrap();
        let copy = copy.join(name);
        setup.restore(&["-o", copy.to_str().unwrap()]).exits(0);
        assert_eq!(
            std::fs::read_dir(copy.parent().unwrap()).unwrap().filter(is_database).count(),
            1
        );
    }
}

fn is_database(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_type().unwrap().is_file()
}

/// Bytes that are no text in any encoding.
#[test]
fn r23_a_path_that_is_no_text_is_followed() {
    let (setup, app) = Setup::with_rows(20);
    drop(app);
    let in_bytes = |name: &[u8]| setup.directory.path().join(OsString::from_vec(name.to_owned()));
    let (named, copy) = (in_bytes(b"caf\xe9.db"), in_bytes(b"copi\xe9.db"));
    std::fs::rename(&setup.database, &named).unwrap();
    let mut once = setup.command(&["replicate", "--once"]);
    Ended::of(once.arg(&named).arg(&setup.replica)).exits(0);
    let mut restore = setup.command(&["restore", "-o"]);
    Ended::of(restore.arg(&copy).arg(&setup.replica)).exits(0);
    assert!(copy.exists());
    setup.history().assert_ends_with(&copy, setup.directory.path());
    // An address is text, and what is none is refused, not written somewhere else.
    let replica = in_bytes(b"r\xe9plique");
    let mut other = setup.command(&["replicate", "--once"]);
    Ended::of(other.arg(&named).arg(&replica)).exits(2);
    assert!(!replica.exists());
}
