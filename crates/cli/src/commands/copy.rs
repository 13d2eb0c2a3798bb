//! `ebbtide copy`.

use std::sync::Arc;

use ebbtide_catalog::{CatalogError, Progress, identify};
use ebbtide_copy::{Copied, CopyError, Form, Options, copy, copy_since};
use ebbtide_replica::Point;
use ebbtide_restore::{Severity, verify};
use ebbtide_seal::SecretKey;
use ebbtide_state::add_index_key;
use ebbtide_store::{Location, Store};
use serde_json::json;

use super::choice::target as target_of;
use super::{failure as failure_of_restore, unreadable};
use crate::args::Copy;
use crate::exit::{Code, Failure, Outcome};
use crate::progress_bar::watch;
use crate::source::{Source, address};
use crate::{logging, output, terminal};

/// Runs the command.
///
/// # Errors
/// When the replica was not copied whole, with exit code 4 if an object of the source is damaged.
pub(crate) async fn run(args: Copy) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let target = address(&args.target)?;
    let from = source.open().await?;
    let (form, to) = open_target(&args, &source, &target).await?;
    let progress = Arc::new(Progress::default());
    let options = Options { form, bytes_per_second: args.bandwidth, ..Options::default() };
    let place = to.describe();
    let now = ebbtide_sidecar::clock::now();
    let since = args.since.as_ref().map(|since| target_of(Some(since), None, now)).transpose()?;
    let copying = async {
        let to = Arc::clone(&to);
        let Some((target, read_as)) = since else {
            return Ok((copy(from, to, options, &progress).await?, None));
        };
        if let Some(read_as) = read_as {
            logging::note(read_as);
        }
        copy_since(from, to, target, now, options, &progress).await
    };
    let (copied, first) = watch("copy", args.json, &progress, copying).await.map_err(failure)?;
    print(&args, &copied, first, &place);
    if !copied.damaged.is_empty() {
        let why = format!(
            "{} objects are damaged at the source and were not copied",
            copied.damaged.len()
        );
        return Err(Failure::new(Code::Damaged, why));
    }
    if args.verify {
        let proving = verify(to, &progress);
        let verification = watch("verify", args.json, &progress, proving).await;
        let verification = verification.map_err(failure_of_restore)?;
        let mut found = verification.findings.iter();
        if let Some(found) = found.find(|found| found.severity == Severity::Damage) {
            return Err(Failure::new(Code::Damaged, format!("the copy is not sound: {found}")));
        }
        if !args.json {
            output::line("the copy is sound");
        }
    }
    Ok(Outcome::Done)
}

/// The target, and the form that it gets. The index key of a copy that is encrypted here is kept in the local state of the
/// database, if there is one, before the copy is begun: so the next one goes on there without an identity, and so does
/// `replicate`.
async fn open_target(
    args: &Copy,
    source: &Source,
    target: &Location,
) -> Result<(Form, Arc<dyn Store>), Failure> {
    let failed = |error| Failure::new(Code::Failed, error);
    let Some(wrap) = args.form.recipients().wrap()? else {
        let form = if args.form.decrypt { Form::Plain } else { Form::Same };
        return Ok((form, source.open_elsewhere(target, None).await?));
    };
    let index = SecretKey::random();
    let index = index.map_err(|error| failed(format!("draw a key: {error}")))?;
    let to = source.open_elsewhere(target, Some(index.clone())).await?;
    let state = source.state_directory().filter(|directory| directory.is_dir());
    if let Some(state) = state
        && identify(&*to, None).await.map_err(unreadable)?.is_none()
    {
        add_index_key(&state, &index).map_err(|error| failed(error.to_string()))?;
    }
    Ok((Form::Encrypted { wrap, index }, to))
}

fn failure(error: CopyError) -> Failure {
    let error = match error {
        CopyError::Plan(error) => return failure_of_restore(error.into()),
        error => error,
    };
    let code = match &error {
        CopyError::NoReplica { .. } => Code::Nothing,
        CopyError::SamePlace { .. } | CopyError::IsEncrypted { .. } | CopyError::IsPlain { .. } => {
            Code::Usage
        }
        CopyError::OtherReplica { .. } | CopyError::OtherForm { .. } => Code::Fenced,
        CopyError::Differs { .. } => Code::Damaged,
        CopyError::Begun { source: error, .. }
        | CopyError::Source(CatalogError::Key(error))
        | CopyError::TargetReplica(CatalogError::Key(error)) => Code::of_key(error),
        CopyError::Source(error) | CopyError::TargetReplica(error) if error.is_about_object() => {
            Code::Damaged
        }
        CopyError::Plan(_)
        | CopyError::Source(_)
        | CopyError::TargetReplica(_)
        | CopyError::Target(_)
        | CopyError::Wrap(_)
        | CopyError::Draw(_)
        | CopyError::Vanished { .. } => Code::Failed,
    };
    Failure::new(code, error)
}

fn print(args: &Copy, copied: &Copied, first: Option<Point>, place: &str) {
    if args.json {
        output::json(json!({
            "target": place,
            "copied": copied,
            "first_txid": first.map(|first| first.txid.to_string()),
            "first_time": first.map(|first| first.time.to_string()),
        }));
        return;
    }
    for damaged in &copied.damaged {
        output::line(format_args!("DAMAGE: {damaged}"));
    }
    let form = match (args.form.decrypt, args.form.recipients().is_empty()) {
        (true, _) => ", decrypted",
        (false, false) => ", encrypted",
        (false, true) => "",
    };
    output::line(format_args!(
        "copied {} objects, {}, of replica {} to {place}{form}; {} were there",
        copied.objects,
        terminal::bytes(copied.bytes),
        copied.replica,
        copied.present
    ));
    if let Some(Point { txid, time }) = first {
        output::line(format_args!("it has every state that is kept from txid {txid} of {time} on"));
    }
}
