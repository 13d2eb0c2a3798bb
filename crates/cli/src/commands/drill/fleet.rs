//! Drills of all replicas below an address, one after the other, as a machine of their own does it every day: the one that was
//! proved longest ago first, until there is no time or nothing more may be fetched.

use std::time::Instant;

use ebbtide_fleet::{Member, Options};
use ebbtide_replica::{ReplicaId, Timestamp};
use ebbtide_restore::DrillRecord;
use ebbtide_sidecar::clock;
use ebbtide_store::error_chain;
use ebbtide_web::{DrilledReplica, FleetDrills};
use serde_json::json;

use super::metrics::{MetricsFile, drilled};
use super::one::one;
use crate::args::Drill;
use crate::commands::drilled::{as_json, memory_of, record_of, remember, said};
use crate::commands::{failure, fleet};
use crate::exit::{Code, Failure, Outcome};
use crate::{output, source, terminal};

/// What became of them.
#[derive(Debug, Default)]
struct Sum {
    proved: u64,
    failed: u64,
    left: u64,
    bytes: u64,
    /// The worst that happened.
    code: Option<Code>,
    /// What is known of each.
    known: Vec<DrilledReplica>,
}

/// Runs the command for all replicas below `root`.
///
/// # Errors
/// When one of them could not be proved.
pub(super) async fn run(args: Drill, root: &str) -> Result<Outcome, Failure> {
    let root = source::address(root)?;
    let file = args.metrics.as_deref().map(MetricsFile::begin).transpose()?;
    let (begun, now) = (Instant::now(), clock::now());
    let opener = fleet::Opener(args.access.identity.opener());
    let options = Options { has_identity: opener.0.is_some(), ..Options::default() };
    let mut members = fleet::members(&root, &opener, options, now, args.json).await?.members;
    if members.is_empty() {
        let why = format!("there is no replica in {root} or below it: check the address");
        return Err(Failure::new(Code::Nothing, why));
    }
    members.sort_by_cached_key(|member| (last_of(member), member.address.clone()));
    let mut sum = Sum::default();
    for member in members {
        let is_over = args.within.is_some_and(|within| begun.elapsed() >= within)
            || args.budget.is_some_and(|budget| sum.bytes >= budget);
        sum.see(&args, &opener, &member, is_over).await?;
    }
    sum.end(args.json, file)
}

/// When the replica was drilled last; nothing if it cannot be read.
fn last_of(member: &Member) -> Option<Timestamp> {
    record_of(&member.summary.as_ref().ok()?.replica, &member.address)?.last()
}

impl Sum {
    /// Drills a replica, unless the end has come. What cannot be read is told in any case.
    async fn see(
        &mut self,
        args: &Drill,
        opener: &fleet::Opener,
        member: &Member,
        is_over: bool,
    ) -> Result<(), Failure> {
        let record = match &member.summary {
            Err(error) => {
                self.note(args, &member.address, Code::Failed, error);
                None
            }
            Ok(summary) if is_over => {
                self.left += 1;
                record_of(&summary.replica, &member.address)
            }
            Ok(summary) => Some(self.drill(args, opener, &member.address, summary.replica).await?),
        };
        self.known.push(drilled(member, record));
        Ok(())
    }

    async fn drill(
        &mut self,
        args: &Drill,
        opener: &fleet::Opener,
        address: &str,
        replica: ReplicaId,
    ) -> Result<DrillRecord, Failure> {
        let store = opener.clone().open(source::address(address)?).await;
        let store = store.map_err(|error| Failure::new(Code::Failed, error))?;
        let (result, record) =
            one(args, store, None, memory_of(&replica, address).as_deref()).await;
        remember(&replica, address, &record);
        match result {
            Ok(drilled) => {
                self.bytes += drilled.bytes_fetched;
                match (args.json, &record.proved) {
                    (true, _) => output::json(as_json(&drilled, &record)),
                    (false, Some(proved)) => {
                        output::line(format_args!("{address}: {}", said(proved)))
                    }
                    (false, None) => {}
                }
                match &record.failed {
                    Some(failed) => self.note(args, address, Code::Damaged, &failed.error),
                    None => self.proved += 1,
                }
            }
            Err(error) => {
                let why = error_chain(&error);
                self.note(args, address, failure(error).code(), &why);
            }
        }
        output::flush();
        Ok(record)
    }

    fn note(&mut self, args: &Drill, address: &str, code: Code, why: &str) {
        self.failed += 1;
        self.code = self.code.max(Some(code));
        match args.json {
            true => output::json(json!({"place": address, "error": why})),
            false => output::line(format_args!("{address}: not proved: {why}")),
        }
    }

    fn end(self, json: bool, file: Option<MetricsFile>) -> Result<Outcome, Failure> {
        let Sum { proved, failed, left, bytes, code, known } = self;
        if !json {
            let left = match left {
                0 => String::new(),
                left => {
                    format!("; {} are left for the next time", terminal::number_of(left, "replica"))
                }
            };
            output::line(format_args!(
                "{} proved, {} fetched{left}",
                terminal::number_of(proved, "replica"),
                terminal::bytes(bytes)
            ));
        }
        if let Some(file) = file {
            file.publish(FleetDrills { replicas: known, left, ended: clock::now() })?;
        }
        match code {
            None => Ok(Outcome::Done),
            Some(code) => {
                let all = proved + failed;
                Err(Failure::new(code, format!("{failed} of {all} replicas were not proved")))
            }
        }
    }
}
