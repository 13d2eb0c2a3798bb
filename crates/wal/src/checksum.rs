//! The log's checksum: two sums over 32-bit words, each fed by the other, carried from frame to frame
//! (fileformat2.html, 4.2).

/// The byte order in which the checksum reads the words of a log: that of the machine that created the log. The stored
/// checksums themselves are always big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Magic `0x377f0682`.
    Little,
    /// Magic `0x377f0683`.
    Big,
}

impl ByteOrder {
    /// The byte order of this machine, and of its wal-index.
    pub const NATIVE: ByteOrder =
        if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };
}

/// The running checksum: of a log's header, or of all bytes up to the end of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Checksum {
    /// The first sum.
    pub s0: u32,
    /// The second sum.
    pub s1: u32,
}

impl Checksum {
    /// The checksum after `bytes` more, in whole pairs of words; fewer than eight bytes at the end are ignored. SQLite
    /// sums only multiples of eight bytes.
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
            // The sum of the line before is added last, so that each pair has two dependent additions only.
            s0 = s0.wrapping_add(word([a, b, c, d])).wrapping_add(s1);
            s1 = s1.wrapping_add(word([e, f, g, h])).wrapping_add(s0);
        }
        Checksum { s0, s1 }
    }

    /// Reads the big-endian form of a log.
    #[must_use]
    pub fn from_stored(bytes: [u8; 8]) -> Checksum {
        let [a, b, c, d, e, f, g, h] = bytes;
        Checksum { s0: u32::from_be_bytes([a, b, c, d]), s1: u32::from_be_bytes([e, f, g, h]) }
    }

    /// The big-endian form of a log.
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
