//! What a process finds around it: variables, descriptors, system calls, configuration files, the working directory.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

use super::{Site, code, said, shell, succeeds, with_program};
use crate::support::{PATIENCE, Sidecar, command};
use crate::syscalls::{may_run, tampered};

/// Other containers of the same user have used up the limit of inotify: polling takes its place.
#[test]
fn r33_without_inotify_commits_are_found_by_polling() {
    if !may_run("r33") {
        return;
    }
    for (call, how) in [("inotify_init1", "error=EMFILE"), ("inotify_add_watch", "error=ENOSPC")] {
        let site = Site::new();
        let args =
            ["replicate", "--log-format", "json", site.database.to_str().unwrap(), &site.replica];
        let mut follow = tampered(&command(&args), call, how, &[], &site.path("strace"));
        let sidecar = Sidecar::spawn_command(&mut follow);
        sidecar.process().line_with("polling instead", PATIENCE);
        sidecar.wait_until_it_follows();
        site.insert(3);
        site.sync();
        site.assert_exact_after(sidecar);
        assert_eq!(site.commits_and_gaps(), (3, 0), "{call}");
    }
}

/// An old container engine answers calls that it does not know with "no such call", or forbids them.
#[test]
fn r34_without_newer_system_calls_everything_works() {
    if !may_run("r34") {
        return;
    }
    let site = Site::new();
    let copy = site.text("copy.db");
    let newer = "statx,renameat2,clone3,copy_file_range,openat2,close_range,pidfd_open,preadv2,sync_file_range,\
                 membarrier,fallocate";
    let harmless = "statx,copy_file_range,openat2,close_range,pidfd_open,fadvise64,madvise,membarrier,\
                    sched_getaffinity,prctl,socket";
    for (calls, how) in [(newer, "error=ENOSYS"), (harmless, "error=EPERM")] {
        for args in [&site.once_args()[..], &["restore", "--force", "-o", &copy, &site.replica]] {
            let log = site.path("strace");
            let ended = tampered(&command(args), calls, how, &[], &log).output().unwrap();
            succeeds(&ended);
            assert!(fs::read_to_string(&log).unwrap().contains("INJECTED"), "{calls}");
        }
        site.assert_exact();
    }
}

/// Whoever starts it has closed everything: what it opens first is number 0, 1 and 2, and no line of the log may end up
/// in a database or in an object.
#[test]
fn r36_with_closed_standard_descriptors_nothing_is_written_where_it_does_not_belong() {
    let site = Site::new();
    let copy = site.text("copy.db");
    for args in [&site.once_args()[..], &["restore", "-o", &copy, &site.replica]] {
        let args: Vec<&OsStr> = ["--log", "debug"].iter().chain(args).map(OsStr::new).collect();
        let mut closed = shell("exec \"$0\" \"$@\" <&- >&- 2>&-", &args);
        let status = closed.stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "{args:?}: {status}");
    }
    site.assert_exact();
    succeeds(&crate::support::ebbtide(&["verify", "--restore", &site.replica]));
}

/// A service of systemd, a job of cron and an image from scratch have no home, no terminal and no folder for temporary
/// files, and no time zone or language that is known here.
#[test]
fn r37_without_variables_or_with_useless_ones_everything_works() {
    let site = Site::new();
    let copy = site.text("copy.db");
    let nowhere = ["HOME=/nonexistent", "TMPDIR=/nonexistent", "TZ=:/nonexistent", "LC_ALL=xx_YY"];
    let empty = ["HOME=", "TMPDIR=", "TZ=", "LANG=", "XDG_RUNTIME_DIR=", "EBBTIDE_LOG="];
    for variables in [&[][..], &nowhere, &empty] {
        let options = [&["-i"], variables].concat();
        for args in [
            &site.once_args()[..],
            &["log", &site.replica],
            &["restore", "--force", "--verify", "full", "-o", &copy, &site.replica],
        ] {
            let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
            let ended = with_program("env", &options, &args).output().unwrap();
            assert_eq!(code(&ended), 0, "{variables:?}: {args:?}: {}", said(&ended));
        }
    }
    site.assert_exact();
}

/// Files from an editor of Windows, and what a container engine makes of a file that is not there: a folder.
#[test]
fn r38_configurations_from_elsewhere_are_read_or_refused_in_words() {
    let site = Site::new();
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
        fs::write(site.path("ebbtide.toml"), bytes).unwrap();
        let ended = in_folder(&site, &["replicate", "--once"]);
        assert_eq!(code(&ended), expected, "{words}: {}", said(&ended));
        assert!(said(&ended).contains(words), "{}", said(&ended));
    }
    site.assert_exact();
    fs::create_dir(site.path("folder.toml")).unwrap();
    let ended = in_folder(&site, &["replicate", "--once", "--config", "folder.toml"]);
    assert_eq!(code(&ended), 2);
    assert!(said(&ended).contains("folder.toml: is a directory"), "{}", said(&ended));
}

fn in_folder(site: &Site, args: &[&str]) -> std::process::Output {
    command(args).current_dir(site.folder.path()).output().unwrap()
}

/// A relative path means the folder in which a process was started, for the one that follows and for those that ask.
#[test]
fn r39_a_database_is_found_by_whatever_path_leads_to_it() {
    let site = Site::new();
    fs::create_dir(site.path("elsewhere")).unwrap();
    let mut follow = command(&["replicate", "--log-format", "json", "app.db", "backup"]);
    let sidecar = Sidecar::start_command(follow.current_dir(site.folder.path()));
    for (folder, path, expected) in [
        ("", "app.db", 0),
        ("", "./elsewhere/../app.db", 0),
        ("elsewhere", "../app.db", 0),
        ("elsewhere", site.database.to_str().unwrap(), 0),
        ("elsewhere", "app.db", 1),
    ] {
        let mut sync: Command = command(&["sync", "--wait", path]);
        let ended = sync.current_dir(site.path(folder)).output().unwrap();
        assert_eq!(code(&ended), expected, "{path} in {folder:?}: {}", said(&ended));
    }
    site.assert_exact_after(sidecar);
}
