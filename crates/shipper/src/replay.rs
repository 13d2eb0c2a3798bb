//! Replays commits that the replica has and the local state does not, to update the page hashes.

use ebbtide_fault::point;
use ebbtide_replica::{Chain, content_of};
use ebbtide_state::Position;

use crate::comparison::KnownPages as _;
use crate::error::Error;
use crate::pages::Pages;
use crate::shipper::Shipper;

/// Commits that the replica has and the local state does not. They come next in the log.
#[derive(Debug, Clone)]
pub struct Unconfirmed {
    /// The number of commits that are not replayed yet.
    commits: u64,
    /// The position after all of them.
    position: Position,
    /// The hash chain over their contents, as the replica has them…
    expected: Chain,
    /// …and over those that were replayed.
    replayed: Chain,
}

impl Unconfirmed {
    /// `commits` commits after an entry with the chain `known`, which end at `position`. `expected` is the hash chain over
    /// their contents.
    pub(crate) fn new(
        commits: u64,
        known: Chain,
        position: Position,
        expected: Chain,
    ) -> Unconfirmed {
        Unconfirmed { commits, position, expected, replayed: known }
    }

    /// The number of commits that are not replayed yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.commits
    }

    /// Replays the next commit.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn replay<E: From<Error>>(
        &mut self,
        shipper: &mut Shipper,
        database_pages: u32,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        let changed = shipper.replay(database_pages, each_page)?;
        let content = content_of(changed.iter().map(|&(_, hash)| hash));
        self.replayed = carried_after(self.replayed, database_pages, &content);
        self.commits = self.commits.saturating_sub(1);
        Ok(())
    }

    /// Ends the replay. If the commits were the replica's, page by page, capturing continues at `wal`; if not, open the
    /// replica again without the local state.
    ///
    /// # Errors
    /// When the local state cannot be written.
    pub fn confirm(
        &self,
        shipper: &mut Shipper,
        wal: ebbtide_wal::Position,
    ) -> Result<bool, Error> {
        let there = &self.position;
        let is_same = self.replayed == self.expected
            && (shipper.digest(), shipper.database_pages())
                == (there.state.digest, there.state.database_pages);
        if is_same {
            point("shipper.replay.adopted");
            shipper.move_to(Position { wal: Some(wal), ..there.clone() })?;
        }
        Ok(is_same)
    }
}

/// The hash chain over entry contents after one more entry. `before` is the chain before it.
pub(crate) fn carried_after(before: Chain, database_pages: u32, content: &[u8; 32]) -> Chain {
    before.next(content, &database_pages.to_le_bytes(), b"")
}
