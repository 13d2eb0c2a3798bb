//! Where a copy begins that leaves the earlier history out: a horizon of its own, by which a reader of the copy knows that
//! what comes before it was left out and is not lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebbtide_catalog::{Listing, Nothing, Plan, PlanError, Progress, Survey, Target, first_of};
use ebbtide_replica::{
    Horizon, HorizonContents, HorizonObject, HorizonState, Key, Timestamp, Txid, Written,
};
use ebbtide_store::{Object, Store};

use crate::error::CopyError;

/// What the horizon of such a copy says of who wrote it, after the version.
const COPIED: &str = ", copied";

/// The horizon of a copy that has every state from the one at `target` on, as far as the source has them; nothing if that
/// needs all of the source.
pub(crate) async fn beginning(
    from: &Arc<dyn Store>,
    target: Target,
    now: Timestamp,
) -> Result<Option<Horizon>, CopyError> {
    let progress = Arc::new(Progress::default());
    let mut survey = Survey::new(Arc::clone(from), progress).await?;
    let Some(first) = first(&mut survey, target, now).await? else { return Ok(None) };
    let Some(snapshot) = first.snapshot.and_then(|object| first_of(object.key)) else {
        return Ok(None);
    };
    let window = survey.known().window();
    let (states, objects) = if snapshot < window {
        kept_from(survey.known().horizon(), snapshot)
    } else {
        (Vec::new(), Vec::new())
    };
    let (window, states, objects) = match states.is_empty() {
        false => (window, states, objects),
        true => alone(&mut survey, snapshot, now).await?,
    };
    let Some(before) = states.last().and_then(HorizonState::chain) else { return Ok(None) };
    let head = survey.plan(Target::Latest, now).await?.stop.state;
    let manifest = survey.manifest();
    let contents = HorizonContents {
        number: 1,
        previous: None,
        written: Written {
            time: now,
            by: format!("ebbtide {}{COPIED}", env!("CARGO_PKG_VERSION")),
        },
        keep: None,
        freed: None,
        states,
        objects,
        condemned: Vec::new(),
        held: Vec::new(),
    };
    Ok(Some(Horizon {
        replica: manifest.replica,
        page_size: manifest.page_size,
        number: 1,
        window,
        before,
        head: head.txid(),
        chain: head.chain,
        digest: head.digest,
        contents,
    }))
}

/// Whether a horizon is one of a copy that leaves the earlier history out, and no policy's.
pub(crate) fn is_of_a_copy(horizon: &Horizon) -> bool {
    horizon.contents.written.by.ends_with(COPIED)
}

/// The way to the first state that is wanted: where that is not kept, to the one before it, or else after it.
async fn first(
    survey: &mut Survey,
    target: Target,
    now: Timestamp,
) -> Result<Option<Plan>, CopyError> {
    let nearest = match survey.plan(target, now).await {
        Err(PlanError::Nothing(Nothing::At { nearest, .. } | Nothing::Kept { nearest, .. })) => {
            nearest.before.or(nearest.after)
        }
        // From as early as that nothing is left out.
        Err(PlanError::Nothing(Nothing::Before { .. })) => return Ok(None),
        planned => return Ok(Some(planned?)),
    };
    let Some(point) = nearest else { return Ok(None) };
    Ok(Some(survey.plan(Target::Txid(point.txid), now).await?))
}

type Kept = (Vec<HorizonState>, Vec<HorizonObject>);

/// What the source's horizon keeps from `txid` on.
fn kept_from(horizon: Option<&Horizon>, txid: Txid) -> Kept {
    let Some(horizon) = horizon else { return (Vec::new(), Vec::new()) };
    let HorizonContents { states, objects, .. } = &horizon.contents;
    let (mut kept, mut named, mut places) = (Vec::new(), Vec::new(), BTreeMap::new());
    for state in states.iter().filter(|state| state.txid >= txid) {
        let mut state = state.clone();
        for at in &mut state.path {
            let Some(object) = usize::try_from(*at).ok().and_then(|at| objects.get(at)) else {
                continue;
            };
            *at = *places.entry(object.name).or_insert_with(|| {
                named.push(object.clone());
                u32::try_from(named.len() - 1).unwrap_or(u32::MAX)
            });
        }
        kept.push(state);
    }
    (kept, named)
}

/// The state of a snapshot in the window, and everything after it.
async fn alone(
    survey: &mut Survey,
    txid: Txid,
    now: Timestamp,
) -> Result<(Txid, Vec<HorizonState>, Vec<HorizonObject>), CopyError> {
    let nothing = (Txid::FIRST, Vec::new(), Vec::new());
    let state = survey.plan(Target::Txid(txid), now).await?.stop.state;
    // What a plan for its own entry takes may be older: nothing vouches for it yet at that point.
    let snapshots = &survey.known().listing().snapshots;
    let snapshot = snapshots.iter().find(|object| object.key == Key::Snapshot(txid)).copied();
    let Some(snapshot) = snapshot else { return Ok(nothing) };
    let fetched = survey.index(snapshot).await.map_err(CopyError::Source)?;
    let footer = fetched.index.footer();
    if (footer.chain, footer.digest) != (state.chain, state.digest) {
        return Ok(nothing);
    }
    let object = HorizonObject::new(snapshot.key, snapshot.size, &footer.root);
    let until = survey.time_after(txid).await?.unwrap_or(state.time());
    let why = vec!["the copy begins here".to_owned()];
    Ok((txid.next(), vec![HorizonState::new(&state, until, why, vec![0])], vec![object]))
}

/// What a copy with this horizon needs.
#[derive(Debug)]
pub(crate) struct Part {
    window: Txid,
    named: BTreeSet<Key>,
    states: BTreeSet<Txid>,
    /// The first segment that reaches into the window.
    segment: Option<Key>,
}

impl Part {
    pub(crate) fn of(horizon: &Horizon, listing: &Listing) -> Part {
        Part {
            window: horizon.window,
            named: horizon.contents.objects.iter().map(|object| object.name).collect(),
            states: horizon.contents.states.iter().map(|state| state.txid).collect(),
            segment: listing.segment_of(horizon.window).map(|object| object.key),
        }
    }

    /// Whether the copy needs the object.
    pub(crate) fn needs(&self, object: Object) -> bool {
        self.named.contains(&object.key)
            || match object.key {
                // The claim proves the manifest.
                Key::Log(first) => {
                    first == Txid::FIRST || first >= self.window || Some(object.key) == self.segment
                }
                Key::Pack { last, .. } => last >= self.window,
                Key::Delta { first, .. } => first >= self.window,
                Key::Snapshot(txid) => txid >= self.window,
                Key::Mark { txid, .. } => txid >= self.window || self.states.contains(&txid),
                Key::Wrapped { .. } => true,
                Key::Manifest | Key::Horizon(_) => false,
            }
    }
}
