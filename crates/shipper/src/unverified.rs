//! A replica with history, opened for a database without local state of it. The replica is the database's own if its
//! last claim names the database's file, or if most pages are equal. Until ownership is verified nothing is put into
//! the replica, and the local state stays unchanged: it may belong to the replica that the user meant.

use std::sync::Arc;

use ebbtide_catalog::{self, Head};
use ebbtide_replica::{Claim, Digest, Manifest, PageHash, Txid};
use ebbtide_state::{Position, State};
use ebbtide_store::Store;
use ebbtide_wal::{PageNumber, PageSize};
use tempfile::TempDir;

use crate::comparison::{Difference, KnownPages};
use crate::context::OpenContext;
use crate::error::Error;
use crate::newest::newest_claim;
use crate::shipper::Shipper;

/// How many page hashes are copied with one call.
const HASHES_PER_WRITE: u32 = 65_536;

/// A replica whose ownership is not verified, with its page hashes in a temporary directory.
#[derive(Debug)]
pub struct UnverifiedReplica {
    context: OpenContext,
    state: State,
    claim: Option<Claim>,
    _directory: TempDir,
}

impl UnverifiedReplica {
    /// Reads the page hashes and the last claim of the replica.
    pub(crate) async fn read(
        context: OpenContext,
        head: &Head,
        position: Position,
    ) -> Result<UnverifiedReplica, Error> {
        let directory = tempfile::tempdir().map_err(|source| Error::System {
            doing: "make a directory for temporary files",
            source,
        })?;
        let fill = State::create(directory.path())?;
        let (store, manifest) = (&*context.to.store, &context.manifest);
        ebbtide_catalog::rebuild_table(store, manifest, head, &fill).await?;
        let claim = newest_claim(store, manifest).await?;
        Ok(UnverifiedReplica {
            state: State::publish(fill, position)?,
            context,
            claim,
            _directory: directory,
        })
    }

    /// The last entry of the replica.
    #[must_use]
    pub fn head(&self) -> Txid {
        self.state.position().state.txid()
    }

    /// The manifest of the replica.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.context.manifest
    }

    /// The store of the replica.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.context.to.store
    }

    /// Whether the last claim names the database's file, or more than half of the pages are equal.
    #[must_use]
    pub fn is_own(&self, host: &str, found: &Difference) -> bool {
        let same_file = self.claim.as_ref().is_some_and(|claim| {
            let claimed = claim.database.as_deref();
            claim.host == host && claimed.is_some() && claimed == self.context.file.as_ref()
        });
        same_file || same_pages(found) * 2 > u64::from(found.database_pages)
    }

    /// The error for a replica that is not the database's own.
    #[must_use]
    pub fn refuse(&self, found: &Difference) -> Error {
        let there = self.state.position();
        let bytes = |pages: u32| u64::from(pages) * there.page_size.offset();
        let holds = match &self.claim {
            Some(Claim { host, database: Some(file), .. }) => format!("{} of {host}", file.path),
            Some(claim) => format!("a database of {}", claim.host),
            None => "another database".to_owned(),
        };
        let file = self.context.file.as_ref();
        let this = file.map_or("another one", |file| &file.path);
        Error::Unrelated(format!(
            "the replica in {} holds {holds} ({} bytes, last written {}), and this is {this} ({} bytes), which has {} of \
             {} pages in common with it. Give it a replica of its own; if it is the same database all the same, say so \
             with --adopt",
            there.location,
            bytes(there.state.database_pages),
            there.state.time(),
            bytes(found.database_pages),
            same_pages(found),
            found.database_pages,
        ))
    }

    /// Accepts the replica as the database's own: writes the page hashes into the local state.
    ///
    /// # Errors
    /// When the local state or the spool cannot be written.
    pub async fn accept(self) -> Result<Shipper, Error> {
        let UnverifiedReplica { context, state, .. } = self;
        let mut spool = context.spool()?;
        spool.clear().await?;
        let fill = State::create(&context.directory)?;
        let position = state.position().clone();
        let mut first = PageNumber::ONE;
        while first.get() <= position.state.database_pages {
            let count = HASHES_PER_WRITE.min(position.state.database_pages - first.get() + 1);
            fill.set(first, &state.pages(first, count)?)?;
            let Some(next) = PageNumber::new(first.get().saturating_add(count)) else { break };
            first = next;
        }
        Ok(context.shipper(State::publish(fill, position)?, spool))
    }
}

impl KnownPages for UnverifiedReplica {
    fn page_size(&self) -> PageSize {
        self.state.position().page_size
    }

    fn database_pages(&self) -> u32 {
        self.state.position().state.database_pages
    }

    fn digest(&self) -> Digest {
        self.state.position().state.digest
    }

    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error> {
        Ok(self.state.pages(first, count)?)
    }
}

fn same_pages(found: &Difference) -> u64 {
    u64::from(found.database_pages).saturating_sub(found.count)
}
