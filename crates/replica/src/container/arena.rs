//! Memory for many small things that are all given up at once: in large pieces, which go back to the system, where small
//! ones would leave holes.

/// A piece has so many bytes, or as many as a single thing needs.
const PIECE_BYTES: usize = 1024 * 1024;

/// Bytes that stay where they are until all are given up.
#[derive(Default)]
pub(super) struct Arena {
    pieces: Vec<Vec<u8>>,
}

/// Where some bytes are.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    piece: usize,
    start: usize,
    end: usize,
}

impl Arena {
    /// Puts in both parts, one after the other.
    pub(super) fn put(&mut self, parts: [&[u8]; 2]) -> Extent {
        let length = parts[0].len() + parts[1].len();
        let fits = self.pieces.last().is_some_and(|piece| PIECE_BYTES - piece.len() >= length);
        if !fits {
            self.pieces.push(Vec::with_capacity(PIECE_BYTES.max(length)));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let start = piece.len();
        parts.iter().for_each(|part| piece.extend_from_slice(part));
        Extent { piece: number, start, end: piece.len() }
    }

    pub(super) fn get(&self, extent: Extent) -> &[u8] {
        &self.pieces[extent.piece][extent.start..extent.end]
    }

    /// Puts other bytes in the place of as many.
    pub(super) fn replace(&mut self, extent: Extent, bytes: &[u8]) {
        self.pieces[extent.piece][extent.start..extent.end].copy_from_slice(bytes);
    }

    /// How many bytes are in.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }
}
