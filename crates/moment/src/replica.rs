//! A replica that is read: one look at it and one cache for all its moments.

use std::sync::Arc;

use ebbtide_catalog::{Anchor, IndexCache, Progress, Survey};
use ebbtide_replica::Manifest;
use ebbtide_store::Store;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};

use crate::block_cache::BlockCache;
use crate::error::{Result, Stopped};
use crate::fetch::Blocks;
use crate::metered::{Metered, Traffic};

/// How a replica is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// Blocks, shared with other replicas of this process; [`Options::default`] makes 64 MiB for this one alone.
    pub cache: Arc<BlockCache>,
    /// What the history must be, as somebody knows it from elsewhere.
    pub expect: Option<Anchor>,
    /// Indexes on the local disk, so that a second look reads only what is new.
    pub indexes: Option<Arc<IndexCache>>,
}

impl Options {
    /// What the cache of blocks has by default.
    pub const CACHE_BYTES: usize = 128 * 1024 * 1024;
}

impl Default for Options {
    fn default() -> Options {
        Options { cache: BlockCache::new(Options::CACHE_BYTES), expect: None, indexes: None }
    }
}

/// A replica, of which moments are read. Clones are the same.
#[derive(Debug, Clone)]
pub struct Replica {
    shared: Arc<ReplicaParts>,
}

#[derive(Debug)]
struct ReplicaParts {
    store: Arc<Metered>,
    blocks: Blocks,
    expect: Option<Anchor>,
    manifest: Manifest,
    /// What is known of it; planning changes that.
    survey: Mutex<Survey>,
}

impl Replica {
    /// Looks at the replica that lies in a store: what it is, and the names of its objects.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn open(store: Arc<dyn Store>, options: Options) -> Result<Replica> {
        let Options { cache, expect, indexes } = options;
        let store = Arc::new(Metered::new(store));
        let progress = Arc::new(Progress::default());
        let mut survey = Survey::recent(Arc::clone(&store) as Arc<dyn Store>, progress).await?;
        if let Some(indexes) = indexes {
            survey.keep_indexes(indexes);
        }
        let blocks = Blocks::new(Arc::clone(&store) as Arc<dyn Store>, cache);
        let manifest = survey.manifest().clone();
        let survey = Mutex::new(survey);
        Ok(Replica { shared: Arc::new(ReplicaParts { store, blocks, expect, manifest, survey }) })
    }

    /// What the replica is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// Whether the other is a clone of this one, so that both have the same history.
    #[must_use]
    pub fn is_same(&self, other: &Replica) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// What was asked of the store until now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.store.traffic()
    }

    /// The runtime that it was opened in, by which blocks are fetched.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        self.shared.blocks.runtime()
    }

    /// Who has it may look further, and plan.
    pub async fn survey(&self) -> MutexGuard<'_, Survey> {
        self.shared.survey.lock().await
    }

    pub(crate) fn expect(&self) -> Option<&Anchor> {
        self.shared.expect.as_ref()
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.shared.blocks
    }
}

/// Plans without an object from now on. Anything else is an error.
pub(crate) async fn turn_down(survey: &mut Survey, stopped: Stopped) -> Result<()> {
    match stopped {
        Stopped::Gone(key) => survey.miss(key),
        Stopped::Damaged(key, why) => survey.reject(key, why).await,
        Stopped::Failed(error) => return Err(error),
    }
    Ok(())
}
