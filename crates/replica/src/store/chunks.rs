//! Bytes of an object in the pieces in which they came in.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Pieces that are smaller are gathered: each has its own cost in memory, and a link may give a few bytes at a time.
const GATHERED: usize = 16 * 1024;

/// A part of an object, not yet put together: who needs it block by block saves a copy of nearly all of it.
#[derive(Debug, Clone, Default)]
pub struct Chunks {
    chunks: Vec<Bytes>,
    /// How many bytes there are up to the end of each.
    ends: Vec<usize>,
}

impl Chunks {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.ends.push(self.len() + chunk.len());
            self.chunks.push(chunk);
        }
    }

    /// These bytes, put together in `scratch` only if they did not come in one piece; nothing if they are not all there.
    #[must_use]
    pub fn slice<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let first = self.ends.partition_point(|&end| end <= range.start);
        let Some(chunk) = self.chunks.get(first) else { return Some(&[]) };
        let begin = range.start - (self.ends[first] - chunk.len());
        let wanted = range.end - range.start;
        if let Some(whole) = chunk.get(begin..begin + wanted) {
            return Some(whole);
        }
        scratch.clear();
        scratch.extend_from_slice(&chunk[begin..]);
        for chunk in &self.chunks[first + 1..] {
            let missing = wanted - scratch.len();
            scratch.extend_from_slice(&chunk[..missing.min(chunk.len())]);
            if scratch.len() == wanted {
                break;
            }
        }
        Some(scratch)
    }

    /// All of them in one piece.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.chunks.len() <= 1 {
            return self.chunks.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for chunk in self.chunks {
            whole.extend_from_slice(&chunk);
        }
        whole.freeze()
    }
}

/// Chunks on their way.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    chunks: Chunks,
    /// Small pieces that come after the last chunk.
    small: BytesMut,
}

impl Gathering {
    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.chunks.len() + self.small.len()
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() < GATHERED {
            self.small.extend_from_slice(&piece);
        }
        if piece.len() >= GATHERED || self.small.len() >= GATHERED {
            self.chunks.push(self.small.split().freeze());
        }
        if piece.len() >= GATHERED {
            self.chunks.push(piece);
        }
    }

    /// The whole.
    pub(super) fn finish(mut self) -> Chunks {
        self.chunks.push(self.small.freeze());
        self.chunks
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Chunks {
        let mut chunks = Chunks::default();
        chunks.push(bytes);
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_reads_as_in_one_piece() {
        let whole: Vec<u8> = (0..20).collect();
        for cuts in [vec![], vec![0, 0, 20], vec![1, 2, 3, 10], vec![7, 13], vec![19]] {
            let mut chunks = Chunks::default();
            let mut start = 0;
            for end in cuts.into_iter().chain([whole.len()]) {
                chunks.push(Bytes::copy_from_slice(&whole[start..end]));
                start = end;
            }
            assert_eq!(chunks.len(), whole.len());
            let mut scratch = Vec::new();
            for (start, end) in (0..=21).flat_map(|start| (0..=21).map(move |end| (start, end))) {
                let slice = chunks.slice(start..end, &mut scratch);
                assert_eq!(slice, whole.get(start..end), "{start}..{end}");
            }
            assert_eq!(chunks.into_bytes(), whole);
        }
    }

    #[test]
    fn what_came_in_one_piece_is_not_copied() {
        let bytes = Bytes::from_static(b"0123456789");
        let mut chunks = Chunks::from(bytes.slice(..5));
        chunks.push(bytes.slice(5..));
        let mut scratch = Vec::new();
        assert_eq!(chunks.slice(6..9, &mut scratch), Some(&bytes[6..9]));
        assert_eq!(scratch.capacity(), 0);
        assert_eq!(Chunks::from(bytes.clone()).into_bytes().as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn small_pieces_are_gathered_and_large_ones_kept() {
        let sizes = [1, GATHERED, 5, 7, GATHERED - 1, 3, GATHERED * 3, GATHERED - 1, 9];
        let whole: Vec<u8> = (0..=250).cycle().take(sizes.iter().sum()).collect();
        let bytes = Bytes::from(whole.clone());
        let (mut gathering, mut at) = (Gathering::default(), 0);
        for size in sizes {
            gathering.push(bytes.slice(at..at + size));
            at += size;
            assert_eq!(gathering.len(), at);
        }
        let chunks = gathering.finish();
        assert_eq!(chunks.chunks.len(), 6);
        assert_eq!(chunks.chunks[1].as_ptr(), bytes[1..].as_ptr());
        assert_eq!(chunks.into_bytes(), whole);
    }

    #[test]
    fn bytes_that_trickle_in_take_hardly_more_memory_than_they_are() {
        let mut gathering = Gathering::default();
        for _ in 0..100_000 {
            gathering.push(Bytes::from_static(b"x"));
        }
        assert_eq!(gathering.finish().chunks.len(), 100_000usize.div_ceil(GATHERED));
    }
}
