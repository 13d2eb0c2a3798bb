//! An entry that somebody knows from elsewhere, by the chain after it: the one proof that a history was not rewritten as a
//! whole, because whoever may write to the store can make one of their own from the beginning.

use std::fmt;
use std::str::FromStr;

use ebbtide_replica::{Chain, Txid};
use ebbtide_store::Object;

use crate::known::Known;
use crate::piece::IndexState;
use crate::plan::Plan;
use crate::plan_error::{PlanError, Result};
use crate::survey::Survey;
use crate::target::Notice;
use crate::walk::Walk;

/// A chain, and the entry after which it must be the history's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The chain.
    pub chain: Chain,
    /// The entry. If it is not known, any entry may have the chain.
    pub txid: Option<Txid>,
}

impl FromStr for Anchor {
    type Err = String;

    /// `HEX`, or `HEX@TXID`.
    fn from_str(text: &str) -> Result<Anchor, String> {
        let (chain, txid) = match text.split_once('@') {
            Some((chain, txid)) => (chain, Some(txid)),
            None => (text, None),
        };
        let chain = chain.parse().map_err(|error| format!("{error}"))?;
        let txid = txid.map(str::parse).transpose().map_err(|error| format!("{error}"))?;
        Ok(Anchor { chain, txid })
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.txid {
            Some(txid) => write!(f, "{}@{txid}", self.chain),
            None => self.chain.fmt(f),
        }
    }
}

/// What to do next.
#[derive(Debug)]
enum AnchorStep {
    /// Read the indexes of these objects, for these states.
    Read(Vec<Object>, Vec<Txid>),
    /// The one history has both.
    Sound,
    /// It has not.
    Refuse(String),
}

/// Proves that the state that `plan` leads to and the anchor are of one history.
pub async fn hold_to(survey: &mut Survey, plan: &Plan, anchor: &Anchor) -> Result<()> {
    let weak =
        |notice: &&Notice| matches!(notice, Notice::DigestOnly { .. } | Notice::Unvouched { .. });
    if let Some(notice) = plan.notices.iter().find(weak) {
        return Err(PlanError::Unexpected { why: notice.to_string() });
    }
    let txid = match anchor.txid {
        Some(txid) => txid,
        None => survey.find_chain(anchor.chain).await?,
    };
    loop {
        match step(survey.known(), &plan.stop, txid, anchor.chain) {
            AnchorStep::Sound => return Ok(()),
            AnchorStep::Read(objects, points) => survey.read(objects, points).await?,
            AnchorStep::Refuse(_) if survey.list_the_rest().await? => {}
            AnchorStep::Refuse(why) => return Err(PlanError::Unexpected { why }),
        }
    }
}

fn step(known: &Known, stop: &IndexState, txid: Txid, chain: Chain) -> AnchorStep {
    let (oldest, newest) = (stop.state.txid().min(txid), stop.state.txid().max(txid));
    let mut walk = Walk::new(known, newest);
    let walked = walk.extend(oldest);
    let found = walked.is_ok().then(|| (walk.witness(oldest), walk.newest(newest)));
    if !walk.unread.is_empty() {
        return AnchorStep::Read(walk.unread, walk.unknown);
    }
    let chain_at = |wanted: Txid| {
        let (low, high) = found.as_ref()?;
        if wanted == newest { *high } else { low.as_ref().map(|low| low.chain()) }
    };
    let ends_before = || format!("the replica does not have the history up to txid {txid}");
    match (chain_at(stop.state.txid()), chain_at(txid)) {
        (Some(at_stop), Some(there)) if at_stop == stop.state.chain && there == chain => {
            AnchorStep::Sound
        }
        (Some(at_stop), Some(there)) if at_stop == stop.state.chain => AnchorStep::Refuse(format!(
            "the chain after txid {txid} is {there}: its history was rewritten, or is another one"
        )),
        (Some(_), Some(_)) => {
            AnchorStep::Refuse("the state that was planned is of another history".to_owned())
        }
        _ => AnchorStep::Refuse(ends_before()),
    }
}
