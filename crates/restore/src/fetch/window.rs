//! The part of an object that has come in and is still needed.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};

/// Pieces that are smaller are gathered: each has its own cost in memory, and a link may give a few bytes at a time.
const GATHERED: usize = 16 * 1024;

/// Consecutive bytes of an object, in the pieces in which they came in: who needs them block by block saves a copy of
/// nearly all of them.
#[derive(Debug)]
pub(crate) struct Window {
    /// Where in the object the first of them is.
    start: u64,
    /// Where the next one will be.
    end: u64,
    pieces: VecDeque<Bytes>,
    /// Small pieces that come after the others.
    small: BytesMut,
}

impl Window {
    /// Nothing yet; the first byte will be the one at `start`.
    pub(crate) fn new(start: u64) -> Window {
        Window { start, end: start, pieces: VecDeque::new(), small: BytesMut::new() }
    }

    /// Where the next byte will be.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.end += piece.len() as u64;
        if piece.len() < GATHERED {
            self.small.extend_from_slice(&piece);
        }
        if !self.small.is_empty() && (piece.len() >= GATHERED || self.small.len() >= GATHERED) {
            self.pieces.push_back(self.small.split().freeze());
        }
        if piece.len() >= GATHERED {
            self.pieces.push_back(piece);
        }
    }

    /// Gives up what lies before `start`.
    pub(crate) fn leave(&mut self, start: u64) {
        let mut leave = start.clamp(self.start, self.end) - self.start;
        self.start += leave;
        while let Some(piece) = self.pieces.front_mut() {
            if leave < piece.len() as u64 {
                break;
            }
            leave -= piece.len() as u64;
            self.pieces.pop_front();
        }
        let leave = usize::try_from(leave).unwrap_or(usize::MAX);
        match self.pieces.front_mut() {
            Some(piece) => piece.advance(leave),
            None => self.small.advance(leave),
        }
    }

    /// These bytes of the object, put together in `scratch` only if they did not come in one piece; nothing if they are
    /// not all there.
    pub(crate) fn slice<'a>(
        &'a self,
        range: Range<u64>,
        scratch: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        if range.start < self.start || range.start > range.end || range.end > self.end {
            return None;
        }
        let mut skipped = usize::try_from(range.start - self.start).ok()?;
        let wanted = usize::try_from(range.end - range.start).ok()?;
        let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([&self.small[..]]);
        scratch.clear();
        for piece in pieces {
            let Some(rest) = piece.get(skipped..) else {
                skipped -= piece.len();
                continue;
            };
            skipped = 0;
            let missing = wanted - scratch.len();
            match rest.get(..missing) {
                Some(whole) if scratch.is_empty() => return Some(whole),
                Some(last) => {
                    scratch.extend_from_slice(last);
                    return Some(scratch);
                }
                None => scratch.extend_from_slice(rest),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(count: usize) -> Bytes {
        (0..=250).cycle().take(count).collect::<Vec<u8>>().into()
    }

    #[test]
    fn every_range_reads_as_in_one_piece_wherever_the_pieces_end() {
        const LARGE: usize = GATHERED;
        let sizes = [1, LARGE, 5, 7, LARGE - 1, 3, LARGE + 9, LARGE - 1, 9, 2];
        let whole = bytes(sizes.iter().sum());
        let (mut window, mut at) = (Window::new(1000), 0);
        let mut ends = vec![0, 1];
        for size in sizes {
            window.push(whole.slice(at..at + size));
            at += size;
            ends.extend([at - 1, at, at + 1]);
            assert_eq!(window.end(), 1000 + at as u64);
        }
        assert_eq!(window.pieces.len(), 6);
        for left in ends.clone() {
            window.leave(1000 + left as u64);
            let left = left.min(whole.len()).max(usize::try_from(window.start).unwrap() - 1000);
            let mut scratch = Vec::new();
            for (&start, &end) in ends.iter().flat_map(|a| ends.iter().map(move |b| (a, b))) {
                let slice = window.slice(1000 + start as u64..1000 + end as u64, &mut scratch);
                let expected = (start >= left).then(|| whole.get(start..end)).flatten();
                assert_eq!(slice, expected, "{start}..{end} from {left}");
            }
        }
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn what_came_in_one_piece_is_not_copied() {
        let whole = bytes(4 * GATHERED);
        let mut window = Window::new(0);
        window.push(whole.slice(..2 * GATHERED));
        window.push(whole.slice(2 * GATHERED..));
        let mut scratch = Vec::new();
        let range = 3 * GATHERED as u64..4 * GATHERED as u64;
        assert_eq!(
            window.slice(range, &mut scratch).unwrap().as_ptr(),
            whole[3 * GATHERED..].as_ptr()
        );
        assert_eq!(scratch.capacity(), 0);
    }

    #[test]
    fn bytes_that_trickle_in_take_hardly_more_memory_than_they_are() {
        let mut window = Window::new(0);
        for _ in 0..100_000 {
            window.push(Bytes::from_static(b"x"));
        }
        assert_eq!(window.pieces.len(), 100_000 / GATHERED);
    }
}
