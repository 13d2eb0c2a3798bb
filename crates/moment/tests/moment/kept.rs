//! Indexes on the local disk: fewer requests the second time, the same pages, and nothing of the rows.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ebbtide_moment::{IndexCache, Moment, Options, Proof, Replica, Target, Traffic};
use ebbtide_testkit::builder::{Builder, Form};

use crate::scene::{image, now, sample, sample_as};

async fn open(builder: &Builder, directory: &Path, proof: Proof) -> (Moment, Traffic) {
    let indexes = Some(IndexCache::open(directory).unwrap());
    let options = Options { indexes, ..Options::default() };
    let replica = Replica::open(Arc::new(builder.store.clone()), options).await.unwrap();
    let moment = replica.at(Target::Latest, now(), proof).await.unwrap();
    (moment, replica.traffic())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_look_reads_only_what_is_new() {
    let mut builder = sample().await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("indexes");
    let (first, cold) = open(&builder, &directory, Proof::Block).await;
    assert_eq!(image(&first).await.unwrap(), builder.last().image());
    let (second, warm) = open(&builder, &directory, Proof::Block).await;
    assert!(warm.requests + 5 <= cold.requests, "{warm:?} after {cold:?}");
    assert!(warm.bytes * 4 <= cold.bytes, "{warm:?} after {cold:?}");
    assert_eq!(image(&second).await.unwrap(), builder.last().image());
    builder.commit(&[(3, 99)], 80);
    builder.cut().await;
    let (third, new) = open(&builder, &directory, Proof::Block).await;
    assert!(new.requests < cold.requests, "{new:?} after {cold:?}");
    assert_eq!(image(&third).await.unwrap(), builder.last().image());
}

/// H39: what is kept of an encrypted replica is what the store has, and neither hash, digest nor chain of anything in it.
#[tokio::test(flavor = "multi_thread")]
async fn h39_indexes_of_an_encrypted_replica_are_kept_as_they_are_stored() {
    let builder = sample_as(Form::Encrypted).await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("indexes");
    let (first, cold) = open(&builder, &directory, Proof::Page).await;
    assert_eq!(image(&first).await.unwrap(), builder.last().image());
    let (second, warm) = open(&builder, &directory, Proof::Page).await;
    assert!(warm.bytes < cold.bytes, "{warm:?} after {cold:?}");
    assert_eq!(image(&second).await.unwrap(), builder.last().image());
    let stored: Vec<Vec<u8>> =
        builder.store.objects().into_iter().map(|(_, body)| body.to_vec()).collect();
    let files: Vec<Vec<u8>> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(files.len() > 3);
    for file in &files {
        let (head, tail) = file.split_at(128);
        assert!(stored.iter().any(|body| body.starts_with(head) && body.ends_with(tail)));
    }
    let everything = [files, stored].concat();
    for state in &builder.states {
        let secrets = [&state.digest.as_bytes()[..], state.chain.as_bytes(), &state.detail];
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            let shows = |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|it| it == secret);
            assert!(state.pages.is_empty() || !everything.iter().any(shows), "{}", state.txid);
        }
    }
}

/// Whatever becomes of the files, also one that is a sound index of another object: the store is asked.
#[tokio::test(flavor = "multi_thread")]
async fn kept_indexes_that_are_damaged_or_exchanged_do_no_harm() {
    let builder = sample().await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("indexes");
    open(&builder, &directory, Proof::Block).await;
    let files = || fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path());
    assert!(files().count() > 3);
    let some = fs::read(files().next().unwrap()).unwrap();
    for (number, file) in files().enumerate() {
        let mut bytes = fs::read(&file).unwrap();
        match number % 4 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes = some.clone(),
            2 => bytes.clear(),
            _ => bytes[200] ^= 1,
        }
        fs::write(&file, bytes).unwrap();
    }
    let (moment, _) = open(&builder, &directory, Proof::Page).await;
    assert_eq!(image(&moment).await.unwrap(), builder.last().image());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_rows_is_kept() {
    let mut builder = Builder::started(512, 40).await;
    let mut pages = builder.last().pages.clone();
    for page in &mut pages {
        page[100..120].copy_from_slice(b"a secret of the user");
    }
    builder.enter(
        ebbtide_replica::EntryKind::Commit,
        pages,
        ebbtide_testkit::builder::Carry::Changes,
        b"",
    );
    builder.cut().await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("indexes");
    let (moment, _) = open(&builder, &directory, Proof::Page).await;
    image(&moment).await.unwrap();
    let mut files = 0;
    for file in fs::read_dir(&directory).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"a secret"));
        files += 1;
    }
    assert!(files >= 2);
}
