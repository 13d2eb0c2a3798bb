//! A database of which nothing is known here, and a replica that has a history: whether the one is the other's is shown by
//! the last claim, which says what file was followed, or by the pages. Until it is shown, nothing is claimed and the local
//! state stays what it was: it may be that of the replica that was meant.

use std::pin::pin;

use ebbtide_catalog::{self, Head};
use ebbtide_replica::{Claim, Manifest, PageHash, Txid};
use ebbtide_state::{Position, State};
use ebbtide_store::Store;
use ebbtide_wal::{PageNumber, PageSize};
use futures::TryStreamExt as _;
use tempfile::TempDir;

use crate::attach::Ground;
use crate::claim::last_claim;
use crate::error::Error;
use crate::image::{Difference, KnownPages};
use crate::older::{find_older, newest_objects};
use crate::shipper::Shipper;

/// So many of the newest objects are searched for a claim.
const OBJECTS_SEARCHED: usize = 4096;

/// Page hashes are copied so many at once.
const HASHES_AT_ONCE: u32 = 65_536;

/// A replica with a history, and page hashes of its end in a folder that goes with this.
#[derive(Debug)]
pub struct Stranger {
    ground: Ground,
    state: State,
    claim: Option<Claim>,
    _folder: TempDir,
}

impl Stranger {
    /// Reads the end of the replica.
    pub(crate) async fn read(
        ground: Ground,
        head: &Head,
        position: Position,
    ) -> Result<Stranger, Error> {
        let folder = tempfile::tempdir().map_err(|source| Error::System {
            doing: "make a directory for temporary files",
            source,
        })?;
        let fill = State::create(folder.path())?;
        let (store, manifest) = (&*ground.store, &ground.manifest);
        ebbtide_catalog::rebuild_table(store, manifest, head, &fill).await?;
        let claim = newest_claim(store, manifest).await?;
        Ok(Stranger { state: fill.publish(position)?, ground, claim, _folder: folder })
    }

    /// Whether the database is in the state of the replica's last entry.
    #[must_use]
    pub fn is_state(&self, found: &Difference) -> bool {
        // Page by page, because pages can be made up that add up to any digest.
        let there = self.state.position();
        found.count == 0
            && (there.digest, there.database_pages) == (found.digest, found.database_pages)
    }

    /// The last entry of the replica.
    #[must_use]
    pub fn head(&self) -> Txid {
        self.state.position().txid
    }

    /// As [`Shipper::find_older`].
    ///
    /// # Errors
    /// When the replica cannot be read.
    pub async fn find_older(
        &self,
        found: &Difference,
        objects_max: usize,
    ) -> Result<Option<Txid>, Error> {
        find_older(&*self.ground.store, &self.ground.manifest, found, objects_max).await
    }

    /// Whether the last claim is of this very file, or most of the database's pages are the replica's.
    #[must_use]
    pub fn is_own(&self, host: &str, found: &Difference) -> bool {
        let same_file = self.claim.as_ref().is_some_and(|claim| {
            let claimed = claim.database.as_deref();
            claim.host == host && claimed.is_some() && claimed == self.ground.file.as_ref()
        });
        same_file || same_pages(found) * 2 > u64::from(found.database_pages)
    }

    /// Why it is refused.
    #[must_use]
    pub fn refuse(&self, found: &Difference) -> Error {
        let there = self.state.position();
        let bytes = |pages: u32| u64::from(pages) * there.page_size.offset();
        let holds = match &self.claim {
            Some(Claim { host, database: Some(file), .. }) => format!("{} of {host}", file.path),
            Some(claim) => format!("a database of {}", claim.host),
            None => "another database".to_owned(),
        };
        let file = self.ground.file.as_ref();
        let this = file.map_or("another one", |file| &file.path);
        Error::Unrelated(format!(
            "the replica in {} holds {holds} ({} bytes, last written {}), and this is {this} ({} bytes), which has {} of \
             {} pages in common with it. Give it a replica of its own; if it is the same database all the same, say so \
             with --adopt",
            there.location,
            bytes(there.database_pages),
            there.time,
            bytes(found.database_pages),
            same_pages(found),
            found.database_pages,
        ))
    }

    /// Makes the replica this database's: the page hashes go into its local state.
    ///
    /// # Errors
    /// When the local state or the spool cannot be written.
    pub async fn accept(self) -> Result<Shipper, Error> {
        let Stranger { ground, state, .. } = self;
        let mut spool = ground.spool()?;
        spool.clear().await?;
        let fill = State::create(&ground.folder)?;
        let position = state.position().clone();
        let mut first = PageNumber::ONE;
        while first.get() <= position.database_pages {
            let count = HASHES_AT_ONCE.min(position.database_pages - first.get() + 1);
            fill.set(first, &state.pages(first, count)?)?;
            let Some(next) = PageNumber::new(first.get().saturating_add(count)) else { break };
            first = next;
        }
        Ok(ground.shipper(fill.publish(position)?, spool))
    }
}

impl KnownPages for Stranger {
    fn page_size(&self) -> PageSize {
        self.state.position().page_size
    }

    fn database_pages(&self) -> u32 {
        self.state.position().database_pages
    }

    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error> {
        Ok(self.state.pages(first, count)?)
    }
}

fn same_pages(found: &Difference) -> u64 {
    u64::from(found.database_pages).saturating_sub(found.count)
}

/// The newest claim of a replica, if there is one among its newest objects.
pub(crate) async fn newest_claim(
    store: &dyn Store,
    manifest: &Manifest,
) -> Result<Option<Claim>, Error> {
    let newest_first = newest_objects(store, OBJECTS_SEARCHED).await?;
    let mut indexes = pin!(ebbtide_catalog::read_indexes(store, manifest, newest_first));
    loop {
        match indexes.try_next().await {
            Ok(Some((_, fetched))) => {
                if let Some(claim) = last_claim(&fetched.index) {
                    return Ok(Some(claim));
                }
            }
            Ok(None) => return Ok(None),
            // Those that cannot be read are found by whoever needs them.
            Err(error) if error.is_about_object() => {}
            Err(error) => return Err(error.into()),
        }
    }
}
