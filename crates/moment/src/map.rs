//! Where the newest image of each page lies.

use ebbtide_replica::container::Block;
use ebbtide_replica::{Key, PageHash};

use crate::block_rows::BlockRows;
use crate::layer::Layer;

/// The place of every page of one state, but for the lock page.
#[derive(Debug)]
pub(crate) struct Map {
    objects: Vec<MappedObject>,
    /// Pages of objects with many entries, ascending, each once.
    spots: Vec<Spot>,
    /// The hashes of those pages, if they were proved.
    hashes: Vec<PageHash>,
    /// Objects with one entry, the newest first. A page of none of the spots is in the first of them that has it.
    layers: Vec<Layer>,
}

/// An object that the state has pages from.
#[derive(Debug)]
pub(crate) struct MappedObject {
    pub(crate) key: Key,
    pub(crate) blocks: BlockRows,
}

/// Where one page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) page: u32,
    /// The object, as an index into those of the map.
    pub(crate) object: u32,
    /// Its block, by its number.
    pub(crate) block: u32,
    /// How many pages of the block lie before it.
    pub(crate) slot: u16,
}

const _: () = assert!(size_of::<Spot>() == 16);

/// A place with all that reading it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The object, as an index into those of the map…
    pub(crate) object: u32,
    /// …and by its name.
    pub(crate) key: Key,
    /// The number of the block.
    pub(crate) number: usize,
    pub(crate) block: Block,
    /// How many pages of the block lie before it.
    pub(crate) slot: usize,
    pub(crate) hash: Listed,
}

/// How the hash is known that a page must have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Listed {
    /// This is it, if anything was proved.
    Here(Option<PageHash>),
    /// It is in the list of this layer, with so many before it.
    InLayer {
        /// The layer, as an index.
        layer: usize,
        /// How many pages the object has before it.
        position: u64,
    },
}

impl Map {
    /// A map with these places; `spots` in any order, each with its hash if they were proved.
    pub(crate) fn new(
        objects: Vec<MappedObject>,
        mut spots: Vec<(Spot, Option<PageHash>)>,
        layers: Vec<Layer>,
    ) -> Map {
        spots.sort_unstable_by_key(|(spot, _)| spot.page);
        let hashes = spots.iter().filter_map(|(_, hash)| *hash).collect();
        let spots = spots.into_iter().map(|(spot, _)| spot).collect();
        Map { objects, spots, hashes, layers }
    }

    /// Where a page lies.
    pub(crate) fn place(&self, page: u32) -> Option<Place> {
        if let Ok(at) = self.spots.binary_search_by_key(&page, |spot| spot.page) {
            let spot = self.spots[at];
            let object = self.objects.get(spot.object as usize)?;
            let number = spot.block as usize;
            let block = object.blocks.get(number)?;
            let hash = Listed::Here(self.hashes.get(at).copied());
            let slot = usize::from(spot.slot);
            return Some(Place { object: spot.object, key: object.key, number, block, slot, hash });
        }
        let positions = self.layers.iter().enumerate();
        let mut positions =
            positions.filter_map(|(layer, rows)| Some((layer, rows.position(page)?)));
        let (layer, position) = positions.next()?;
        let number = self.layers[layer].object;
        let object = self.objects.get(number as usize)?;
        let (block_number, block) = object.blocks.find(position)?;
        let slot = usize::try_from(position - block.first).ok()?;
        let hash = Listed::InLayer { layer, position };
        Some(Place { object: number, key: object.key, number: block_number, block, slot, hash })
    }

    /// An object by its number.
    pub(crate) fn object(&self, object: u32) -> Option<&MappedObject> {
        self.objects.get(object as usize)
    }

    /// A layer by its number, and its object.
    pub(crate) fn layer(&self, layer: usize) -> Option<(&Layer, Key)> {
        let layer = self.layers.get(layer)?;
        Some((layer, self.object(layer.object)?.key))
    }
}
