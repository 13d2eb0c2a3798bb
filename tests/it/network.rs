//! A bad network between `ebbtide` and a bucket: hazards S2, S3, S6, S7, D16.
//!
//! What the store itself makes of each fault is tested beside it; here the whole of `replicate` and `restore` goes
//! through a TCP proxy, in front of the server of the tests always, and of MinIO where there is one.

use std::time::Duration;

use ebbtide_catalog::Target;
use ebbtide_store::Credentials;
use ebbtide_testkit::minio::MinIO;
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::proxy::{Link, Proxy};
use ebbtide_testkit::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

use crate::support::{History, Setup, image, wait_until};

/// A bucket behind a proxy, and an application that a sidecar follows over it.
struct Far {
    proxy: Proxy,
    setup: Setup,
}

impl Far {
    fn of(server: &S3Server) -> Far {
        Far::behind(&server.endpoint(), Setup::new().in_bucket(server))
    }

    fn of_minio(minio: &MinIO) -> Far {
        Far::behind(&minio.endpoint, Setup::new().in_minio(minio, "far"))
    }

    fn behind(endpoint: &str, setup: Setup) -> Far {
        let proxy = Proxy::start(endpoint.trim_start_matches("http://").parse().unwrap());
        let setup = setup.through(&proxy);
        Far { proxy, setup }
    }

    /// What the replica has, as it is read over the link.
    fn history(&self) -> History {
        History::in_bucket(&self.setup.replica, &Credentials::new(ACCESS_KEY, SECRET_KEY))
    }

    /// Restores with the command, and compares.
    #[track_caller]
    fn assert_restores(&self) {
        let output = self.setup.path("restored.db");
        self.setup.restore(&["-o", output.to_str().unwrap()]).exits(0);
        assert_eq!(Image::of_file(&output).unwrap(), image(&self.setup.database));
        std::fs::remove_file(&output).unwrap();
    }
}

/// Follows over each kind of link, restores over the same, and compares.
fn follow_and_restore(far: &Far, links: &[Link]) {
    let app = far.setup.app();
    let sidecar = far.setup.follow();
    for link in links {
        // Some connections are like this, the rest lets work go on.
        let link = *link;
        far.proxy.script(move |number| if number % 3 == 0 { link } else { Link::Clear });
        app.insert(5, 3000);
    }
    far.proxy.link(Link::Clear);
    assert_eq!(sidecar.stop(), 0, "{links:?}");
    far.assert_restores();
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
    let server = S3Server::start();
    let far = Far::of(&server);
    let app = far.setup.app();
    let sidecar = far.setup.follow();
    app.insert(5, 3000);
    far.proxy.link(Link::Blackhole);
    app.insert(50, 3000);
    wait_until("a connection that is swallowed", || far.proxy.connections() > 0);
    app.insert(50, 3000);
    far.proxy.link(Link::Clear);
    assert_eq!(sidecar.stop(), 0);
    far.assert_restores();
    assert_eq!(far.setup.history().counts().commits, 105, "each commit is there, and once");
}

/// Requests that are late, and arrive after everything else, once more: nothing that is there changes.
#[test]
fn s07_requests_that_arrive_again_long_after_change_nothing() {
    let server = S3Server::start();
    let far = Far::of(&server);
    let app = far.setup.app();
    for _ in 0..2 {
        let sidecar = far.setup.follow();
        app.insert(10, 3000);
        assert_eq!(sidecar.stop(), 0);
    }
    let before = far.setup.history().entries();
    let puts = server.count("PutObject");
    let connections = far.proxy.send_again().unwrap();
    wait_until("every put to arrive again", || server.count("PutObject") >= 2 * puts);
    drop(connections);
    assert_eq!(far.setup.history().entries(), before);
    far.assert_restores();
}

/// Would catch bytes that are taken for an object although the answer ended early, at any byte of any answer.
#[test]
fn s03_d16_a_restore_gets_through_links_that_are_cut_at_any_byte() {
    let server = S3Server::start();
    let far = Far::of(&server);
    let app = far.setup.app();
    let sidecar = far.setup.follow();
    app.insert(4, 2000);
    assert_eq!(sidecar.stop(), 0);
    let expected = image(&far.setup.database);
    let history = far.history();
    let mut cuts = 0;
    for most in (0..400).step_by(5).chain((400..6000).step_by(149)) {
        // Three connections are cut, and a read is tried four times.
        far.proxy.script(move |number| if number < 3 { Link::CutDown(most) } else { Link::Clear });
        let restored = history.restore(Target::Latest, far.setup.directory.path()).1;
        assert_eq!(restored, expected, "cut at {most}");
        cuts += far.proxy.connections().min(3);
    }
    println!("{cuts} connections were cut");
}

/// A larger one, slow and reset again and again: with the command, as people have it.
#[test]
fn d16_a_restore_gets_through_a_slow_link_that_is_reset_again_and_again() {
    let server = S3Server::start();
    let far = Far::of(&server);
    let app = far.setup.app();
    let sidecar = far.setup.follow();
    app.insert(40, 100_000);
    assert_eq!(sidecar.stop(), 0);
    far.proxy.script(|number| match number % 4 {
        0 => Link::CutDown(150_000),
        1 => Link::Throttled(3_000_000),
        2 => Link::CutDown(40_000),
        _ => Link::Latency(Duration::from_millis(2)),
    });
    far.assert_restores();
    assert!(far.proxy.connections() > 4, "it had to connect again");
}
