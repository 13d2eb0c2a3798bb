//! A bad network between `ebbtide` and a bucket: hazards S2, S3, S6, S7, D16.
//!
//! What the store itself makes of each fault is tested beside it; here the whole of `replicate` and `restore` goes
//! through a TCP proxy, in front of the server of the tests always, and of MinIO where there is one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ebbtide_catalog::{Progress, Target};
use ebbtide_replica::{EntryKind, Timestamp};
use ebbtide_restore::{Options, restore};
use ebbtide_store::{Credentials, Location, S3Store, Store};
use ebbtide_testkit::minio::MinIO;
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::proxy::{Link, Proxy};
use ebbtide_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{Replica, Sidecar, command, wait_until};

/// A bucket behind a proxy.
struct Far {
    proxy: Proxy,
    replica: String,
    variables: Vec<(&'static str, String)>,
    credentials: Credentials,
}

impl Far {
    fn of(server: &S3Server) -> Far {
        let proxy = Proxy::start(address_of(&server.endpoint()));
        let replica = format!("s3://{BUCKET}/app?endpoint={}", proxy.endpoint());
        let variables = server.environment().map(|(name, value)| (name, value.to_owned()));
        let credentials = Credentials::new(ACCESS_KEY.to_owned(), SECRET_KEY.to_owned());
        Far { proxy, replica, variables: variables.to_vec(), credentials }
    }

    fn of_minio(minio: &MinIO) -> Far {
        let proxy = Proxy::start(address_of(&minio.endpoint));
        let replica = format!("s3://{}/far?endpoint={}", minio.bucket, proxy.endpoint());
        let (variables, credentials) = (minio.environment.to_vec(), minio.credentials.clone());
        Far { proxy, replica, variables, credentials }
    }

    fn follow(&self, database: &std::path::Path) -> Sidecar {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Sidecar::start_in(database, &self.replica, &variables)
    }

    /// Restores with the command, and compares.
    fn assert_restores(&self, folder: &TempDir, expected: Image, what: &str) {
        let output = folder.path().join("restored.db");
        let args = ["restore", "-o", output.to_str().unwrap(), &self.replica];
        let mut command = command(&args);
        command.envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())));
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{what}: {said}");
        assert_eq!(Image::of_file(&output).unwrap(), expected, "{what}");
        std::fs::remove_file(&output).unwrap();
    }

    async fn store(&self) -> Arc<dyn Store> {
        let Ok(Location::S3(location)) = self.replica.parse() else { panic!("{}", self.replica) };
        Arc::new(S3Store::open_as(&location, &self.credentials).await.unwrap())
    }
}

fn address_of(endpoint: &str) -> SocketAddr {
    endpoint.trim_start_matches("http://").parse().unwrap()
}

/// A database of one small table.
fn database(folder: &TempDir) -> (std::path::PathBuf, Connection) {
    let path = folder.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    (path, database)
}

fn insert(database: &Connection, rows: u32, bytes: u32) {
    for _ in 0..rows {
        database.execute("INSERT INTO t VALUES (randomblob(?1))", [bytes]).unwrap();
    }
}

/// Follows over each kind of link, restores over the same, and compares.
fn follow_and_restore(far: &Far, links: &[Link]) {
    let folder = tempfile::tempdir().unwrap();
    let (path, database) = database(&folder);
    let sidecar = far.follow(&path);
    for link in links {
        // Some connections are like this, the rest lets work go on.
        let link = *link;
        far.proxy.script(move |number| if number % 3 == 0 { link } else { Link::Clear });
        insert(&database, 5, 3000);
    }
    far.proxy.link(Link::Clear);
    assert_eq!(sidecar.stop(), 0, "{links:?}");
    let expected = Image::of(&oracle::committed(&path).unwrap());
    far.assert_restores(&folder, expected, "a clear link");
}

const SLOW: [Link; 2] = [Link::Latency(Duration::from_millis(15)), Link::Throttled(2_000_000)];
const BROKEN: [Link; 5] =
    [Link::CutUp(0), Link::CutUp(700), Link::CutDown(0), Link::CutDown(90), Link::AnswerLost];

#[test]
fn s03_s06_following_gets_through_links_that_are_slow_break_and_lose_answers() {
    let server = S3Server::start();
    let far = Far::of(&server);
    follow_and_restore(&far, &SLOW);
    let server = S3Server::start();
    let far = Far::of(&server);
    follow_and_restore(&far, &BROKEN);
}

#[test]
fn s03_s06_following_gets_through_bad_links_to_minio() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(minio) = runtime.block_on(MinIO::find()) else { return };
    follow_and_restore(&Far::of_minio(&minio), &BROKEN);
    runtime.block_on(minio.remove());
}

/// The link swallows everything for a while: the application writes on, and nothing of it is missing afterwards.
#[test]
fn s02_following_goes_on_after_a_link_that_swallowed_everything() {
    let (server, folder) = (S3Server::start(), tempfile::tempdir().unwrap());
    let far = Far::of(&server);
    let (path, database) = database(&folder);
    let sidecar = far.follow(&path);
    insert(&database, 5, 3000);
    far.proxy.link(Link::Blackhole);
    insert(&database, 50, 3000);
    wait_until("a connection that is swallowed", || far.proxy.connections() > 0);
    insert(&database, 50, 3000);
    far.proxy.link(Link::Clear);
    assert_eq!(sidecar.stop(), 0);
    let expected = Image::of(&oracle::committed(&path).unwrap());
    far.assert_restores(&folder, expected, "after the blackhole");
    let entries = Replica::open(server.file("app").to_str().unwrap()).entries();
    let commits = entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count();
    assert_eq!(commits, 105, "each commit is there, and once");
}

/// Requests that are late, and arrive after everything else, once more: nothing that is there changes.
#[test]
fn s07_requests_that_arrive_again_long_after_change_nothing() {
    let (server, folder) = (S3Server::start(), tempfile::tempdir().unwrap());
    let far = Far::of(&server);
    let (path, database) = database(&folder);
    for _ in 0..2 {
        let sidecar = far.follow(&path);
        insert(&database, 10, 3000);
        assert_eq!(sidecar.stop(), 0);
    }
    let expected = Image::of(&oracle::committed(&path).unwrap());
    let objects = server.file("app");
    let before = Replica::open(objects.to_str().unwrap()).entries();
    let puts = server.count("PutObject");
    let connections = far.proxy.send_again().unwrap();
    wait_until("every put to arrive again", || server.count("PutObject") >= 2 * puts);
    drop(connections);
    assert_eq!(Replica::open(objects.to_str().unwrap()).entries(), before);
    far.assert_restores(&folder, expected, "after the late requests");
}

/// Would catch bytes that are taken for an object although the answer ended early, at any byte of any answer.
#[test]
fn s03_d16_a_restore_gets_through_links_that_are_cut_at_any_byte() {
    let (server, folder) = (S3Server::start(), tempfile::tempdir().unwrap());
    let far = Far::of(&server);
    let (path, database) = database(&folder);
    let sidecar = far.follow(&path);
    insert(&database, 4, 2000);
    assert_eq!(sidecar.stop(), 0);
    let expected = Image::of(&oracle::committed(&path).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let store = runtime.block_on(far.store());
    let output = folder.path().join("out.db");
    let options = Options {
        target: Target::Latest,
        output: output.clone(),
        force: false,
        state: None,
        expect: None,
        check: None,
        now: Timestamp::MAX,
    };
    let mut cuts = 0;
    for most in (0..400).step_by(5).chain((400..6000).step_by(149)) {
        // Three connections are cut, and a read is tried four times.
        far.proxy.script(move |number| if number < 3 { Link::CutDown(most) } else { Link::Clear });
        let progress = Arc::new(Progress::default());
        runtime.block_on(restore(Arc::clone(&store), &options, &progress)).unwrap();
        assert_eq!(Image::of_file(&output).unwrap(), expected, "cut at {most}");
        std::fs::remove_file(&output).unwrap();
        cuts += far.proxy.connections().min(3);
    }
    println!("{cuts} connections were cut");
}

/// A larger one, slow and reset again and again: with the command, as people have it.
#[test]
fn d16_a_restore_gets_through_a_slow_link_that_is_reset_again_and_again() {
    let (server, folder) = (S3Server::start(), tempfile::tempdir().unwrap());
    let far = Far::of(&server);
    let (path, database) = database(&folder);
    let sidecar = far.follow(&path);
    insert(&database, 40, 100_000);
    assert_eq!(sidecar.stop(), 0);
    let expected = Image::of(&oracle::committed(&path).unwrap());
    far.proxy.script(|number| match number % 4 {
        0 => Link::CutDown(150_000),
        1 => Link::Throttled(3_000_000),
        2 => Link::CutDown(40_000),
        _ => Link::Latency(Duration::from_millis(2)),
    });
    far.assert_restores(&folder, expected, "cut, throttled and slow");
    assert!(far.proxy.connections() > 4, "it had to connect again");
}
