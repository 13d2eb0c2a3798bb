//! Proves slices of a large object: its index, all its hashes, and of its images those in the slices.

use std::ops::Range;
use std::sync::Arc;

use ebbtide_catalog::{CatalogError, Fetched, Hashes};
use ebbtide_replica::container::Block;
use ebbtide_replica::{Error, PageHash};
use ebbtide_store::Object;
use futures::{StreamExt as _, stream};

use super::{Checker, RANGES_AHEAD, page_chunks, ranges, verdict};
use crate::error::Result;
use crate::verify::share::SLICE_BYTES;

impl Checker<'_> {
    /// How many pages and how many bytes were read, or what is wrong with the object.
    pub(in crate::verify) async fn check_slices(
        &self,
        object: Object,
        slices: &[u64],
    ) -> Result<Result<(u64, u64), String>> {
        let read = match self.survey.index(object).await {
            Ok(fetched) => self.check_some(object, fetched, slices).await,
            Err(error) => Err(error),
        };
        verdict(read)
    }

    async fn check_some(
        &self,
        object: Object,
        fetched: Arc<Fetched>,
        slices: &[u64],
    ) -> Result<(u64, u64), CatalogError> {
        let opener = self.opener(object, &fetched.index).await?;
        let is_open = opener.is_some();
        let blocks = fetched.index.page_blocks();
        let chosen = slices.iter().flat_map(|&at| pieces(blocks, at)).collect();
        let chosen = page_chunks(blocks, chosen);
        let read: u64 =
            chosen.iter().flat_map(|chunk| &blocks[chunk.pages.clone()]).map(length).sum();
        let object_is_damaged = |source| CatalogError::Object { key: object.key, source };
        let damaged = |why| CatalogError::Object {
            key: object.key,
            source: Error::damaged("the pages", why),
        };
        let (fetched, opener) = (&fetched, &opener);
        let mut images = stream::iter(chosen)
            .map(|chunk| async move {
                let pages = &blocks[chunk.pages.clone()];
                let first = pages.first().map_or(0, |block| block.first);
                let (start, fetched) = (chunk.bytes.start, Arc::clone(fetched));
                let hashed = self.hash_pages(object, fetched, opener.clone(), chunk).await?;
                if !is_open {
                    check_crcs(pages, start, &hashed.bytes).map_err(object_is_damaged)?;
                }
                let hashes = hashed.hashes;
                Ok::<_, CatalogError>((first..).zip(hashes).collect::<Vec<(u64, PageHash)>>())
            })
            .buffered(RANGES_AHEAD);
        let mut hashes = Hashes::new(&**self.survey.store(), object.key, fetched);
        let (mut piece, mut pages) = (Vec::new().into_iter().peekable(), 0);
        let mut ordinal = 0;
        while let Some(run) = hashes.next().await? {
            for listed in run.hashes {
                if piece.peek().is_none()
                    && let Some(next) = images.next().await
                {
                    piece = next?.into_iter().peekable();
                }
                if let Some((_, hash)) = piece.next_if(|(at, _)| *at == ordinal) {
                    if hash != *listed {
                        return Err(damaged("an image is not the one whose hash is listed"));
                    }
                    pages += 1;
                }
                ordinal += 1;
            }
        }
        // Without what opens them, nothing but their checksums is known of the images.
        while !is_open && let Some(checked) = images.next().await {
            checked?;
        }
        match piece.peek().is_some() || images.next().await.is_some() {
            true => Err(damaged("there are more images than hashes")),
            false => Ok((pages, read + fetched.index.footer().index_length)),
        }
    }
}

/// Images that cannot be opened are those that the index speaks of.
fn check_crcs(blocks: &[Block], start: u64, bytes: &[u8]) -> Result<(), Error> {
    for block in blocks {
        let begin = usize::try_from(block.offset - start).unwrap_or(usize::MAX);
        let stored = bytes.get(begin..begin.saturating_add(block.stored_len as usize));
        block.check_stored(stored.unwrap_or_default())?;
    }
    Ok(())
}

fn length(block: &Block) -> u64 {
    u64::from(block.stored_len)
}

/// The blocks that begin in a slice, in ranges that are read at once.
fn pieces(blocks: &[Block], slice: u64) -> Vec<Range<usize>> {
    let from = |slice: u64| {
        let offset = slice.saturating_mul(SLICE_BYTES);
        blocks.partition_point(|block| block.offset < offset)
    };
    let (begin, end) = (from(slice), from(slice.saturating_add(1)));
    let pieces = ranges(&blocks[begin..end]).into_iter();
    pieces.map(|piece| begin + piece.start..begin + piece.end).collect()
}
