//! What a store in a folder does to the folder.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use bytes::Bytes;
use ebbtide_replica::{Folder, Key, Txid};
use ebbtide_store::{ErrorKind, FolderStore, Store};

const KEY: Key = Key::Log(Txid::FIRST);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn only_the_owner_can_read_a_replica() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("deep").join("replica");
    let store = FolderStore::new(&root).unwrap();
    assert!(!root.exists(), "opening creates nothing");
    store.begin().await.unwrap();
    store.put(&KEY, Bytes::from_static(b"body")).await.unwrap();
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("log")), 0o700);
    assert_eq!(mode(&root.join(KEY.to_string())), 0o600);
}

/// S5: what a kill leaves behind is not listed, and is removed by the next owner, unless it is still being written.
#[tokio::test]
async fn s05_abandoned_files_are_swept() {
    let root = tempfile::tempdir().unwrap();
    let store = FolderStore::new(root.path()).unwrap();
    store.begin().await.unwrap();
    let mut upload = store.upload(&KEY, 0).await.unwrap();
    upload.write(Bytes::from_static(b"under way")).await.unwrap();
    fs::write(root.path().join("log/.tmp-abandoned"), b"half").unwrap();
    fs::write(root.path().join("log/other"), b"not ours").unwrap();

    assert_eq!(store.list(Folder::Log, None).await.unwrap(), []);
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert_eq!(store.sweep().await.unwrap(), 0);
    upload.finish().await.unwrap();
    assert_eq!(store.get(&KEY, 100).await.unwrap(), "under way");
    assert_eq!(fs::read_dir(root.path().join("log")).unwrap().count(), 2);
}

#[tokio::test]
async fn what_is_not_a_file_is_no_object() {
    let root = tempfile::tempdir().unwrap();
    let store = FolderStore::new(root.path()).unwrap();
    let path = root.path().join(KEY.to_string());
    fs::create_dir(root.path().join("log")).unwrap();

    fs::create_dir(&path).unwrap();
    assert_eq!(store.get(&KEY, 100).await.unwrap_err().kind(), ErrorKind::Damaged);
    fs::remove_dir(&path).unwrap();

    let secret = root.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    symlink(&secret, &path).unwrap();
    assert!(store.get(&KEY, 100).await.is_err(), "a link is not followed");
    fs::remove_file(&path).unwrap();

    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(store.get(&KEY, 100).await.unwrap_err().kind(), ErrorKind::Damaged);
    let taken = store.put(&KEY, Bytes::new()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Exists);
}

#[tokio::test]
async fn a_file_in_the_place_of_the_folder_is_said() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("replica");
    fs::write(&path, b"").unwrap();
    let store = FolderStore::new(&path).unwrap();
    let errors =
        [store.begin().await.unwrap_err(), store.put(&KEY, Bytes::new()).await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(format!("{error:?}").contains("replica"), "{error:?}");
    }
}

/// Permissions do not stop the superuser, as whom tests may run.
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_denied() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if nix::unistd::geteuid().is_root() {
        eprintln!("skipped: the superuser can write everywhere");
        return;
    }
    let error = FolderStore::new(root.path().join("replica")).unwrap().begin().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
