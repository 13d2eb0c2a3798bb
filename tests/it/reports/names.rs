//! Names that are legal and that nobody expects.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::{Site, succeeds};
use crate::support::{Replica, command, ebbtide};

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
        let Site { folder, database, application, .. } = Site::new();
        drop(application);
        let named = folder.path().join(name);
        std::fs::rename(&database, &named).unwrap();
        let application = Connection::open(&named).unwrap();
        let replica = folder.path().join("backup of it");
        let replica = replica.to_str().unwrap().to_owned();
        let site = Site { folder, database: named, replica, application };
        let sidecar = site.follow();
        site.insert(2);
        site.sync();
        site.assert_exact_after(sidecar);
        let copy = site.path("copies");
        std::fs::create_dir(&copy).unwrap();
        let copy = copy.join(name);
        succeeds(&ebbtide(&["restore", "-o", copy.to_str().unwrap(), &site.replica]));
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
    let Site { folder, database, application, .. } = Site::new();
    drop(application);
    let named = folder.path().join(OsString::from_vec(b"caf\xe9.db".to_vec()));
    std::fs::rename(&database, &named).unwrap();
    let replica = folder.path().join(OsString::from_vec(b"r\xe9plique".to_vec()));
    let mut once = command(&["replicate", "--once"]);
    succeeds(&once.arg(&named).arg(folder.path().join("backup")).output().unwrap());
    let copy = folder.path().join(OsString::from_vec(b"copi\xe9.db".to_vec()));
    let mut restore = command(&["restore", "-o"]);
    succeeds(&restore.arg(&copy).arg(folder.path().join("backup")).output().unwrap());
    assert!(copy.exists());
    Replica::open(folder.path().join("backup").to_str().unwrap())
        .assert_ends_with(&copy, folder.path());
    // An address is text, and what is none is refused, not written somewhere else.
    let mut other = command(&["replicate", "--once"]);
    let refused = other.arg(&named).arg(&replica).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(!Path::new(&replica).exists());
}
