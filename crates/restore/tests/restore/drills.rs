//! Drills: what they prove, what they find, and what they leave.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use ebbtide_catalog::{PlanError, Progress};
use ebbtide_replica::{EntryState, Key, Point};
use ebbtide_restore::{
    Check, Checked, Drill, DrillRecord, Drilled, Error, drill, remove_drill_files,
};
use ebbtide_store::{MemoryStore, Store as _};

use crate::builder::{Builder, START, State, micros, txid};

async fn replica() -> Builder {
    let mut builder = Builder::started(512, 6).await;
    for number in 0..12_usize {
        builder.wait(10);
        builder.commit(&[(number % 6, number as u64)], 6 + number % 2);
        if number == 5 {
            builder.snapshot().await;
        }
        builder.cut().await;
    }
    builder
}

fn what(directory: Option<&Path>, random: u64) -> Drill {
    Drill {
        directory: directory.map(Path::to_path_buf),
        check: None,
        bytes_per_second: None,
        random,
        durable: None,
        now: micros(START + 1_000_000_000_000),
    }
}

async fn drilled(store: &MemoryStore, what: &Drill) -> Result<Drilled, Error> {
    drill(Arc::new(store.clone()), what, &Arc::new(Progress::default())).await
}

fn entry_state(state: &State) -> EntryState {
    EntryState {
        point: Point { txid: state.txid, time: state.time },
        chain: state.chain,
        digest: state.digest,
        database_pages: u32::try_from(state.pages.len()).unwrap(),
    }
}

/// The check sees the very bytes of the state that is said to be restored.
#[tokio::test]
async fn a_drill_restores_the_newest_state_and_an_older_one_and_leaves_nothing() {
    let builder = replica().await;
    let directory = tempfile::tempdir().unwrap();
    for random in 0..30 {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let check = Arc::clone(&seen);
        let check = Check::new(move |path: &Path| {
            check.lock().unwrap().push(fs::read(path).unwrap());
            Ok(Checked::Sound)
        });
        let what = Drill { check: Some(check), ..what(Some(directory.path()), random) };
        let drilled = drilled(&builder.store, &what).await.unwrap();
        let older = drilled.kept.unwrap();
        assert!(drilled.newest.is_checked && older.is_checked);
        assert_eq!(drilled.newest.point.txid, builder.last().txid);
        assert!(older.point.txid < builder.last().txid);
        let seen = seen.lock().unwrap();
        assert!(seen[0] == builder.last().image());
        assert!(seen[1] == builder.state(older.point.txid.get()).image());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_drill_without_a_file_proves_every_page_and_finds_what_a_restore_would() {
    let builder = replica().await;
    let proved = drilled(&builder.store, &what(None, 7)).await.unwrap();
    assert!(!proved.newest.is_checked && proved.newest.notices.is_empty());
    // Around a damaged snapshot there is another way, and a drill says so.
    let newest = Key::Snapshot(txid(8));
    let mut body = builder.body(newest).await;
    let at = body.len() - 50;
    body[at] ^= 1;
    builder.replace(newest, body).await;
    let around = drilled(&builder.store, &what(None, 7)).await.unwrap();
    assert!(around.newest.notices.iter().any(|notice| notice.contains("snap/0000000000000008")));
    let record = DrillRecord::after(&around, micros(0), std::time::Duration::ZERO, None);
    assert!(record.failed.unwrap().error.contains("snap/0000000000000008"));
    // Around a segment there is none.
    builder.store.delete(&Key::Log(txid(12))).await.unwrap();
    let error = drilled(&builder.store, &what(None, 7)).await.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Damaged { .. })), "{error}");
    assert!(error.to_string().contains("log/000000000000000c.seg"), "{error}");
}

#[tokio::test]
async fn a_drill_compares_the_replica_with_what_the_live_database_is_known_to_be() {
    let builder = replica().await;
    let replica = builder.manifest.replica;
    let with = |state: EntryState| Drill { durable: Some((replica, state)), ..what(None, 3) };
    for state in &builder.states[2..] {
        let drilled = drilled(&builder.store, &with(entry_state(state))).await.unwrap();
        assert!(drilled.is_compared);
    }
    let mut other = replica_of_another_history().await;
    let last = entry_state(other.last());
    assert_eq!(last.txid(), builder.last().txid);
    let error = drilled(&builder.store, &with(last)).await.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Unexpected { .. })), "{error}");
    other.commit(&[(1, 1)], 6);
    let beyond = drilled(&builder.store, &with(entry_state(other.last()))).await.unwrap_err();
    assert!(matches!(beyond, Error::Plan(PlanError::Unexpected { .. })), "{beyond}");
    // The local state of another replica says nothing.
    let foreign = (ebbtide_replica::ReplicaId::from_bytes([9; 16]), last);
    let what = Drill { durable: Some(foreign), ..what(None, 3) };
    assert!(!drilled(&builder.store, &what).await.unwrap().is_compared);
}

/// The same replica, as it might have gone on elsewhere.
async fn replica_of_another_history() -> Builder {
    let mut builder = Builder::started(512, 6).await;
    for number in 0..12_usize {
        builder.wait(10);
        builder.commit(&[(number % 6, 77 + number as u64)], 6 + number % 2);
    }
    builder
}

#[tokio::test]
async fn what_a_killed_drill_left_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in [".ebbtide-drill-0011223344556677", "app.db", ".app.db.ebbtide-restore-00"] {
        fs::write(path(name), name).unwrap();
    }
    remove_drill_files(directory.path()).unwrap();
    let left = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, [".app.db.ebbtide-restore-00", "app.db"]);
    let builder = replica().await;
    fs::write(path(".ebbtide-drill-0011223344556677"), "again").unwrap();
    drilled(&builder.store, &what(Some(directory.path()), 1)).await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

/// Would catch a drill that fills a disk: what it leaves to others is more than a file system of 16 MiB has.
#[tokio::test]
async fn a_drill_without_room_is_refused_with_what_it_needs() {
    let builder = replica().await;
    let error = drilled(&builder.store, &what(Some(Path::new("/proc")), 1)).await.unwrap_err();
    let Error::Refused { why, .. } = &error else { panic!("{error}") };
    assert!(why.contains("are free"), "{why}");
}
