//! All that was ever sent of an encrypted replica, attempts that failed and uploads that were made again included (H35).
//!
//! The keys of an object follow from its header, in which its salt is, and its name; the nonce of each part is its place. So
//! two things are encrypted under one key and nonce if and only if two bodies of one name begin with the same header and
//! differ after it. Whoever has both could give both away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use ebbtide_replica::container::Header;
use ebbtide_testkit::actor::Ask;
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server, Sent};
use ebbtide_testkit::workload::Options;
use ebbtide_testkit::{Random, for_each_seed_at_once};
use ebbtide_wal::PageSize;

use crate::scene::Scene;
use crate::support::Setup;
use crate::tally::Tally;
use crate::trial::{Trial, Victim};

/// The attempts at objects, by what their keys follow from.
struct Attempts(BTreeMap<(String, Vec<u8>), Vec<Vec<u8>>>);

impl Attempts {
    fn of(sent: Vec<Sent>) -> Attempts {
        let mut attempts = Attempts(BTreeMap::new());
        let mut uploads: BTreeMap<(String, String), BTreeMap<u32, Vec<u8>>> = BTreeMap::new();
        for Sent { path, query, body } in
            sent.into_iter().filter(|sent| sent.path.ends_with(".seg"))
        {
            let of = |key: &str| {
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.clone().find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
            };
            let Some(number) = of("partNumber") else {
                attempts.add(path, body);
                continue;
            };
            let parts = uploads.entry((path, of("uploadId").unwrap())).or_default();
            let part = parts.entry(number.parse().unwrap()).or_default();
            assert!(is_same(part, &body), "a part of one upload was sent with two contents");
            if body.len() > part.len() {
                *part = body;
            }
        }
        for ((path, _), parts) in uploads {
            let whole = (1..).zip(&parts).take_while(|(expected, (number, _))| expected == *number);
            attempts.add(path, whole.flat_map(|(_, (_, part))| part.clone()).collect());
        }
        attempts
    }

    fn add(&mut self, path: String, body: Vec<u8>) {
        // What was broken off before the end of the header says nothing of what is encrypted.
        if let Some(head) = body.get(..Header::SIZE) {
            self.0.entry((path, head.to_vec())).or_default().push(body);
        }
    }

    /// Fails if two contents have one key; how many objects were sent twice as they are, and how many were made again.
    fn check(&self) -> (usize, usize) {
        let mut salts = BTreeSet::new();
        for ((path, head), bodies) in &self.0 {
            let (_, envelope) = Header::parse_any(head).unwrap();
            let envelope = envelope.unwrap_or_else(|| panic!("{path} is in plain text"));
            assert!(salts.insert(*envelope.salt.as_bytes()), "{path} has the salt of another");
            let longest = bodies.iter().max_by_key(|body| body.len()).unwrap();
            assert!(
                bodies.iter().all(|body| is_same(body, longest)),
                "{path}: one key for two contents"
            );
        }
        let names: BTreeSet<&String> = self.0.keys().map(|(path, _)| path).collect();
        let again = self.0.values().filter(|bodies| bodies.len() > 1).count();
        (again, self.0.len() - names.len())
    }
}

/// One is the other, as far as both came.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

#[test]
fn h35_no_key_and_nonce_are_used_twice_over_kills_and_retries() {
    let total = AtomicUsize::new(0);
    for_each_seed_at_once(3, 1, |seed| {
        let mut random = Random::new(seed);
        let server = S3Server::start();
        server.record();
        let mut faults = Random::new(seed + 1);
        server.script(move |asked: &Asked| {
            let is_put = matches!(asked.operation(), "PutObject" | "UploadPart");
            match faults.below(8) {
                0 if is_put => Some(Fault::AnswerLost),
                1 if is_put => Some(Fault::Refused(503, "SlowDown")),
                _ => None,
            }
        });
        let scene = Scene::of(Setup::in_memory().in_bucket(&server).sealed());
        let mut trial = Trial::new(scene, seed, Options::random(&mut random));
        for _ in 0..6 {
            trial.follow();
            trial.act(random.below(6));
            let victims = [Victim::Sidecar, Victim::Sidecar, Victim::Both];
            trial.kill(*random.choose(&victims), &mut random);
        }
        server.heal();
        let mut tally = Tally::new("sent");
        trial.end(0, &mut tally).assert_right("after the kills");
        let (again, anew) = Attempts::of(server.sent()).check();
        println!("{again} objects were sent again, {anew} were made anew");
        total.fetch_add(again, Ordering::Relaxed);
    });
    assert!(total.into_inner() > 0, "no put was tried again");
}

/// An upload that is lost on its way is made again from the log, and is another object.
#[test]
fn h35_no_key_and_nonce_are_used_twice_by_an_upload_that_is_made_again() {
    let server = S3Server::start();
    server.record();
    let mut begun = 0;
    server.script(move |asked: &Asked| {
        let is_log = asked.path.contains("/log/");
        begun += u32::from(is_log && asked.operation() == "CreateMultipartUpload");
        let is_late = asked.operation() == "UploadPart" && !asked.query.contains("partNumber=1&");
        (is_log && is_late && begun < 3).then_some(Fault::Refused(404, "NoSuchUpload"))
    });
    let mut scene = Scene::of(Setup::in_memory().in_bucket(&server).sealed());
    let mut actor = scene.start_actor(1, &Options::plain(PageSize::new(4096).unwrap()));
    scene.act(&mut actor, Ask::InsertEach(3, 200));
    let sidecar = scene.follow();
    scene.act(&mut actor, Ask::Insert(300, 120_000));
    scene.act(&mut actor, Ask::InsertEach(2, 200));
    scene.sync();
    assert_eq!(sidecar.stop(), 0);
    actor.finish().unwrap();
    scene.compare().assert_right("after the uploads");
    let (_, anew) = Attempts::of(server.sent()).check();
    let begun = server.count("CreateMultipartUpload");
    assert!(anew > 0, "no upload was made again, of {begun}");
}
