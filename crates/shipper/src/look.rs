//! The first step of a start: reads what the replica, the local state and the spool have, and changes nothing.

use std::sync::Arc;

use ebbtide_catalog::{self, Head, Identity};
use ebbtide_fault::point;
use ebbtide_replica::{Digest, Key, KeyPrefix};
use ebbtide_seal::Keys;
use ebbtide_state::{Origin, Position, State, index_keys};
use ebbtide_store::{KeyedStore, Keyring, Store, same_place};

use crate::context::OpenContext;
use crate::copied::original_of;
use crate::destination::Destination;
use crate::encryption::Encryption;
use crate::error::Error;
use crate::evidence::{Evidence, HeadRelation, KnownEvidence, ReplicaEvidence, Restored};
use crate::local::Local;
use crate::newest::newest_claim;
use crate::options::Options;
use crate::since::{Since, has_entry, read_since};
use crate::spool::Spool;
use crate::spooled::SpooledSegments;
use crate::store_health::StoreHealth;

/// Operations that are refused unless the user asks for them on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consent {
    /// Write into a replica that is not shown to be the database's own.
    pub adopt: bool,
    /// Continue from the database's state, although the replica has later entries. They become a fork.
    pub take_back: bool,
    /// Create another replica where the known one is missing.
    pub begin_anew: bool,
}

/// A replica as it was found, with what is needed to act on it.
#[derive(Debug)]
pub struct Found {
    pub(crate) evidence: Evidence,
    /// The durable position of the local state, whichever replica it is of.
    pub(crate) known: Option<Position>,
    pub(crate) place: FoundPlace,
}

/// The place of a replica.
#[derive(Debug)]
pub(crate) enum FoundPlace {
    /// Without an entry that has a state.
    Empty(Box<EmptyPlace>),
    /// With a history.
    Replica(Box<FoundReplica>),
}

/// A place without a state of the database. A manifest may be there, and an entry that has no pages.
#[derive(Debug)]
pub(crate) struct EmptyPlace {
    pub(crate) to: Destination,
    pub(crate) local: Local,
    pub(crate) identity: Option<Identity>,
    pub(crate) head: Option<Head>,
    /// A snapshot or delta.
    pub(crate) leftover: Option<Key>,
}

/// A replica with a history.
#[derive(Debug)]
pub(crate) struct FoundReplica {
    pub(crate) context: OpenContext,
    pub(crate) head: Head,
    /// The local state, if it is of this replica and its page hashes add up.
    pub(crate) state: Option<State>,
    pub(crate) spool: Spool,
    pub(crate) spooled: SpooledSegments,
    pub(crate) since: Option<Since>,
    /// The file that this one is a copy of.
    pub(crate) original: Option<String>,
    pub(crate) page_size: ebbtide_wal::PageSize,
}

impl Found {
    /// What is known.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The log position up to which all commits are in the replica or in the spool, if it is known.
    #[must_use]
    pub fn log_position(&self) -> Option<ebbtide_wal::Position> {
        let FoundPlace::Replica(found) = &self.place else { return None };
        match (found.spooled.continuing.last(), self.evidence.replica) {
            (
                Some(last),
                ReplicaEvidence::Known(KnownEvidence { head: HeadRelation::Same, .. }),
            ) => last.position.wal,
            _ => found.state.as_ref()?.position().wal,
        }
    }
}

/// Looks at the replica in `store`. Writes nothing, neither into the replica nor into local files. `consent` only saves
/// reads that the decision does not depend on.
///
/// # Errors
/// When the replica or the local state cannot be read.
pub async fn look(
    store: Arc<dyn Store>,
    health: Arc<StoreHealth>,
    local: Local,
    options: &Options,
    consent: Consent,
) -> Result<Found, Error> {
    let known = local.state.as_ref().map(State::position).or(local.remembered.as_ref()).cloned();
    let keys: Keys = index_keys(&local.directory)?.into_iter().collect();
    let keyring = Arc::new(Keyring::new(keys.clone(), None));
    let store: Arc<dyn Store> = Arc::new(KeyedStore::new(store, keyring));
    let identity =
        ebbtide_catalog::identify(&*store, known.as_ref().map(|known| known.replica)).await?;
    let encryption = match &identity {
        Some(Identity { manifest, .. }) => {
            let (wrap, place) = (options.wrap.as_ref(), store.describe());
            Encryption::of(manifest, wrap, &keys, &local.directory, place)?
        }
        None => None,
    };
    let head = match &identity {
        Some(Identity { manifest, .. }) => ebbtide_catalog::head(&*store, manifest).await?,
        None => None,
    };
    let has_state =
        |head: &Head| head.state.database_pages != 0 || head.state.digest != Digest::EMPTY;
    let to = Destination::new(store, health).encrypted(encryption);
    let found = match (identity, head) {
        (Some(identity), Some(head)) if has_state(&head) => {
            look_at_replica(to, local, known, identity, head, options, consent).await?
        }
        (identity, head) => look_at_empty(to, local, known, identity, head).await?,
    };
    point("shipper.attach.read");
    Ok(found)
}

/// A place without a state of the database.
async fn look_at_empty(
    to: Destination,
    local: Local,
    known: Option<Position>,
    identity: Option<Identity>,
    head: Option<Head>,
) -> Result<Found, Error> {
    let place = to.store.address();
    let is_known_here = known.as_ref().is_some_and(|known| {
        let same = identity.as_ref().is_some_and(|there| there.manifest.replica == known.replica);
        same || same_place(&known.location, &place)
    });
    let leftover = match head.is_none() && identity.is_some() {
        true => {
            let snapshots = to.store.list_some(KeyPrefix::Snapshot, None, 1).await?;
            let deltas = to.store.list_some(KeyPrefix::Delta, None, 1).await?;
            snapshots.first().or(deltas.first()).map(|object| object.key)
        }
        false => None,
    };
    let has_leftovers = leftover.is_some();
    let replica = ReplicaEvidence::Empty { is_known_here, has_leftovers };
    let evidence = Evidence { replica, page_size_differs: false, is_copy: false };
    let place = EmptyPlace { to, local, identity, head, leftover };
    Ok(Found { evidence, known, place: FoundPlace::Empty(Box::new(place)) })
}

/// A replica with a history.
async fn look_at_replica(
    to: Destination,
    local: Local,
    known: Option<Position>,
    identity: Identity,
    head: Head,
    options: &Options,
    consent: Consent,
) -> Result<Found, Error> {
    let Identity { manifest, is_stored } = identity;
    let of_replica = known.as_ref().filter(|known| known.replica == manifest.replica);
    let page_size_differs = manifest.page_size != local.page_size;
    let has_moved = of_replica.is_some_and(|known| !is_same_file(known, &local));
    let original = match has_moved && !page_size_differs && !consent.may_move() {
        true => {
            let claim = newest_claim(&*to.store, &manifest).await?;
            original_of(claim.as_ref(), &local.host, local.file.as_ref(), &local.directory)
        }
        false => None,
    };
    let Local { state, directory, database, file, page_size, .. } = local;
    let state = state.filter(|state| state.position().replica == manifest.replica);
    let options = options.clone();
    let context = OpenContext { to, options, directory, database, file, manifest, is_stored };
    let spool = context.spool()?;
    let mut found = FoundReplica {
        context,
        head,
        state,
        spool,
        spooled: SpooledSegments::default(),
        since: None,
        original,
        page_size,
    };
    let replica = match of_replica {
        None => ReplicaEvidence::Unknown,
        Some(known) => {
            let is_refused = page_size_differs || found.original.is_some();
            ReplicaEvidence::Known(found.compare(known, consent, is_refused).await?)
        }
    };
    let is_copy = found.original.is_some();
    let evidence = Evidence { replica, page_size_differs, is_copy };
    Ok(Found { evidence, known, place: FoundPlace::Replica(Box::new(found)) })
}

impl Consent {
    /// Whether a copy of the database may take its replica over.
    #[must_use]
    pub fn may_move(self) -> bool {
        self.adopt || self.take_back
    }
}

impl KnownEvidence {
    /// Whether the database continues from an earlier state on purpose.
    #[must_use]
    pub fn is_set_back(&self, consent: Consent) -> bool {
        consent.take_back || self.restored.is_some_and(|restored| restored.is_head_unchanged)
    }
}

impl FoundReplica {
    /// Compares the replica with the durable position `known` of the local state. If the start is refused in any case,
    /// the log since then is not read.
    async fn compare(
        &mut self,
        known: &Position,
        consent: Consent,
        is_refused: bool,
    ) -> Result<KnownEvidence, Error> {
        let store = Arc::clone(&self.context.to.store);
        let head = self.head;
        let restored = match known.origin {
            Origin::Followed => None,
            Origin::Restored { head: then } => {
                Some(Restored { to: known.state, is_head_unchanged: then == head.state.txid() })
            }
        };
        let has_base = self.context.is_stored
            || !store.list_some(KeyPrefix::Snapshot, None, 1).await?.is_empty();
        let mut evidence = KnownEvidence {
            has_base,
            has_entry: has_base,
            head: HeadRelation::Unread,
            has_page_hashes: self.state.is_some(),
            spool_continues: false,
            restored,
        };
        if is_refused || !(has_base || consent.begin_anew) {
            return Ok(evidence);
        }
        if self.state.is_some() {
            self.spooled = self.spool.find_continuing(&self.context.manifest, known).await?;
        }
        let is_meant = evidence.is_set_back(consent);
        evidence.head = match self.spooled.has(&head.state) {
            true => HeadRelation::Same,
            false => self.relation(known, is_meant).await?,
        };
        evidence.spool_continues =
            evidence.head == HeadRelation::Same && !self.spooled.continuing.is_empty();
        let ends_before =
            matches!(evidence.head, HeadRelation::EndsEarlier | HeadRelation::Overwritten);
        if !consent.begin_anew && !ends_before {
            evidence.has_entry = has_entry(&*store, &self.context.manifest, known, &head).await?;
        }
        Ok(evidence)
    }

    /// How the replica's last entry relates to `known`. If an earlier state is meant, and the pages differ, what is in
    /// between does not matter.
    async fn relation(&mut self, known: &Position, is_meant: bool) -> Result<HeadRelation, Error> {
        let (head, known_state) = (&self.head.state, &known.state);
        if known_state.txid() > head.txid() {
            return Ok(HeadRelation::EndsEarlier);
        }
        if known_state.txid() == head.txid() {
            let is_same = known_state.chain == head.chain;
            return Ok(if is_same { HeadRelation::Same } else { HeadRelation::Overwritten });
        }
        if is_meant && known_state.digest != head.digest {
            return Ok(HeadRelation::Unread);
        }
        let since =
            read_since(&*self.context.to.store, &self.context.manifest, known_state).await?;
        let relation = since.relation(known_state, head);
        self.since = Some(since);
        Ok(relation)
    }
}

/// Whether the file is the one that was followed last, or was restored by ebbtide. A copy of the file and a file that
/// replaced it have another inode.
fn is_same_file(known: &Position, local: &Local) -> bool {
    if matches!(known.origin, Origin::Restored { .. }) {
        return true;
    }
    let (Some(known), Some(now)) = (known.database, local.database) else { return true };
    known.may_be(now)
}
