//! What concerns a place of replicas: whether it is reached, and what may be done there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ebbtide_replica::Timestamp;
use ebbtide_sidecar::clock;
use ebbtide_store::{Conditional, ErrorKind, Examined, Location, Seen, Store, StoreError, Trial};

use super::files::may_make_files;
use super::finding::{Check, Finding};

/// A put that takes longer makes commits durable late.
const SLOW: Duration = Duration::from_secs(2);

/// Clocks that are less far apart are no trouble.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5);

/// What was found of a place, and the place itself if more can be asked of it.
pub(super) async fn look(
    location: &Location,
    prunes: bool,
) -> (Option<Arc<dyn Store>>, Vec<Finding>) {
    if let Location::Directory(path) = location
        && !path.exists()
    {
        return (None, vec![absent(path)]);
    }
    let store = match location.open().await {
        Ok(store) => store,
        Err(error) => return (None, vec![unopened(&error)]),
    };
    let mut findings = Vec::new();
    let mut is_read = true;
    let examined = store.examine().await;
    for one in &examined {
        is_read &= !matches!(one.trial, Trial::Get | Trial::List) || one.result.is_ok();
        is_read &= one.is_answered() || one.trial != Trial::Put;
        findings.push(match &one.result {
            Ok(seen) => seen_of(one, seen),
            Err(error) => failure(one.trial, error, prunes, &store.describe()),
        });
    }
    (is_read.then_some(store), findings)
}

/// A directory that a start would make.
fn absent(path: &Path) -> Finding {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let above = absolute.ancestors().skip(1).find(|above| above.is_dir());
    let above = above.unwrap_or(Path::new("/"));
    if may_make_files(above) {
        Finding::ok(Check::Open, format!("it will be made in {}", above.display()))
    } else {
        Finding::fail(
            Check::Open,
            format!("it would be made in {}, which cannot be written", above.display()),
            "let this user write there, or name another directory",
        )
    }
}

fn unopened(error: &StoreError) -> Finding {
    let advice = "correct the address, or see to the credentials that the AWS tools would use here";
    Finding::fail(Check::Open, error.with_causes(), advice)
}

fn seen_of(examined: &Examined, seen: &Seen) -> Finding {
    let Examined { trial, took, .. } = examined;
    let check = Check::Store(*trial);
    match seen {
        Seen::Allowed if *took > SLOW => Finding::warn(
            check,
            format!("allowed, after {:.1} s", took.as_secs_f64()),
            "commits are durable so much later: choose a place that is nearer, or look at the network",
        ),
        Seen::Allowed => Finding::ok(check, format!("allowed, in {} ms", took.as_millis())),
        Seen::Conditional(Conditional::Enforced) => {
            Finding::ok(check, "a name is taken once, also in a race")
        }
        Seen::Conditional(Conditional::Ignored) => Finding::warn(
            check,
            "a put may overwrite what is there, so nothing but care keeps two writers apart",
            "see to it that no two processes ever follow into one replica, or choose another store (docs/stores.md)",
        ),
        Seen::Clock(at) => clock_of(*at),
        Seen::Region(Some(region)) => Finding::ok(check, region.as_str()),
        Seen::Region(None) => Finding::ok(check, "the store names none"),
        Seen::Enabled(on) => configured(*trial, *on),
    }
}

/// What a bucket does by its own configuration.
fn configured(trial: Trial, on: bool) -> Finding {
    let check = Check::Store(trial);
    match (trial, on) {
        (Trial::Versioning, true) => Finding::note(
            check,
            "on: what a prune deletes stays as an older version, and costs",
            "have a lifecycle rule expire versions that are not current",
        ),
        (Trial::ObjectLock, true) => Finding::note(
            check,
            "on: a prune deletes nothing before its time is over",
            "`prune` counts what the store keeps (`retained_objects`)",
        ),
        _ => Finding::ok(check, "off"),
    }
}

fn clock_of(at: Timestamp) -> Finding {
    // The store's time is to the second.
    let apart = clock::now().as_micros().abs_diff(at.as_micros());
    let apart = Duration::from_micros(apart).saturating_sub(Duration::from_secs(1));
    if apart <= CLOCKS_APART_MAX {
        return Finding::ok(Check::Store(Trial::Clock), "as the store's, to a few seconds");
    }
    Finding::warn(
        Check::Store(Trial::Clock),
        format!("this machine's and the store's are {} s apart", apart.as_secs()),
        "have both kept by NTP: commits are dated by this machine's, ages are by the store's",
    )
}

/// What it means that something is not to be had.
fn failure(trial: Trial, error: &StoreError, prunes: bool, place: &str) -> Finding {
    let (check, seen) = (Check::Store(trial), error.with_causes());
    let is_denied = error.kind() == ErrorKind::Denied;
    match trial {
        Trial::Put if is_denied => {
            Finding::fail(check, seen, "allow s3:PutObject, also for parts of uploads")
        }
        Trial::Put => Finding::fail(check, seen, "nothing else was tried"),
        Trial::Get => Finding::fail(
            check,
            seen,
            "allow s3:GetObject: a start reads where the replica ends, and a restore all of it",
        ),
        Trial::List => Finding::fail(check, seen, "allow s3:ListBucket for this prefix"),
        Trial::Conditional => Finding::fail(
            check,
            seen,
            "conditional puts and uploads in parts have to be possible: they keep two writers apart",
        ),
        Trial::Delete if prunes => Finding::fail(
            check,
            format!("{seen}; objects of this check stay under {place}/probe/"),
            "allow s3:DeleteObject, or set prune = \"elsewhere\" and prune from a machine that may",
        ),
        Trial::Delete => Finding::note(
            check,
            format!("{seen}; objects of this check stay under {place}/probe/"),
            "nothing is pruned from here, as it is configured; remove them by hand",
        ),
        Trial::Clock => Finding::unknown(check, seen, "ages of history are by the store's clock"),
        Trial::Region => Finding::unknown(check, seen, ""),
        Trial::Versioning | Trial::ObjectLock => {
            Finding::unknown(check, seen, "the bucket's owner can look")
        }
    }
}
