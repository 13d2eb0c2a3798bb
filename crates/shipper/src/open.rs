//! The last step of a start: acts on what was found in the replica, as it was decided. Each function is one way to go
//! on, and the only ones that change local files.

use ebbtide_state::{Origin, Position, State};

use crate::create::Creator;
use crate::error::{Error, ReplicaOwner};
use crate::evidence::{HeadRelation, Refusal, ReplicaEvidence};
use crate::look::{EmptyPlace, Found, FoundPlace, FoundReplica};
use crate::replay::Unconfirmed;
use crate::shipper::Shipper;
use crate::unverified::UnverifiedReplica;

impl Found {
    /// Creates a replica in an empty place.
    ///
    /// # Errors
    /// [`Error::Changed`] if the place is not empty.
    pub fn create(self) -> Result<Creator, Error> {
        let FoundPlace::Empty(place) = self.place else {
            return Err(Error::UNEXPECTED);
        };
        let EmptyPlace { to, local, identity, head, .. } = *place;
        if let (Some(known), ReplicaEvidence::Empty { is_known_here: true, .. }) =
            (&self.known, self.evidence.replica)
        {
            tracing::warn!(store = to.store.describe(), replica = %known.replica, txid = %known.state.txid(), "the replica that was here is gone; beginning another");
        }
        let manifest = identity.map(|identity| identity.manifest);
        Ok(Creator::new(to, local, manifest, head))
    }

    /// Continues with the local state, and with the spool if it continues the replica. Otherwise the spool is cleared.
    ///
    /// # Errors
    /// When the local state or the spool cannot be written.
    pub async fn resume(self) -> Result<Shipper, Error> {
        let relation = self.head_relation();
        let mut found = self.replica()?;
        let Some(mut state) = found.state.take() else { return Err(Error::UNEXPECTED) };
        found.tidy_spool(relation == HeadRelation::Same).await?;
        let (head, spooled) = (found.head.state, std::mem::take(&mut found.spooled));
        if relation == HeadRelation::ClaimsSince {
            let wal = state.position().wal;
            state.commit(Position { wal, ..found.position() }, &[])?;
        }
        let mut shipper = found.context.shipper(state, found.spool);
        shipper.resume_spool(spooled.continuing, head.txid())?;
        Ok(shipper)
    }

    /// Continues with the local state, to which the commits are replayed that the replica has beyond it.
    ///
    /// # Errors
    /// As [`Found::resume`].
    pub async fn replay(mut self) -> Result<(Shipper, Unconfirmed), Error> {
        let found = self.replica_mut()?;
        let (Some(since), Some(state)) = (found.since.take(), &found.state) else {
            return Err(Error::UNEXPECTED);
        };
        let known = state.position().state.chain;
        let unconfirmed = Unconfirmed::new(since.commits, known, found.position(), since.carried);
        Ok((self.resume().await?, unconfirmed))
    }

    /// Reads the page hashes of the replica's last entry from the replica. The spool is cleared: it continues another
    /// state.
    ///
    /// # Errors
    /// When the replica cannot be read, or the local state cannot be written.
    pub async fn rebuild(self) -> Result<Shipper, Error> {
        let mut found = self.replica()?;
        found.tidy_spool(false).await?;
        let fill = match found.state.take() {
            Some(state) => state.refill()?,
            None => State::create(&found.context.directory)?,
        };
        let (store, manifest) = (&*found.context.to.store, &found.context.manifest);
        ebbtide_catalog::rebuild_table(store, manifest, &found.head, &fill).await?;
        let state = State::publish(fill, found.position())?;
        Ok(found.context.shipper(state, found.spool))
    }

    /// Reads the page hashes into a temporary directory, to find out whether the replica is the database's own.
    ///
    /// # Errors
    /// When the replica cannot be read.
    pub async fn verify(self) -> Result<UnverifiedReplica, Error> {
        let found = self.replica()?;
        let position = found.position();
        UnverifiedReplica::read(found.context, &found.head, position).await
    }

    /// The error for a start that is refused.
    #[must_use]
    pub fn refuse(self, refusal: Refusal) -> Error {
        let place = match &self.place {
            FoundPlace::Empty(place) => place.to.store.describe(),
            FoundPlace::Replica(found) => found.context.to.store.describe(),
        };
        match (refusal, self.place, self.known) {
            (Refusal::NoLog, FoundPlace::Empty(empty), _) => match empty.leftover {
                Some(object) => Error::NoLog { place, object },
                None => Error::UNEXPECTED,
            },
            (Refusal::Gone, _, Some(known)) => gone(&place, &known),
            (Refusal::PageSize, FoundPlace::Replica(found), _) => {
                let replica = found.context.manifest.page_size;
                Error::PageSize { replica, database: found.page_size }
            }
            (Refusal::Copy, FoundPlace::Replica(found), _) => found.refuse_copy(&place),
            (Refusal::RolledBack, FoundPlace::Replica(found), Some(known)) => {
                Error::RolledBack(format!(
                    "the replica ends at txid {}, before txid {} that it had confirmed: it was rolled back or is another \
                     copy. Give the database a replica of its own, and keep this one for what it holds",
                    found.head.state.txid(),
                    known.state.txid()
                ))
            }
            (Refusal::Overwritten, _, Some(known)) => Error::RolledBack(format!(
                "the replica's txid {} is not the one that was confirmed: it was overwritten or is another copy. Give \
                 the database a replica of its own, and keep this one for what it holds",
                known.state.txid()
            )),
            (Refusal::Behind, FoundPlace::Replica(found), Some(known)) => Error::Behind {
                head: found.head.state.txid(),
                known: known.state.txid(),
                after_gap: found.since.as_ref().and_then(|since| since.after_gap),
                owner: ReplicaOwner(found.since.and_then(|since| since.claim).map(Box::new)),
            },
            _ => Error::UNEXPECTED,
        }
    }

    fn head_relation(&self) -> HeadRelation {
        match self.evidence.replica {
            ReplicaEvidence::Known(known) => known.head,
            ReplicaEvidence::Empty { .. } | ReplicaEvidence::Unknown => HeadRelation::Unread,
        }
    }

    fn replica(self) -> Result<FoundReplica, Error> {
        match self.place {
            FoundPlace::Replica(found) => Ok(*found),
            FoundPlace::Empty(_) => Err(Error::UNEXPECTED),
        }
    }

    fn replica_mut(&mut self) -> Result<&mut FoundReplica, Error> {
        match &mut self.place {
            FoundPlace::Replica(found) => Ok(found),
            FoundPlace::Empty(_) => Err(Error::UNEXPECTED),
        }
    }
}

impl FoundReplica {
    /// Removes what does not continue the replica from the spool.
    async fn tidy_spool(&mut self, keeps: bool) -> Result<(), Error> {
        if keeps {
            return self.spool.keep(&self.spooled).await;
        }
        if !self.spooled.continuing.is_empty() {
            tracing::warn!("what was spooled does not continue the replica; comparing instead");
            self.spooled.continuing.clear();
        }
        self.spool.clear().await
    }

    /// The position of the replica's last entry, as the local state holds it.
    fn position(&self) -> Position {
        let context = &self.context;
        Position {
            replica: context.manifest.replica,
            location: context.to.store.address(),
            page_size: context.manifest.page_size,
            state: self.head.state,
            wal: None,
            database: context.database,
            origin: Origin::Followed,
        }
    }

    fn refuse_copy(&self, place: &str) -> Error {
        let original = self.original.as_deref().unwrap_or("another file");
        let this = self.context.file.as_ref().map_or("another one", |file| &file.path);
        Error::Unrelated(format!(
            "the replica in {place} belongs to {original}, which still exists on this host, and this is {this}, a copy of \
             it or another database. Give it a replica of its own; if it is to replace {original}, say so with --adopt"
        ))
    }
}

fn gone(place: &str, known: &Position) -> Error {
    Error::Gone {
        why: format!(
            "the replica {} is not in {place} any more, where it had reached txid {} of {}: is a disk not mounted, or \
             was the bucket emptied? Mount it or bring the objects back, and start again; give the database another \
             place; or begin another replica there with --begin-anew",
            known.replica,
            known.state.txid(),
            known.state.time()
        ),
    }
}
