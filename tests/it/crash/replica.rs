//! A replica in a directory (hazards S24, D6): a name that was given and not synced may be gone after a failure of the
//! power, and files that never got their name stay behind. Nothing of that was ever confirmed.

use std::fs;
use std::path::{Path, PathBuf};

use ebbtide_replica::Key;
use ebbtide_testkit::actor::Ask;
use ebbtide_testkit::workload::Options;
use ebbtide_wal::PageSize;

use crate::kill::armed::{Armed, End};
use crate::scene::Scene;
use crate::support::wait_until;

/// The files of a replica.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(self::files(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with(".tmp-")
}

/// Dies at a step of the `passage`th put, loses what that put had done, and carries on.
fn survive(place: &str, passage: u32) {
    let what = format!("{place} at put {passage}");
    let mut scene = Scene::new();
    let options = Options::plain(PageSize::new(1024).unwrap());
    let mut actor = scene.start_actor(1, &options);
    scene.act(&mut actor, Ask::InsertEach(5, 200));
    let mut armed = Armed::start(&scene, &format!("{place}={passage}"));
    armed.follows();
    wait_until("its death", || {
        scene.act(&mut actor, Ask::InsertEach(1, 200));
        armed.is_dead()
    });
    assert_eq!(armed.end().0, End::Died, "{what}");
    let directory = PathBuf::from(&scene.replica);
    let directory = directory.as_path();
    if let (true, Some(newest)) = (place == "directory.put.named", newest(directory)) {
        fs::remove_file(newest).unwrap();
    }
    // What another kill may have left: a part of an object that never got its name.
    fs::create_dir_all(directory.join("log")).unwrap();
    fs::write(directory.join("log/.tmp-abandoned"), [7; 100]).unwrap();
    let before = scene.history().entries();
    let sidecar = scene.follow();
    scene.act(&mut actor, Ask::InsertEach(3, 200));
    assert_eq!(sidecar.stop(), 0, "{what}");
    actor.finish().unwrap();
    let left = files(directory).into_iter().find(|path| is_temporary(path));
    assert_eq!(left, None, "{what}: what was abandoned is removed");
    let mut compared = scene.compare();
    compared.compare_kept(&before, None, &scene.history().entries());
    compared.assert_right(&what);
}

/// The object that was put last, in the order in which a replica begins and goes on. Times of files are too coarse.
fn newest(directory: &Path) -> Option<PathBuf> {
    let rank = |path: &PathBuf| match Key::parse(path.strip_prefix(directory).ok()?.to_str()?)? {
        Key::Manifest => Some((0, 0)),
        Key::Snapshot(txid) => Some((txid.get(), 0)),
        Key::Log(txid) => Some((txid.get(), 1)),
        _ => None,
    };
    let ranked = files(directory).into_iter().filter_map(|path| Some((rank(&path)?, path)));
    ranked.max().map(|(_, path)| path)
}

#[test]
fn s24_d06_a_put_that_a_power_failure_undoes_is_done_again() {
    // The first to get its name is what probes the store; eight race for it.
    for passage in 2..=8 {
        survive("directory.put.named", passage);
        survive("directory.put.written", 6 + passage);
        survive("directory.put.synced", 6 + passage);
    }
}
