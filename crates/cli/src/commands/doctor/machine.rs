//! What concerns the process as a whole: descriptors, where it listens, whom it tells, and who follows already.

use std::collections::BTreeMap;

use ebbtide_config::{Config, Database, Listen, Prices};
use ebbtide_sidecar::{View, descriptors_needed};
use ebbtide_web::{Notices, Server};
use nix::sys::resource::{Resource, getrlimit};

use super::finding::{Check, Finding, Subject};
use crate::commands::status::gather;
use crate::sidecar_hooks;

/// The processes that follow databases already, by these.
pub(super) type Running = BTreeMap<String, u32>;

/// Who follows what on this machine, as far as this user may ask.
pub(super) fn running() -> Running {
    let (reports, _) = gather();
    let followed =
        reports.into_iter().filter_map(|report| Some((report.database, report.process?)));
    followed.collect()
}

/// What concerns the process that would follow so many databases.
pub(super) async fn look(config: &Config, databases: usize, running: &Running) -> Subject {
    let mut findings = vec![descriptors(databases as u64)];
    if let Some(listen) = &config.listen {
        findings.push(listener(listen, !running.is_empty()).await);
    }
    if config.heartbeat.is_some() || config.webhook.is_some() {
        findings.push(notices(config));
    }
    Subject::new("this machine".to_owned(), findings)
}

fn descriptors(databases: u64) -> Finding {
    let needed = descriptors_needed(databases);
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((limit, _)) if limit >= needed => Finding::ok(
            Check::Descriptors,
            format!("{limit} files may be open, up to {needed} will be"),
        ),
        Ok((limit, _)) => Finding::fail(
            Check::Descriptors,
            format!("{limit} files may be open, and up to {needed} will be"),
            "raise the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd)",
        ),
        Err(error) => Finding::unknown(Check::Descriptors, error.to_string(), ""),
    }
}

/// Listens as `replicate` would, and ends that at once.
async fn listener(listen: &Listen, is_running: bool) -> Finding {
    match Server::start(listen, View::nothing(), Prices::default()).await {
        Ok(server) => Finding::ok(Check::Listener, format!("{} can be had", server.address())),
        Err(error) if is_running => Finding::note(
            Check::Listener,
            ebbtide_store::error_chain(&error),
            "an ebbtide that runs already may have it: `ebbtide list` shows them",
        ),
        Err(error) => Finding::fail(
            Check::Listener,
            ebbtide_store::error_chain(&error),
            "choose another address for `listen`, or correct `listen-token-file`",
        ),
    }
}

/// Reads what is needed to tell others, and tells nobody.
fn notices(config: &Config) -> Finding {
    let (heartbeat, webhook) = (config.heartbeat.as_ref(), config.webhook.as_ref());
    match Notices::check(heartbeat, webhook) {
        Ok(()) => {
            Finding::ok(Check::Notices, "addresses and secrets can be used; nothing was sent")
        }
        Err(error) => Finding::fail(
            Check::Notices,
            ebbtide_store::error_chain(&error),
            "correct `heartbeat-url`, `webhook-url` or `webhook-secret-file`",
        ),
    }
}

/// Whether there is somebody for whom a replica is to be encrypted.
pub(super) fn recipients(database: &Database) -> Option<Finding> {
    match sidecar_hooks::recipients(database) {
        Ok(None) => None,
        Ok(Some(_)) => {
            Some(Finding::ok(Check::Recipient, "keys can be wrapped for all recipients"))
        }
        Err(why) => Some(Finding::fail(
            Check::Recipient,
            why,
            "correct `encrypt-to`; `ebbtide keygen` prints a recipient",
        )),
    }
}
