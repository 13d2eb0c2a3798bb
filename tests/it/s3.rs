//! The whole way through S3: against the server in this process always, against MinIO where there is one.

use ebbtide_testkit::minio::MinIO;
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::s3_server::S3Server;
use rusqlite::Connection;

use crate::support::{Sidecar, command};

/// Follows a database into `replica` while it is written, a transaction larger than a part among it, and restores it.
fn there_and_back(replica: &str, variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let (app, output) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    let database = Connection::open(&app).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    let sidecar = Sidecar::start_in(&app, replica, variables);
    for _ in 0..20 {
        database.execute("INSERT INTO t VALUES (randomblob(500))", []).unwrap();
    }
    let many = "INSERT INTO t SELECT randomblob(30000) FROM
                (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n)";
    database.execute(many, []).unwrap();
    database.execute("DELETE FROM t WHERE rowid = 1", []).unwrap();
    assert_eq!(sidecar.stop(), 0);
    let expected = Image::of(&oracle::committed(&app).unwrap());
    for args in [
        &["restore", "--verify", "quick", "-o", output.to_str().unwrap(), replica][..],
        &["verify", replica],
    ] {
        let ended = command(args).envs(variables.iter().copied()).output().unwrap();
        assert!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(Image::of_file(&output).unwrap(), expected);
}

#[test]
fn a_database_goes_into_a_bucket_and_comes_back() {
    let server = S3Server::start();
    there_and_back(&server.address("app"), &server.environment());
    assert_eq!(server.unfinished_uploads(), 0);
}

#[test]
fn a_database_goes_into_minio_and_comes_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(minio) = runtime.block_on(MinIO::find()) else { return };
    let variables: Vec<_> =
        minio.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    there_and_back(&minio.address("app"), &variables);
    runtime.block_on(minio.remove());
}
