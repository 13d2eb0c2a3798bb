//! Which part of a replica is read on which day.

use std::fmt;
use std::str::FromStr;

use ebbtide_replica::{Key, ReplicaId};

/// The largest part of an object that is read on one day, in bytes. A larger object is read on several days.
pub(super) const SLICE_BYTES: u64 = 16 << 20;

/// A share of all bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    numerator: u32,
    denominator: u32,
}

/// Why a text is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no share of a replica: write a percentage such as 5%, or a fraction such as 1/30"
)]
pub struct NoShare(String);

/// The share of a replica that is read on a day.
///
/// Nothing is remembered. Each slice of each object has a place on a circle, which its name decides, and the days go round
/// it a share at a time: with a share of 1/30, any 30 days that follow each other read everything exactly once, also what
/// came or went meanwhile as long as it was there. Names are hashed, so that neighbours of the history are read on
/// different days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How much is read on a day.
    pub share: Share,
    /// The number of the day, such as that of days since 1970.
    pub day: u64,
}

impl Sample {
    /// Whether this slice of an object is read.
    pub(super) fn has(&self, replica: ReplicaId, key: Key, slice: u64) -> bool {
        let Share { numerator, denominator } = self.share;
        let mut hasher = blake3::Hasher::new_derive_key("ebbtide 2026-11 sample of a replica");
        hasher.update(replica.as_bytes());
        hasher.update(&slice.to_le_bytes());
        hasher.update(key.to_string().as_bytes());
        let mut hash = [0; 8];
        hasher.finalize_xof().fill(&mut hash);
        let (numerator, denominator) = (u128::from(numerator), u128::from(denominator));
        let place = (u128::from(u64::from_le_bytes(hash)) * denominator) >> 64;
        let begin = u128::from(self.day) * numerator % denominator;
        (place + denominator - begin) % denominator < numerator
    }

    /// The slices of an object of this size that are read.
    pub(super) fn slices(&self, replica: ReplicaId, key: Key, size: u64) -> Vec<u64> {
        (0..slices_of(key, size)).filter(|&slice| self.has(replica, key, slice)).collect()
    }
}

/// How many slices an object has. The pages of a pack lie in another order than its hashes, and packs are short.
pub(super) fn slices_of(key: Key, size: u64) -> u64 {
    match key {
        Key::Pack { .. } => 1,
        _ => size.div_ceil(SLICE_BYTES).max(1),
    }
}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Share, NoShare> {
        let fail = || NoShare(text.to_owned());
        let trimmed = text.trim();
        let share = match (trimmed.strip_suffix('%'), trimmed.split_once('/')) {
            (Some(percent), _) => {
                let (whole, part) = percent.trim().split_once('.').unwrap_or((percent.trim(), ""));
                let decimals = u32::try_from(part.len()).ok().filter(|&decimals| decimals <= 4);
                let digits = format!("{whole}{part}");
                let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
                let scale = 10_u32.pow(decimals.ok_or_else(fail)?);
                let numerator = digits.parse().ok().filter(|_| is_number).ok_or_else(fail)?;
                Share { numerator, denominator: 100 * scale }
            }
            (None, Some((numerator, denominator))) => {
                let number = |text: &str| text.trim().parse().map_err(|_| fail());
                Share { numerator: number(numerator)?, denominator: number(denominator)? }
            }
            (None, None) => return Err(fail()),
        };
        let is_share = share.numerator > 0 && share.numerator <= share.denominator;
        if is_share { Ok(share) } else { Err(fail()) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * f64::from(self.numerator) / f64::from(self.denominator);
        write!(f, "{}%", (percent * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_replica::Txid;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    fn on_days(share: Share, days: std::ops::Range<u64>, slice: u64) -> usize {
        let replica = ReplicaId::from_bytes([7; 16]);
        let key = Key::Log(Txid::new(1 + slice / 3).unwrap());
        days.filter(|&day| Sample { share, day }.has(replica, key, slice % 3)).count()
    }

    #[test]
    fn thirty_days_at_a_thirtieth_read_everything_exactly_once() {
        for begin in [0, 20_000, 20_785] {
            for slice in 0..3_000 {
                assert_eq!(on_days(share("1/30"), begin..begin + 30, slice), 1);
                assert_eq!(on_days(share("5%"), begin..begin + 20, slice), 1);
                assert_eq!(on_days(share("100%"), begin..begin + 1, slice), 1);
                // A share that does not divide the whole reads nothing less often.
                assert!((1..=2).contains(&on_days(share("7%"), begin..begin + 15, slice)));
            }
        }
    }

    /// Not all on the same day, and not one after the other.
    #[test]
    fn a_day_reads_about_its_share() {
        let read = (0..30_000).filter(|&slice| on_days(share("3.5%"), 20_785..20_786, slice) == 1);
        let read: Vec<u64> = read.collect();
        assert!((900..1200).contains(&read.len()), "{}", read.len());
        let neighbours = read.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        assert!(neighbours < 100, "{neighbours}");
    }

    #[test]
    fn shares_are_read_as_people_write_them() {
        assert_eq!(share("5%"), Share { numerator: 5, denominator: 100 });
        assert_eq!(share(" 3.25 % "), Share { numerator: 325, denominator: 10_000 });
        assert_eq!(share("1/30").to_string(), "3.33%");
        for text in ["", "5", "0%", "101%", "1/0", "2/1", "-1%", "1.00001%", "%", "x%", "1e2%"] {
            let error = text.parse::<Share>().unwrap_err().to_string();
            assert!(error.contains("1/30"), "{error}");
        }
    }

    #[test]
    fn a_large_object_is_read_on_several_days_and_a_pack_on_one() {
        let snapshot = Key::Snapshot(Txid::FIRST);
        assert_eq!(slices_of(snapshot, 1), 1);
        assert_eq!(slices_of(snapshot, SLICE_BYTES + 1), 2);
        assert_eq!(slices_of(Key::Pack { first: Txid::FIRST, last: Txid::FIRST }, 1 << 40), 1);
    }
}
