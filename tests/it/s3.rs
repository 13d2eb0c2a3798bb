//! The whole way through S3: against the server in this process always, against MinIO where there is one.

use ebbtide_testkit::minio::MinIO;
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::s3_server::S3Server;

use crate::support::{Setup, image};

/// Follows a database while it is written, a transaction larger than a part among it, and restores it.
fn there_and_back(setup: &Setup) {
    let app = setup.app();
    let sidecar = setup.follow();
    app.insert(20, 500);
    let many = "INSERT INTO t (b) SELECT randomblob(30000) FROM
                (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n)";
    app.execute(many, []).unwrap();
    app.execute("DELETE FROM t WHERE rowid = 1", []).unwrap();
    assert_eq!(sidecar.stop(), 0);
    let output = setup.path("copy.db");
    setup.restore(&["--verify", "quick", "-o", output.to_str().unwrap()]).exits(0);
    setup.run(&["verify", &setup.replica]).exits(0);
    assert_eq!(Image::of_file(&output).unwrap(), image(&setup.database));
}

#[test]
fn a_database_goes_into_a_bucket_and_comes_back() {
    let server = S3Server::start();
    there_and_back(&Setup::new().in_bucket(&server));
    assert_eq!(server.unfinished_uploads(), 0);
}

#[test]
fn a_database_goes_into_minio_and_comes_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(minio) = runtime.block_on(MinIO::find()) else { return };
    there_and_back(&Setup::new().in_minio(&minio, "app"));
    runtime.block_on(minio.remove());
}
