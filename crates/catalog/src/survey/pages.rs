//! Plans whose pages are going to be read: their keys are at hand before the first is asked for.

use std::collections::BTreeSet;

use ebbtide_replica::container::{Index, Opener};
use ebbtide_replica::{Key, Timestamp};
use ebbtide_seal::{KeyId, KeyUse};
use ebbtide_store::{KeyError, keys_at_hand, open_key};
use futures::{StreamExt as _, stream};

use super::Survey;
use crate::piece::Piece;
use crate::plan::Plan;
use crate::plan_error::{PlanError, Result};
use crate::target::Target;

/// How many keys are asked for at once.
const KEYS_AT_ONCE: usize = 16;

impl Survey {
    /// As [`Survey::plan`], for who reads the pages: the keys that they are under are at hand then. Objects whose key is not
    /// to be had are planned around.
    ///
    /// # Errors
    /// Also if there is no identity to open keys with, or it cannot be used.
    pub async fn plan_to_read(&mut self, target: Target, now: Timestamp) -> Result<Plan> {
        loop {
            let plan = self.plan(target, now).await?;
            if self.open_page_keys(&plan).await? {
                return Ok(plan);
            }
        }
    }

    /// What opens the blocks of an object, with the keys that are at hand by now.
    #[must_use]
    pub fn opener(&self, index: &Index) -> Opener {
        index.opener().with(&keys_at_hand(&**self.store()))
    }

    /// Asks for the page keys of a plan, each once and all together. If some are not to be had, their objects are set
    /// aside, and the plan is no use.
    async fn open_page_keys(&mut self, plan: &Plan) -> Result<bool> {
        let keys = plan.objects().filter_map(|object| self.known.piece(object.key)?.page_key);
        let keys: BTreeSet<KeyId> = keys.collect();
        let (store, replica) = (self.store(), self.manifest().replica);
        let open = |id: KeyId| async move {
            (id, open_key(&**store, replica, id, KeyUse::Pages).await.err())
        };
        let opened = stream::iter(keys).map(open).buffer_unordered(KEYS_AT_ONCE);
        let opened: Vec<(KeyId, Option<KeyError>)> = opened.collect().await;
        let mut is_open = true;
        for (id, error) in opened {
            match error {
                None => {}
                Some(
                    error @ (KeyError::Foreign { .. }
                    | KeyError::Missing { .. }
                    | KeyError::Damaged { .. }
                    | KeyError::Stray { .. }),
                ) => {
                    if !self.lock_out(id, &error) {
                        return Err(PlanError::from(error));
                    }
                    is_open = false;
                }
                Some(error) => return Err(PlanError::from(error)),
            }
        }
        Ok(is_open)
    }

    /// Excludes what is known to have its pages under a key; whether there is anything.
    fn lock_out(&mut self, id: KeyId, error: &KeyError) -> bool {
        let objects = self.known.listing().objects().map(|object| object.key);
        let under = |&key: &Key| self.known.piece(key).is_some_and(|it| it.page_key == Some(id));
        let objects: Vec<Key> = objects.filter(under).collect();
        let pieces = || objects.iter().filter_map(|key| self.known.piece(*key));
        let first = pieces().map(|piece| piece.first_time).min();
        let last = pieces().filter_map(Piece::end).map(|end| end.state.time()).max();
        let (Some(first), Some(last)) = (first, last) else { return false };
        let count = objects.len();
        let objects_are = if count == 1 { "object" } else { "objects" };
        let why = format!("{error} (pages of {count} {objects_are}, {first} to {last})");
        for key in objects {
            self.exclude(key, why.clone());
        }
        true
    }
}
