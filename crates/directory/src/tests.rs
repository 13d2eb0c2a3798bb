//! Names that somebody else has put there.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};
use tempfile::TempDir;

use super::{Directory, Private, Refused};

#[track_caller]
fn refused<T>(result: io::Result<T>, path: &Path, why: &str) {
    let error = result.err().unwrap();
    let refused = Refused::of(&error).unwrap();
    assert_eq!(refused.path, path);
    assert!(refused.why.contains(why), "{refused}");
}

fn opened() -> (TempDir, Directory, u32) {
    let scratch = tempfile::tempdir().unwrap();
    let directory = Directory::open(scratch.path()).unwrap();
    (scratch, directory, Uid::effective().as_raw())
}

#[test]
fn z02_only_a_regular_file_with_one_name_is_written() {
    let (scratch, directory, user) = opened();
    let at = |name: &str| scratch.path().join(name);
    fs::write(at("victim"), "precious").unwrap();
    symlink(at("victim"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::hard_link(at("victim"), at("hard")).unwrap();
    mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    let kinds = [
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("hard", "a second name"),
        ("pipe", "a pipe"),
        ("socket", "a socket"),
        ("directory", "a directory"),
    ];
    for (name, why) in kinds {
        refused(directory.write(name, user), &at(name), why);
        if name != "hard" {
            refused(directory.read(name), &at(name), why);
        }
    }
    assert!(!at("nowhere").exists());
    directory.write("new", user).unwrap().write_all(b"x").unwrap();
    assert_eq!(fs::read(at("victim")).unwrap(), b"precious");
}

#[test]
fn z02_a_private_directory_is_real_ours_and_nobody_elses_to_write() {
    let (scratch, _, user) = opened();
    let at = |name: &str| scratch.path().join(name);
    assert!(Private::open(&at("none"), None).unwrap().is_none());
    let (private, _, made) = Private::create(&at("a/b/state"), None).unwrap();
    assert!(made && private.owner() == user);
    assert_eq!(fs::metadata(private.path()).unwrap().mode() & 0o7777, 0o700);
    for mode in [0o722, 0o720, 0o702, 0o1777] {
        fs::set_permissions(private.path(), Permissions::from_mode(mode)).unwrap();
        refused(
            Private::open(private.path(), None),
            private.path(),
            "can be written by other users",
        );
    }
    // As Kubernetes leaves it in a volume with an fsGroup.
    fs::set_permissions(private.path(), Permissions::from_mode(0o2770)).unwrap();
    Private::open(private.path(), None).unwrap().unwrap();
    assert_eq!(fs::metadata(private.path()).unwrap().mode() & 0o022, 0);
    symlink(private.path(), at("link")).unwrap();
    refused(Private::open(&at("link"), None), &at("link"), "a symbolic link");
    refused(Private::open(&at("link/"), None), &at("link"), "a symbolic link");
    fs::write(at("file"), "").unwrap();
    refused(Private::create(&at("file"), None), &at("file"), "is a file");
    // Links above are the choice of whoever gave the path.
    symlink(at("a"), at("above")).unwrap();
    Private::open(&at("above/b/state"), None).unwrap().unwrap();
    fs::rename(private.path(), at("a/b/away")).unwrap();
    fs::create_dir(private.path()).unwrap();
    refused(private.directory(), private.path(), "exchanged");
}

#[test]
fn z02_root_uses_the_directory_of_the_user_whose_database_it_serves_and_no_other() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let (scratch, _, _) = opened();
    let path = scratch.path().join("state");
    fs::create_dir(&path).unwrap();
    std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    refused(Private::open(&path, None), &path, "belongs to user 65534");
    refused(Private::open(&path, Some(1)), &path, "belongs to user 65534");
    let (private, directory) = Private::open(&path, Some(65534)).unwrap().unwrap();
    let file = directory.write("position", private.owner()).unwrap();
    assert_eq!(file.metadata().unwrap().uid(), 65534);
    private.directory().unwrap().make("spool").unwrap();
    let spool = private.within("spool").unwrap().unwrap().1;
    spool.make("log").unwrap();
    let segment = spool.within("log").unwrap().create("segment").unwrap();
    assert_eq!(segment.metadata().unwrap().uid(), 65534);
    assert_eq!(fs::metadata(path.join("spool")).unwrap().uid(), 65534);
    assert_eq!(fs::metadata(path.join("spool/log")).unwrap().uid(), 65534);
    std::os::unix::fs::chown(path.join("position"), Some(1), None).unwrap();
    refused(directory.write("position", 65534), &path.join("position"), "another user");
    let (_, made, _) = Private::create(&scratch.path().join("new"), Some(65534)).unwrap();
    assert_eq!(fs::metadata(made.path()).unwrap().uid(), 65534);
}

#[test]
fn z11_a_file_that_was_exchanged_before_it_got_its_name_is_found_out() {
    let (scratch, directory, _) = opened();
    let at = |name: &str| scratch.path().join(name);
    let file = directory.create("temporary").unwrap();
    fs::remove_file(at("temporary")).unwrap();
    fs::write(at("temporary"), "another").unwrap();
    refused(directory.name(&file, "temporary", "app.db"), &at("temporary"), "exchanged");
    assert!(!at("app.db").exists() && at("temporary").exists());
    let file = directory.create("second").unwrap();
    fs::write(at("taken"), "").unwrap();
    let taken = directory.name(&file, "second", "taken").unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    directory.name(&file, "second", "app.db").unwrap();
    let mut names: Vec<_> = directory.entries().unwrap().map(Result::unwrap).collect();
    names.sort();
    assert_eq!(names, ["app.db", "taken", "temporary"]);
}
