//! Makes the map of a plan: the loop of a restore that notes where images lie instead of asking for them.

use bytes::Bytes;
use ebbtide_catalog::{Fetched, HashList, Part, Plan, Survey, Wanted, read_ahead, wanted_blocks};
use ebbtide_replica::container::Index;
use ebbtide_replica::{Digest, Key, PageHash};
use futures::{StreamExt as _, stream};

use crate::block_rows::BlockRows;
use crate::error::Stopped;
use crate::fetch::Blocks;
use crate::layer::{Layer, ListedHashes};
use crate::map::{Map, MappedObject, Spot};
use crate::proof::Proof;

/// How many indexes are read ahead.
const INDEXES_AHEAD: usize = 64;

/// An entry of its own object with so many pages needs no place for each of them.
const LAYER_PAGES_MIN: u32 = 1024;

/// A map in the making.
struct Draft<'a> {
    survey: &'a Survey,
    blocks: &'a Blocks,
    proof: Proof,
    wanted: Wanted,
    objects: Vec<MappedObject>,
    spots: Vec<(Spot, Option<PageHash>)>,
    layers: Vec<Layer>,
    digest: Digest,
}

/// The map of the state that `plan` leads to. With [`Proof::Page`], the hashes of all its pages are proved.
pub(crate) async fn build(
    survey: &Survey,
    plan: &Plan,
    proof: Proof,
    blocks: &Blocks,
) -> Result<Map, Stopped> {
    let state = plan.stop.state;
    let page_size = survey.manifest().page_size;
    let wanted = Wanted::new(state.database_pages, page_size);
    let (objects, spots, layers, digest) = (Vec::new(), Vec::new(), Vec::new(), Digest::EMPTY);
    let mut draft = Draft { survey, blocks, proof, wanted, objects, spots, layers, digest };
    let parts = stream::iter(plan.newest_first());
    let read = |part: Part| async move {
        let ahead = survey.index_ahead(part.object).await;
        let hashes = match &ahead.fetched {
            Some(fetched) if proof == Proof::Page => {
                read_ahead(&**survey.store(), part.object.key, fetched).await
            }
            _ => Vec::new(),
        };
        (part, ahead, hashes)
    };
    let mut parts = parts.map(read).buffered(INDEXES_AHEAD);
    while draft.wanted.left() > 0
        && let Some((part, ahead, hashes)) = parts.next().await
    {
        let key = part.object.key;
        let fetched = survey.index_of(ahead).await;
        let fetched = fetched.map_err(|error| Stopped::by_index(key, error))?;
        draft.add(&part, &fetched, hashes).await?;
        draft.wanted.leave(&part, &fetched.index);
    }
    let base = plan.objects().next().map_or(Key::Log(state.txid()), |object| object.key);
    let because = |why: &str| {
        Err(Stopped::Damaged(base, format!("the pages from there on {why} entry {}", state.txid())))
    };
    match draft.wanted.left() {
        0 if proof == Proof::Page && draft.digest != state.digest => {
            because("do not add up to the digest of")
        }
        0 => Ok(Map::new(draft.objects, draft.spots, draft.layers)),
        _ => because("are not all of the database after"),
    }
}

impl Draft<'_> {
    async fn add(
        &mut self,
        part: &Part,
        fetched: &Fetched,
        hashes: Vec<Bytes>,
    ) -> Result<(), Stopped> {
        if is_layer(part.object.key, &fetched.index) {
            return self.add_layer(part, fetched, hashes).await;
        }
        let key = part.object.key;
        let index = &fetched.index;
        let object = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        let mut list = HashList::new(&**self.survey.store(), key, fetched, hashes);
        let mut used = false;
        for wanted in wanted_blocks(index, part, &mut self.wanted) {
            used = true;
            let number = index.page_blocks().partition_point(|b| b.offset < wanted.block.offset);
            let expected = match self.proof {
                Proof::Block => None,
                Proof::Page => {
                    let expected = list.expected(std::iter::once(&wanted.block)).await;
                    Some(expected.map_err(|error| Stopped::by_index(key, error))?)
                }
            };
            for run in &wanted.runs {
                let listed = expected.as_ref().map(|expected| {
                    expected.hashes(run.ordinal, u64::from(run.count)).copied().collect::<Vec<_>>()
                });
                for at in 0..run.count {
                    let hash = listed.as_ref().and_then(|listed| listed.get(at as usize)).copied();
                    self.digest = hash.map_or(self.digest, |hash| self.digest.toggle(hash));
                    let spot = Spot {
                        page: run.first.get() + at,
                        object,
                        block: u32::try_from(number).unwrap_or(u32::MAX),
                        slot: u16::try_from(run.slot + at).unwrap_or(u16::MAX),
                    };
                    self.spots.push((spot, hash));
                }
            }
        }
        if used {
            if self.proof == Proof::Page {
                list.finish().await.map_err(|error| Stopped::by_index(key, error))?;
            }
            self.push(key, fetched);
        }
        Ok(())
    }

    async fn add_layer(
        &mut self,
        part: &Part,
        fetched: &Fetched,
        hashes: Vec<Bytes>,
    ) -> Result<(), Stopped> {
        let (key, index) = (part.object.key, &fetched.index);
        self.wanted.leave(part, index);
        let object = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        let mut layer = Layer::new(object, index, self.wanted.limit());
        let before = self.wanted.left();
        if self.proof == Proof::Block {
            let runs = index.entries().iter().flat_map(|entry| &entry.runs);
            runs.for_each(|run| {
                self.wanted.take_run(*run);
            });
        } else {
            let mut list = HashList::new(&**self.survey.store(), key, fetched, hashes);
            for wanted in wanted_blocks(index, part, &mut self.wanted) {
                let expected = list.expected(std::iter::once(&wanted.block)).await;
                let expected = expected.map_err(|error| Stopped::by_index(key, error))?;
                for run in &wanted.runs {
                    let hashes = expected.hashes(run.ordinal, u64::from(run.count)).copied();
                    self.digest = hashes.fold(self.digest, Digest::toggle);
                }
            }
            if self.wanted.left() < before {
                let proved = list.finish().await.map_err(|error| Stopped::by_index(key, error))?;
                layer.hashes = Some(ListedHashes { blocks: index.hash_blocks().to_vec(), proved });
            }
        }
        if self.wanted.left() < before {
            self.layers.push(layer);
            self.push(key, fetched);
        }
        Ok(())
    }

    fn push(&mut self, key: Key, fetched: &Fetched) {
        if let Some(body) = &fetched.body {
            self.blocks.cache().put_body(self.blocks.source(), key, body.clone());
        }
        self.blocks.open_with(key, &self.survey.opener(&fetched.index));
        let blocks = BlockRows::new(fetched.index.page_blocks(), self.survey.manifest().page_size);
        self.objects.push(MappedObject { key, blocks });
    }
}

/// Whether the pages of an object are found without a place for each.
fn is_layer(key: Key, index: &Index) -> bool {
    let is_state = matches!(key, Key::Snapshot(_) | Key::Delta { .. });
    match index.entries() {
        [entry] => (is_state || entry.page_count >= LAYER_PAGES_MIN) && !index.is_by_page(),
        _ => false,
    }
}
