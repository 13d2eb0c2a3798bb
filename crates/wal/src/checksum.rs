//! The log's checksum: two sums over 32-bit words, each fed by the other, carried from frame to frame
//! (fileformat2.html, 4.2).

/// How the words of a log are read for its checksum: the byte order of the machine that began it. The stored
/// checksums themselves are always big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Magic `0x377f0682`.
    Little,
    /// Magic `0x377f0683`.
    Big,
}

impl ByteOrder {
    /// The order of the machine this runs on, in which the wal-index is written.
    pub const NATIVE: ByteOrder =
        if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };
}

/// The running value: of a log's header, or of everything up to and including one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Checksum {
    /// The first sum.
    pub s0: u32,
    /// The second sum.
    pub s1: u32,
}

impl Checksum {
    /// The value after `bytes` more, which are taken in whole pairs of words; what is left over (fewer than eight
    /// bytes) does not count. SQLite only ever sums multiples of eight.
    #[must_use]
    pub fn extend(self, order: ByteOrder, bytes: &[u8]) -> Checksum {
        let (pairs, _) = bytes.as_chunks::<8>();
        match order {
            ByteOrder::Little => self.extend_pairs(pairs, u32::from_le_bytes),
            ByteOrder::Big => self.extend_pairs(pairs, u32::from_be_bytes),
        }
    }

    #[inline(always)]
    fn extend_pairs(self, pairs: &[[u8; 8]], word: impl Fn([u8; 4]) -> u32) -> Checksum {
        let Checksum { mut s0, mut s1 } = self;
        for &[a, b, c, d, e, f, g, h] in pairs {
            // The sum just computed is added last, so that each pair costs two additions in a row and no more.
            s0 = s0.wrapping_add(word([a, b, c, d])).wrapping_add(s1);
            s1 = s1.wrapping_add(word([e, f, g, h])).wrapping_add(s0);
        }
        Checksum { s0, s1 }
    }

    /// As it is stored in a log: big-endian.
    #[must_use]
    pub fn from_stored(bytes: [u8; 8]) -> Checksum {
        let [a, b, c, d, e, f, g, h] = bytes;
        Checksum { s0: u32::from_be_bytes([a, b, c, d]), s1: u32::from_be_bytes([e, f, g, h]) }
    }

    /// As it is stored in a log: big-endian.
    #[must_use]
    pub fn to_stored(self) -> [u8; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.s0.to_be_bytes(), self.s1.to_be_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_sum_the_words_they_name() {
        let bytes = [1, 0, 0, 0, 0, 0, 0, 2];
        let little = Checksum::default().extend(ByteOrder::Little, &bytes);
        assert_eq!(little, Checksum { s0: 1, s1: 0x0200_0001 });
        let big = Checksum::default().extend(ByteOrder::Big, &bytes);
        assert_eq!(big, Checksum { s0: 0x0100_0000, s1: 0x0100_0002 });
    }

    #[test]
    fn a_chain_in_pieces_is_the_chain_in_one() {
        let bytes: Vec<u8> = (0..4096u32).map(|n| (n * 7 % 251) as u8).collect();
        let whole = Checksum::default().extend(ByteOrder::Little, &bytes);
        let pieces = bytes
            .chunks(24)
            .fold(Checksum::default(), |sum, piece| sum.extend(ByteOrder::Little, piece));
        assert_eq!(whole, pieces);
        assert_eq!(Checksum::from_stored(whole.to_stored()), whole);
    }
}
