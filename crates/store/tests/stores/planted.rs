//! A directory that others change: another one in its place, links, pipes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::{DirectoryStore, ErrorKind, Store, StoreError};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

fn key(number: u64) -> Key {
    Key::Log(Txid::new(number).unwrap())
}

async fn put(store: &DirectoryStore, number: u64) -> Result<(), StoreError> {
    store.put(&key(number), Bytes::from_static(b"segment")).await
}

async fn begun(root: &Path) -> DirectoryStore {
    let store = DirectoryStore::new(root).unwrap();
    store.begin().await.unwrap();
    store.put(&Key::Manifest, Bytes::from_static(b"{}")).await.unwrap();
    put(&store, 1).await.unwrap();
    store
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("log")).unwrap();
    for name in ["ebbtide.json", "log/0000000000000001.seg"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[track_caller]
fn assert_away<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("replica"), "{error}");
}

#[tokio::test]
async fn o02_a_replica_whose_disk_is_gone_takes_nothing_until_it_is_back() {
    let parent = tempfile::tempdir().unwrap();
    let (root, away) = (parent.path().join("replica"), parent.path().join("away"));
    let store = begun(&root).await;
    fs::rename(&root, &away).unwrap();
    assert_away(put(&store, 2).await);
    assert_away(store.list(KeyPrefix::Log, None).await);
    assert_away(store.begin().await);
    assert!(!root.exists(), "no directory is made again");
    // The mount point, and even one with directories in it.
    fs::create_dir_all(root.join("log")).unwrap();
    assert_away(put(&store, 2).await);
    assert_away(store.get(&key(1), 100).await);
    assert_eq!(fs::read_dir(root.join("log")).unwrap().count(), 0);
    fs::remove_dir_all(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    put(&store, 2).await.unwrap();
    assert_eq!(store.list(KeyPrefix::Log, None).await.unwrap().len(), 2);
}

/// Numbers of devices and directories change from mount to mount on some file systems.
#[tokio::test]
async fn o02_a_replica_is_known_again_by_its_manifest_and_its_last_object() {
    let parent = tempfile::tempdir().unwrap();
    let (root, old) = (parent.path().join("replica"), parent.path().join("old"));
    let store = begun(&root).await;
    copy(&root, &old);
    put(&store, 2).await.unwrap();
    fs::rename(&root, parent.path().join("newest")).unwrap();
    fs::rename(&old, &root).unwrap();
    // It lacks what was put last: a put would leave a hole.
    assert_away(put(&store, 3).await);
    fs::write(root.join("log/0000000000000002.seg"), b"segment").unwrap();
    put(&store, 3).await.unwrap();
    fs::write(root.join("ebbtide.json"), b"{ }").unwrap();
    put(&store, 4).await.unwrap();
}

#[tokio::test]
async fn o02_a_log_that_is_gone_is_not_made_again() {
    let root = tempfile::tempdir().unwrap();
    let store = begun(root.path()).await;
    let snapshot = Key::Snapshot(Txid::FIRST);
    fs::rename(root.path().join("log"), root.path().join("gone")).unwrap();
    assert_eq!(put(&store, 2).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let error = store.put(&snapshot, Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    fs::rename(root.path().join("gone"), root.path().join("log")).unwrap();
    store.put(&snapshot, Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn z05_a_pipe_that_looks_like_an_unfinished_file_is_neither_waited_for_nor_removed() {
    let root = tempfile::tempdir().unwrap();
    let store = begun(root.path()).await;
    let pipe = root.path().join("log/.tmp-x");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    fs::write(root.path().join("log/.tmp-y"), b"half").unwrap();
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert!(pipe.exists());
    assert_eq!(store.list(KeyPrefix::Log, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn z09_a_link_in_the_place_of_a_directory_is_refused_by_name() {
    let parent = tempfile::tempdir().unwrap();
    let (root, victim) = (parent.path().join("replica"), parent.path().join("victim"));
    let store = begun(&root).await;
    copy(&root, &victim);
    for directory in KeyPrefix::ALL {
        let place = root.join(directory.name());
        if place.exists() {
            fs::rename(&place, parent.path().join(directory.name())).unwrap();
        }
        symlink(victim.join("log"), &place).unwrap();
    }
    let keys = [
        key(1),
        Key::Snapshot(Txid::FIRST),
        Key::Pack { first: Txid::FIRST, last: Txid::FIRST },
        Key::Delta { first: Txid::FIRST, last: Txid::FIRST },
    ];
    for key in keys {
        let errors = [
            store.put(&key, Bytes::new()).await.unwrap_err(),
            store.upload(&key, 0).await.err().unwrap(),
            store.delete(&key).await.unwrap_err(),
            store.get(&key, 100).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
            assert!(error.to_string().contains("is a symbolic link"), "{error}");
        }
    }
    assert!(store.sweep().await.is_err());
    assert_eq!(fs::read(victim.join("log/0000000000000001.seg")).unwrap(), b"segment");
    assert_eq!(fs::read_dir(victim.join("log")).unwrap().count(), 1);
}

#[tokio::test]
async fn z02_what_is_spooled_lies_in_a_real_directory_of_ours() {
    let parent = tempfile::tempdir().unwrap();
    let (state, victim) = (parent.path().join("state"), parent.path().join("victim"));
    let store = DirectoryStore::within(&state, "spool").unwrap();
    assert_eq!(store.list(KeyPrefix::Log, None).await.unwrap(), []);
    assert_eq!(put(&store, 1).await.unwrap_err().kind(), ErrorKind::Unavailable);
    fs::create_dir(&state).unwrap();
    put(&store, 1).await.unwrap();
    copy_log(&state.join("spool"), &victim);
    fs::remove_dir_all(state.join("spool")).unwrap();
    symlink(&victim, state.join("spool")).unwrap();
    for error in [put(&store, 2).await.unwrap_err(), store.delete(&key(1)).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(error.to_string().contains("is a symbolic link"), "{error}");
    }
    assert!(store.sweep().await.is_err() && store.list(KeyPrefix::Log, None).await.is_err());
    assert!(victim.join("log/0000000000000001.seg").exists());
}

fn copy_log(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("log")).unwrap();
    let name = "log/0000000000000001.seg";
    fs::copy(from.join(name), to.join(name)).unwrap();
}
