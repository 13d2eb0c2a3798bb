//! What a process finds around it: variables, descriptors, system calls, configuration files, the working directory.

use std::ffi::OsStr;
use std::fs;
use std::process::Stdio;

use super::{shell, with_program};
use crate::support::{Counts, Ended, PATIENCE, Setup, Sidecar};
use crate::syscalls::{may_run, tampered};

/// Other containers of the same user have used up the limit of inotify: polling takes its place.
#[test]
fn r33_without_inotify_commits_are_found_by_polling() {
    if !may_run("r33") {
        return;
    }
    for (call, how) in [("inotify_init1", "error=EMFILE"), ("inotify_add_watch", "error=ENOSPC")] {
        let (setup, app) = Setup::with_rows(20);
        let strace = setup.path("strace");
        let mut follow = tampered(&setup.replicate(), call, how, &[], &strace);
        let sidecar = Sidecar::spawn_command(&mut follow);
        sidecar.process().line_with("polling instead", PATIENCE);
        sidecar.wait_until_it_follows();
        app.insert(3, 700);
        setup.sync();
        setup.assert_exact_after(sidecar);
        assert_eq!(setup.history().counts(), Counts::commits(3), "{call}");
    }
}

/// An old container engine answers calls that it does not know with "no such call", or forbids them.
#[test]
fn r34_without_newer_system_calls_everything_works() {
    if !may_run("r34") {
        return;
    }
    let (setup, _app) = Setup::with_rows(20);
    let copy = setup.text("copy.db");
    let newer = "statx,renameat2,clone3,copy_file_range,openat2,close_range,pidfd_open,preadv2,sync_file_range,\
                 membarrier,fallocate";
    let harmless = "statx,copy_file_range,openat2,close_range,pidfd_open,fadvise64,madvise,membarrier,\
                    sched_getaffinity,prctl,socket";
    for (calls, how) in [(newer, "error=ENOSYS"), (harmless, "error=EPERM")] {
        for args in [&setup.once_args()[..], &["restore", "--force", "-o", &copy, &setup.replica]] {
            let log = setup.path("strace");
            Ended::of(&mut tampered(&setup.command(args), calls, how, &[], &log)).exits(0);
            assert!(fs::read_to_string(&log).unwrap().contains("INJECTED"), "{calls}");
        }
        setup.assert_exact();
    }
}

/// Whoever starts it has closed everything: what it opens first is number 0, 1 and 2, and no line of the log may end up
/// in a database or in an object.
#[test]
fn r36_with_closed_standard_descriptors_nothing_is_written_where_it_does_not_belong() {
    let (setup, _app) = Setup::with_rows(20);
    let copy = setup.text("copy.db");
    for args in [&setup.once_args()[..], &["restore", "-o", &copy, &setup.replica]] {
        let args: Vec<&OsStr> = ["--log", "debug"].iter().chain(args).map(OsStr::new).collect();
        let mut closed = shell(&setup, "exec \"$0\" \"$@\" <&- >&- 2>&-", &args);
        let status = closed.stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "{args:?}: {status}");
    }
    setup.assert_exact();
    setup.run(&["verify", "--restore", &setup.replica]).exits(0);
}

/// A service of systemd, a job of cron and an image from scratch have no home, no terminal and no directory for temporary
/// files, and no time zone or language that is known here.
#[test]
fn r37_without_variables_or_with_useless_ones_everything_works() {
    let (setup, _app) = Setup::with_rows(20);
    let copy = setup.text("copy.db");
    let nowhere = ["HOME=/nonexistent", "TMPDIR=/nonexistent", "TZ=:/nonexistent", "LC_ALL=xx_YY"];
    let empty = ["HOME=", "TMPDIR=", "TZ=", "LANG=", "XDG_RUNTIME_DIR=", "EBBTIDE_LOG="];
    for variables in [&[][..], &nowhere, &empty] {
        let options = [&["-i"], variables].concat();
        for args in [
            &setup.once_args()[..],
            &["log", &setup.replica],
            &["restore", "--force", "--verify", "full", "-o", &copy, &setup.replica],
        ] {
            let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
            Ended::of(&mut with_program(&setup, "env", &options, &args)).exits(0);
        }
    }
    setup.assert_exact();
}

/// Files from an editor of Windows, and what a container engine makes of a file that is not there: a directory.
#[test]
fn r38_configurations_from_elsewhere_are_read_or_refused_in_words() {
    let (setup, _app) = Setup::with_rows(20);
    let text = "[[database]]\npath = \"app.db\"\nreplica = \"backup\"\n";
    let utf16: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let crlf = text.replace('\n', "\r\n").into_bytes();
    let bom = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for (bytes, expected, words) in [
        (crlf, 0, ""),
        (bom, 0, ""),
        (utf16, 2, "UTF-8"),
        (b"# caf\xe9\n".to_vec(), 2, "UTF-8"),
        (b"# nothing yet\n".to_vec(), 2, "names no database"),
    ] {
        fs::write(setup.path("ebbtide.toml"), bytes).unwrap();
        let ended = in_directory(&setup, &["replicate", "--once"]).exits(expected);
        ended.says(words);
    }
    setup.assert_exact();
    fs::create_dir(setup.path("directory.toml")).unwrap();
    let ended =
        in_directory(&setup, &["replicate", "--once", "--config", "directory.toml"]).exits(2);
    ended.says("directory.toml: is a directory");
}

fn in_directory(setup: &Setup, args: &[&str]) -> Ended {
    Ended::of(setup.command(args).current_dir(setup.directory.path()))
}

/// A relative path means the directory in which a process was started, for the one that follows and for those that ask.
#[test]
fn r39_a_database_is_found_by_whatever_path_leads_to_it() {
    let (setup, _app) = Setup::with_rows(20);
    fs::create_dir(setup.path("elsewhere")).unwrap();
    let mut follow = setup.command(&["replicate", "--log-format", "json", "app.db", "backup"]);
    let sidecar = Sidecar::start_command(follow.current_dir(setup.directory.path()));
    for (directory, path, expected) in [
        ("", "app.db", 0),
        ("", "./elsewhere/../app.db", 0),
        ("elsewhere", "../app.db", 0),
        ("elsewhere", setup.database.to_str().unwrap(), 0),
        ("elsewhere", "app.db", 1),
    ] {
        let mut sync = setup.command(&["sync", "--wait", path]);
        Ended::of(sync.current_dir(setup.path(directory))).exits(expected);
    }
    setup.assert_exact_after(sidecar);
}
