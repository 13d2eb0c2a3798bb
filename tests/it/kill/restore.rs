//! Kills of a restore (hazard D5): what stood in the target's place is there under its name or its new one, or the
//! restored database is, whole; and another restore gets through and leaves nothing of the one that was killed.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ebbtide_testkit::Random;
use ebbtide_testkit::oracle::Image;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::places;
use crate::support::{Setup, command, ebbtide};

/// A database with a replica that has all of it.
fn replicated() -> (Setup, Image) {
    let setup = Setup::in_memory();
    let app = setup.app();
    let sidecar = setup.follow();
    app.insert(40, 20_000);
    assert_eq!(sidecar.stop(), 0);
    drop(app);
    let image = Image::of_file(&setup.database).unwrap();
    (setup, image)
}

const OLD: &[u8] = b"what was there before";

fn restore(output: &Path, replica: &str) -> Command {
    command(&["restore", "--force", "--follow", "-o", output.to_str().unwrap(), replica])
}

/// Looks at what a killed restore has left, restores again, and looks that nothing is left of the first.
fn check(what: &str, output: &Path, replica: &str, image: Image) {
    let directory = output.parent().unwrap();
    let names = || -> Vec<String> {
        let files = fs::read_dir(directory).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    let is_old = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes == OLD);
    let aside = || {
        let names = names().into_iter().filter(|name| name.contains(".before-restore-"));
        names.filter(|name| is_old(&directory.join(name))).count()
    };
    let whole = Image::of_file(output).is_ok_and(|found| found == image);
    let kept = is_old(output) || aside() == 1;
    assert!(kept && (whole || is_old(output) || !output.exists()), "{what} left {:?}", names());
    ebbtide(&["restore", "--force", "-o", output.to_str().unwrap(), replica]).exits(0);
    assert_eq!(Image::of_file(output).unwrap(), image, "{what}");
    assert_eq!(aside(), 1, "{what}: what was there before is kept");
    let left = names().into_iter().find(|name| name.contains("ebbtide-restore-"));
    assert_eq!(left, None, "{what}: nothing is left of the restore that was killed");
}

#[test]
fn d05_a_restore_that_is_killed_at_any_place_leaves_the_old_file_or_the_new_one() {
    let (setup, image) = replicated();
    let places = places().into_iter().filter(|place| place.starts_with("restore."));
    for place in places {
        let directory = setup.path(&place);
        fs::create_dir(&directory).unwrap();
        let output = directory.join("out.db");
        fs::write(&output, OLD).unwrap();
        let order = format!("{place}=1");
        let ended = restore(&output, &setup.replica).env("FAILPOINTS", order).output().unwrap();
        assert_eq!(ended.status.signal(), Some(Signal::SIGABRT as i32), "{place} is passed");
        check(&place, &output, &setup.replica, image);
    }
}

#[test]
fn d05_a_restore_that_is_killed_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let (setup, image) = replicated();
    let mut random = Random::new(5);
    let mut killed = 0;
    for round in 0..25 {
        let directory = setup.path(&round.to_string());
        fs::create_dir(&directory).unwrap();
        let output = directory.join("out.db");
        fs::write(&output, OLD).unwrap();
        let mut child = restore(&output, &setup.replica).stderr(Stdio::null()).spawn().unwrap();
        // The moment of the kill is what is random here; nothing waits for it.
        std::thread::sleep(Duration::from_micros(random.below(20_000).into()));
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(id, Signal::SIGKILL).unwrap();
        killed += u32::from(child.wait().unwrap().signal().is_some());
        check(&format!("kill {round}"), &output, &setup.replica, image);
    }
    println!("{killed} of 25 restores were killed before their end");
}
