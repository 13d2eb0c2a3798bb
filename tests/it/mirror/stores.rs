//! Mirrors in buckets: in that of the server in this process always, in MinIO where there is one. Would catch an object that
//! is cut or lost on its way from one kind of store to another.

use std::fs;

use ebbtide_testkit::minio::MinIO;
use ebbtide_testkit::s3_server::S3Server;

use super::{follow_by, mirror, wait_for_mirror};
use crate::support::{History, Setup, Sidecar, image, wait_until};

/// Follows with a mirror at the address while an application writes, a transaction larger than a part among it, over a kill
/// and a restart. `history` is that of the mirror.
fn mirrors(setup: &Setup, address: &str, history: impl Fn() -> History) {
    let config = setup.configure("", &format!("mirror = [{address:?}]"));
    let app = setup.app();
    let sidecar = follow_by(setup, &config);
    for rows in 1..=3 {
        app.insert(rows, 900);
        wait_for_mirror(setup, 0);
    }
    // More than a piece of the copy, and than a part of an upload.
    let many = "INSERT INTO t (b) SELECT randomblob(40000) FROM
                (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n)";
    app.execute(many, []).unwrap();
    setup.sync();
    sidecar.kill();
    app.insert(2, 900);
    let sidecar = follow_by(setup, &config);
    wait_for_mirror(setup, 0);
    assert!(mirror(setup, 0)["trouble"].is_null());
    let database = setup.database.to_str().unwrap();
    setup.run(&["mark", "--config", &config, "here", database]).exits(0);
    assert_eq!(sidecar.stop(), 0);
    // It ends with the mirror up to date, the mark and a horizon included.
    setup.run(&["prune", "--keep", "every-commit=1h", "--confirm", &setup.replica]).exits(0);
    setup.run(&["replicate", "--once", "--config", &config]).exits(0);
    let directory = setup.directory.path();
    assert_eq!(history().states(directory), setup.history().states(directory));
    setup.run(&["verify", address]).exits(0);
    // The first replica is gone, the database with it, and somebody goes on from the mirror.
    let output = setup.text("out.db");
    setup.run(&["restore", "--mark", "here", "-o", &output, address]).exits(0);
    assert_eq!(image(output.as_ref()), image(&setup.database));
    let both = setup.text("both.db");
    setup.run(&["restore", "-o", &both, address, &setup.replica]).exits(0);
    assert_eq!(fs::read(&both).unwrap(), fs::read(&output).unwrap());
    let args = ["replicate", "--log-format", "json", database, address];
    let moved = Sidecar::start_command(&mut setup.command(&args));
    app.insert(1, 900);
    wait_until("it goes on there", || setup.report()["lag_seconds"] == 0.0);
    assert_eq!(moved.stop(), 0);
    history().assert_ends_with(&setup.database, directory);
}

#[test]
fn a_mirror_of_a_directory_in_a_bucket_and_of_a_bucket_in_a_directory() {
    let server = S3Server::start();
    let [mut out, back] = [Setup::new(), Setup::new().in_bucket(&server)];
    out.variables = server.environment().map(|(name, value)| (name, value.to_owned())).to_vec();
    let there = server.file("mirror").to_str().unwrap().to_owned();
    mirrors(&out, &server.address("mirror"), || History::open(&there));
    let here = back.text("mirror");
    mirrors(&back, &here, || History::open(&here));
    assert_eq!(server.unfinished_uploads(), 0);
}

#[test]
fn a_mirror_of_a_directory_in_minio_and_of_minio_in_another_place_there() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(minio) = runtime.block_on(MinIO::find()) else { return };
    let mut out = Setup::new();
    out.variables = minio.environment.to_vec();
    for (setup, prefix) in [(out, "mirror"), (Setup::new().in_minio(&minio, "app"), "second")] {
        let address = minio.address(prefix);
        mirrors(&setup, &address, || History::in_bucket(&address, &minio.credentials));
    }
    runtime.block_on(minio.remove());
}
