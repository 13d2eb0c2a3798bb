//! Where the images of an object lie that has them in the order of the pages.

use std::sync::OnceLock;

use ebbtide_wal::PageNumber;

use crate::Entry;

/// The order of the images. It follows from the entries, and is put together once somebody asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Order(OnceLock<Vec<Place>>);

/// The image of a page, and how many images belong to entries before it and to lesser pages of its own.
pub(super) type Place = (PageNumber, u32);

impl Order {
    /// All images as they lie in the blocks; there are at most
    /// [`BY_PAGE_IMAGES_MAX`](super::limits::BY_PAGE_IMAGES_MAX).
    pub(super) fn places(&self, entries: &[Entry]) -> &[Place] {
        self.0.get_or_init(|| {
            let pages = entries.iter().flat_map(|entry| &entry.runs).flat_map(|run| run.pages());
            let mut places: Vec<Place> = pages.zip(0..).collect();
            places.sort_unstable();
            places
        })
    }
}
